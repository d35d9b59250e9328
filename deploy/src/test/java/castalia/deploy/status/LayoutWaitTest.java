package castalia.deploy.status;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.layout.LayoutWish;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.planner.Recomputation;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What a process that asked for a layout makes of what it reads. */
class LayoutWaitTest {

    private static final String LEADER = "pid 7 on here";
    private static final LayoutWish WISH = new LayoutWish(4, 1, 2, 1);
    private static final ParallelLayout WISHED = new ParallelLayout(4, 1, 2, 1);
    private static final ParallelLayout BEFORE = new ParallelLayout(2, 2, 1, 1);
    private static final ParallelLayout THREE = new ParallelLayout(3, 1, 2, 1);

    private static RunStatus status(
            String phase, @Nullable ParallelLayout layout, @Nullable LayoutWish wish,
            @Nullable ParallelLayout nearest) {
        return new RunStatus(LEADER, 5, false, "", phase, "1.2", 10, 20, 5, layout, wish, nearest,
                List.of("w0@n"), List.of("w1@n"), new RunStatus.Change(9, 4, 100),
                new RunStatus.Machine("n", 1 << 30, Recomputation.BLOCK));
    }

    private static LayoutWait of(RunStatus status) {
        return LayoutWait.of(WISH, Optional.of(LEADER), Optional.of(status));
    }

    @Test
    void itRunsWhenEverybodyStepsInIt() {
        assertThat(of(status("running", WISHED, WISH, WISHED))).isInstanceOf(LayoutWait.Runs.class);
        assertThat(of(status("resharding", WISHED, WISH, WISHED)))
                .isEqualTo(new LayoutWait.Waiting("the run is resharding"));
        assertThat(of(status("forming", null, WISH, WISHED))).isInstanceOf(LayoutWait.Waiting.class);
        assertThat(of(status("running", BEFORE, WISH, WISHED)))
                .isEqualTo(new LayoutWait.Waiting("2x2 ZeRO 1 runs"));
    }

    @Test
    void aCoordinatorThatHasNotHeardOfItIsWaitedFor() {
        assertThat(of(status("running", WISHED, null, WISHED))).isInstanceOf(LayoutWait.Waiting.class);
        assertThat(of(status("running", BEFORE, LayoutWish.USUAL, BEFORE)))
                .isInstanceOf(LayoutWait.Waiting.class);
        assertThat(LayoutWait.of(WISH, Optional.of(LEADER), Optional.empty()))
                .isInstanceOf(LayoutWait.Waiting.class);
        assertThat(LayoutWait.of(WISH, Optional.of("pid 8 on here"),
                Optional.of(status("running", WISHED, WISH, WISHED))))
                .as("what a process said that leads no more").isInstanceOf(LayoutWait.Waiting.class);
    }

    @Test
    void withTooFewWorkersTheNearestCounts() {
        assertThat(of(status("running", THREE, WISH, THREE))).isInstanceOf(LayoutWait.Fewer.class);
        assertThat(of(status("running", BEFORE, WISH, THREE))).isInstanceOf(LayoutWait.Waiting.class);
    }

    @Test
    void asManyReplicasAsThereAreWorkersForMeansAllOfThem() {
        LayoutWish wish = new LayoutWish(0, 1, 2, 1);
        assertThat(LayoutWait.of(wish, Optional.of(LEADER),
                Optional.of(status("running", WISHED, wish, WISHED))))
                .isInstanceOf(LayoutWait.Runs.class);
        assertThat(LayoutWait.of(wish, Optional.of(LEADER),
                Optional.of(status("running", THREE, wish, WISHED))))
                .as("a fourth is on its way").isInstanceOf(LayoutWait.Waiting.class);
    }

    @Test
    void whereNobodyListensItIsForTheNextStart() {
        RunStatus before = status("running", WISHED, WISH, WISHED);
        assertThat(LayoutWait.of(WISH, Optional.empty(), Optional.of(before)))
                .isEqualTo(new LayoutWait.NobodyLeads());
        RunStatus threads = new RunStatus(LEADER, 5, true, "", "running", "-", 10, 20, 5, WISHED,
                null, null, List.of(), List.of(), null, null);
        assertThat(of(threads)).isEqualTo(new LayoutWait.OneProcess(LEADER));
    }

    @Test
    void aStatusIsReadAsItWasWrittenAndNonsenseIsNone(@TempDir Path folder) throws IOException {
        Path file = folder.resolve("status.json");
        assertThat(new StatusFile(file).read()).isEmpty();
        for (RunStatus status : List.of(status("running", WISHED, WISH, THREE),
                status("forming", null, null, null))) {
            new StatusFile(file).write(status);
            assertThat(new StatusFile(file).read()).contains(status);
        }
        for (String text : List.of("", "null", "[]", "{\"layout\": {\"zero\": 9}}", "{\"step\": {}}",
                "{\"members\": [], \"waiting\": []}")) {
            Files.writeString(file, text);
            assertThat(new StatusFile(file).read()).as(text).isEmpty();
        }
        new StatusFile(folder.resolve("none/status.json")).write(status("running", null, null, null));
    }
}
