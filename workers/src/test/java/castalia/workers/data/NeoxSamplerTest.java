package castalia.workers.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import com.fasterxml.jackson.databind.JsonNode;
import java.util.OptionalLong;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class NeoxSamplerTest {
    static Stream<Fixtures.Case> cases() {
        return Fixtures.Case.all();
    }

    @ParameterizedTest
    @MethodSource("cases")
    void everyPlanIsThatOfGptNeox(Fixtures.Case c) {
        long length = c.json().get("dataset_len").asLong();
        int compared = 0;
        for (JsonNode plan : c.json().get("sampler_plans")) {
            NeoxSampler sampler = new NeoxSampler(plan.get("micro_batch").asInt(),
                    plan.get("dp").asInt(), plan.get("grad_accum").asInt());
            long start = plan.get("start_step").asLong();
            JsonNode ranks = plan.get("ranks_steps_microbatches");
            assertThat(ranks).hasSize(sampler.dataParallel());
            for (int rank = 0; rank < ranks.size(); rank++) {
                for (int step = 0; step < ranks.get(rank).size(); step++) {
                    for (int micro = 0; micro < sampler.accumulation(); micro++) {
                        compare(ranks.get(rank).get(step).get(micro), sampler,
                                sampler.firstIndex(length, start, start + step, rank, micro));
                        compared++;
                    }
                }
            }
        }
        assertThat(compared).isGreaterThan(50);
    }

    private static void compare(JsonNode expected, NeoxSampler sampler, OptionalLong first) {
        if (expected.isNull()) {
            assertThat(first).isEmpty();
            return;
        }
        assertThat(expected).hasSize(sampler.microBatch());
        for (int i = 0; i < expected.size(); i++) {
            assertThat(first.orElseThrow() + i).isEqualTo(expected.get(i).asLong());
        }
    }

    @Test
    void aRowOfTheGlobalBatchKnowsItsReader() {
        NeoxSampler sampler = new NeoxSampler(2, 4, 3);
        for (int rank = 0; rank < 4; rank++) {
            for (int micro = 0; micro < 3; micro++) {
                long first = sampler.firstIndex(1000, 0, 5, rank, micro).orElseThrow();
                int row = (int) (first - 5L * sampler.globalBatch());
                for (int i = 0; i < 2; i++) {
                    assertThat(sampler.rankOf(row + i)).isEqualTo(rank);
                    assertThat(sampler.microBatchOf(row + i)).isEqualTo(micro);
                }
            }
        }
    }

    @Test
    void impossibleAssignmentsAreRefused() {
        assertThatThrownBy(() -> new NeoxSampler(0, 1, 1))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new NeoxSampler(1 << 20, 1 << 20, 1))
                .isInstanceOf(ArithmeticException.class);
        assertThatThrownBy(() -> new NeoxSampler(1, 2, 1).firstIndex(10, 3, 2, 0, 0))
                .isInstanceOf(IllegalArgumentException.class);
        assertThat(new NeoxSampler(8, 2, 1).firstIndex(15, 0, 0, 0, 0)).isEmpty();
    }
}
