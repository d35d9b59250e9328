package castalia.deploy.bench.collective;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.bench.collective.CollectiveBench.Finding;
import castalia.deploy.bench.collective.CollectiveBench.Row;
import castalia.deploy.bench.collective.CollectiveBench.Votes;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Timeout(value = 3, unit = TimeUnit.MINUTES)
class CollectiveBenchTest {

    @ParameterizedTest
    @CsvSource({"65536, 2", "65536, 4", "4194304, 2", "67108864, 4"})
    void aBucketIsOfTheSizeAskedForAndSharedEvenly(long bytes, int ranks) {
        Bucket bucket = Bucket.of(bytes, ranks);
        assertThat(bucket.bytes()).isBetween(bytes * 9 / 10, bytes * 11 / 10);
        assertThat(bucket.start(0)).isZero();
        for (int r = 0; r < ranks; r++) {
            assertThat(bucket.start(r + 1) - bucket.start(r))
                    .isBetween(bytes / ranks * 8 / 10, bytes / ranks * 12 / 10);
        }
    }

    /** Each process checks sums and weights of both sides before it times anything. */
    @Tag("default")
    @Test
    void processesMeasureBothSidesOnEveryKindOfSocket() {
        List<Finding> found = new ArrayList<>();
        CollectiveBench.run(
                new CollectiveBench.Settings(
                        List.of(2), List.of(Way.UNIX, Way.TCP), List.of(1L << 17), 1),
                found::add);
        assertThat(found).hasSize(6);
        assertThat(found.subList(0, 3)).satisfiesExactly(
                one -> assertThat(one).isInstanceOfSatisfying(Row.class, row -> {
                    assertThat(row.collective()).isEqualTo("reduce-scatter");
                    assertThat(row.way()).isEqualTo("unix");
                    assertThat(row.ratio()).isPositive();
                }),
                one -> assertThat(one).isInstanceOfSatisfying(Row.class,
                        row -> assertThat(row.collective()).isEqualTo("all-gather")),
                one -> assertThat(one).isInstanceOfSatisfying(Votes.class, votes ->
                        assertThat(votes.p99_us()).isGreaterThanOrEqualTo(votes.median_us())));
        assertThat(found.subList(3, 6)).allMatch(one -> switch (one) {
            case Row row -> row.way().equals("tcp");
            case Votes votes -> votes.way().equals("tcp");
        });
    }
}
