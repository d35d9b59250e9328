package castalia.protocol.run;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.ErrorCode;
import castalia.protocol.layout.LayoutWish;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Whole runs in virtual time. The workers check what the protocol promises: no virtual rank counts
 * twice, no chunk is updated but from its own version, nobody is given a place whose state it lacks.
 */
class RunSimulationTest {

    private static SimulatedRun finishes(long seed, int target, int mean, int kinds) {
        SimulatedRun run = new SimulatedRun(seed, target);
        RunResult result;
        try {
            result = run.run(mean, kinds, 20_000);
        } catch (AssertionError | RuntimeException e) {
            throw new AssertionError("seed " + seed + " target " + target + " kinds " + kinds, e);
        }
        assertThat(result).as("seed %s: %s", seed, run.log())
                .isInstanceOf(RunResult.Finished.class);
        assertThat(run.published).as("seed %s: %s", seed, String.join("\n", run.log()))
                .contains(0L, 7L, 14L, 21L, 28L, 30L);
        assertThat(run.committedCount()).isEqualTo((int) SimulatedRun.STEPS);
        return run;
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4})
    void anUndisturbedRunFinishesAndPublishesEveryMilestone(int target) {
        finishes(1, target, 0, 1);
    }

    @Test
    void runsWithKilledWorkersFinish() {
        LongStream.range(0, 150).forEach(seed -> finishes(seed, 1 + (int) (seed % 4), 700, 1));
    }

    @Test
    void runsWithKilledAndFrozenWorkersFinish() {
        LongStream.range(0, 150).forEach(seed -> finishes(seed, 2 + (int) (seed % 3), 600, 2));
    }

    @Test
    void runsWithDyingCoordinatorsFinish() {
        LongStream.range(0, 150).forEach(seed -> finishes(seed, 1 + (int) (seed % 4), 800, 3));
    }

    @Test
    void runsThatLoseEverythingAtOnceFinishFromDisk() {
        LongStream.range(0, 150).forEach(seed -> finishes(seed, 1 + (int) (seed % 4), 900, 4));
    }

    @Test
    void runsWithFailingDevicesFinish() {
        long gathered = LongStream.range(0, 150)
                .mapToObj(seed -> finishes(seed, 1 + (int) (seed % 4), 700, 5))
                .filter(run -> run.log().stream().anyMatch(line ->
                        line.contains("Gathering") && line.contains("failed: no device")))
                .count();
        assertThat(gathered).isGreaterThan(20);
    }

    @Test
    void runsWhoseLayoutChangesFinish() {
        LongStream.range(0, 300).forEach(seed -> finishes(seed, 1 + (int) (seed % 4), 400, 6));
    }

    @Test
    void aLayoutAskedForBeforeTheFirstStepIsThereAFewStepsLater() {
        for (long seed = 0; seed < 50; seed++) {
            SimulatedRun run = new SimulatedRun(seed, 3).askingAtOnce(new LayoutWish(1, 2, 0, 0));
            run.run(0, 1, 0);
            String reshaped = run.log().stream()
                    .filter(line -> line.contains("Resharding[") && line.contains("1x2 ZeRO 0"))
                    .findFirst().orElseThrow();
            Matcher step = Pattern.compile("ScalarState\\[step=(\\d+)").matcher(reshaped);
            assertThat(step.find()).as(reshaped).isTrue();
            assertThat(Integer.parseInt(step.group(1))).as(reshaped).isBetween(1, 12);
        }
    }

    @Test
    void aStepThatFailsWhereverItIsExecutedEndsTheRun() {
        for (long seed = 0; seed < 100; seed++) {
            int target = 1 + (int) (seed % 4);
            SimulatedRun run = new SimulatedRun(seed, target).failingAt(seed % 11);
            RunResult result = run.run(seed % 3 == 0 ? 600 : 0, 4, 20_000);
            assertThat(result).as("seed %s: %s", seed, String.join("\n", run.log()))
                    .isEqualTo(new RunResult.Failed(ErrorCode.DEVICE_FAILED, "no device"));
            assertThat(run.latestCommitted).isEqualTo(seed % 11 - 1);
        }
    }

    @Test
    @Tag("full")
    void manyMoreRunsFinish() {
        LongStream.range(1000, 11_000)
                .forEach(seed -> finishes(seed, 1 + (int) (seed % 4), 300 + (int) (seed % 900),
                        4 + (int) (seed % 3)));
    }

    @Test
    void aStoppedRunEndsWithACheckpointOfWhereItStopped() {
        for (long seed : List.of(1L, 2L, 3L, 4L, 5L)) {
            SimulatedRun run = new SimulatedRun(seed, 3).stopAfter(1500);
            RunResult result = run.run(0, 1, 0);
            assertThat(result).as("%s", run.log()).isInstanceOf(RunResult.Stopped.class);
            assertThat(run.published).contains(((RunResult.Stopped) result).step());
        }
    }

    @Test
    void aSeedGivesTheSameRunAgain() {
        SimulatedRun first = new SimulatedRun(42, 3);
        SimulatedRun second = new SimulatedRun(42, 3);
        first.run(500, 4, 20_000);
        second.run(500, 4, 20_000);
        assertThat(second.log()).isEqualTo(first.log());
    }

    @Test
    void aSingleKilledMemberCostsNoCommittedStepAndNoDisk() {
        for (long seed = 0; seed < 40; seed++) {
            SimulatedRun run = new SimulatedRun(seed, 4);
            run.killOneAfter(1000 + seed * 20);
            run.run(0, 1, 0);
            assertThat(run.restartsFromDisk).as("%s", run.log()).isEqualTo(1); // the first start
        }
    }
}
