package castalia.workers.runtime;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.kernels.Device;
import castalia.protocol.layout.LayoutWish;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.StateDigest;
import castalia.workers.exchange.SharedDevice;
import castalia.workers.rank.RankSettings;
import castalia.workers.rank.TinyRun.Layout;
import castalia.workers.rank.TinyRun;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Number of ranks, tensor parallel degree, ZeRO stage and buddies change again and again while the
 * run steps, as the run's own state machine does it. No step's digest is another than that of a single
 * rank.
 */
@Tag("default")
@Timeout(value = 15, unit = TimeUnit.MINUTES, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class LayoutChangesTest {

    private static final int WORKERS = 8;
    private static final int SAVE_EVERY = 10;
    /** A loaded machine is no silence; who waits for ever is one. */
    private static final Duration PATIENCE = Duration.ofSeconds(60);
    private static final Map<String, List<StateDigest>> ALONE = new HashMap<>();

    private static List<StateDigest> alone(TrainingPlan plan, int steps) {
        return ALONE.computeIfAbsent(plan.precision() + " " + steps,
                _ -> TinyRun.trace(plan, Layout.plain(), steps));
    }

    private static void change(
            Precision precision, int steps, int changes, int kills, boolean sockets, long seed) {
        change(precision, steps, changes, kills, sockets, seed, () -> TinyRun.devices(1).apply(0));
    }

    private static void change(Precision precision, int steps, int changes, int kills,
            boolean sockets, long seed, Supplier<Device> device) {
        TrainingPlan plan =
                TinyRun.in(TinyRun.eightSlices().trainSteps(steps).build(), precision);
        RankSettings settings = RankSettings.of(plan, Recomputation.NONE);
        // a step takes long enough for a boundary two steps ahead to be heard of in time
        Kit kit = new Kit(settings, new MemoryCheckpoints(settings.grid()),
                virtualRank -> virtualRank == 0 ? 80 : 0, steps,
                step -> kills > 0 && step % SAVE_EVERY == 0, Optional.empty(), device,
                PATIENCE);
        try (LiveRun run = new LiveRun(kit, alone(plan, steps), WORKERS,
                new LayoutWish(3, 1, 1, 1), sockets ? LiveRun.sockets() : LiveRun.local())) {
            LayoutChanges script = new LayoutChanges(
                    run, seed, WORKERS, plan, changes, kills);
            run.script(script::on);
            for (int i = 0; i < WORKERS; i++) {
                run.add();
            }
            run.finish(Duration.ofMinutes(10));
            assertThat(script.changes).isGreaterThanOrEqualTo(changes);
            assertThat(script.killsLeft()).isZero();
            assertThat(script.uneven).isGreaterThanOrEqualTo(changes / 10);
            if (kills == 0) {
                assertThat(run.log()).noneMatch(line -> line.contains("Failed")
                        || line.contains("Detected") || LiveRun.suspicionObeyed(line));
                assertThat(run.fromDisk).as("only the start").isEqualTo(1);
            }
        }
    }

    /** A change takes two steps, or three where the coordinator is slow. */
    @Test
    void fortyChangesOfTheLayoutInAHundredAndThirtyStepsChangeNoBit() {
        change(Precision.FP32, 130, 40, 0, false, 1);
    }

    @Test
    void norDoKilledWorkersAmongThem() {
        change(Precision.BF16, 80, 20, 6, true, 2);
    }

    @Test
    void norDoTheyWhereDevicesReadEachOthersMemory() {
        long before = SharedDevice.READ_BYTES.get();
        change(Precision.BF16, 80, 20, 6, true, 7,
                () -> new SharedDevice(TinyRun.devices(1).apply(0), true));
        assertThat(SharedDevice.READ_BYTES.get() - before).isGreaterThan(1 << 20);
    }

    @Tag("full")
    @ParameterizedTest
    @CsvSource({"FP32, 0, true, 2", "BF16, 0, false, 3", "FP16, 0, false, 4", "FP32, 40, false, 5",
            "FP16, 40, true, 6"})
    void twoHundredChangesInFiveHundredStepsChangeNoBit(
            Precision precision, int kills, boolean sockets, long seed) {
        change(precision, 500, 200, kills, sockets, seed);
    }
}
