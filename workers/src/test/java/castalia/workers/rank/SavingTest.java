package castalia.workers.rank;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.kernels.Device;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.Placement;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.StateDigest;
import castalia.protocol.planner.Recomputation;
import castalia.workers.data.BatchSource;
import castalia.workers.exchange.LocalTransport;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.function.IntFunction;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A state is stored beside the step that follows it. */
@Timeout(value = 1, unit = TimeUnit.MINUTES)
class SavingTest {

    private static final TrainingPlan PLAN = TinyRun.plan(TinyRun.shape()).build();

    private static RankGroup group(boolean cuda) {
        IntFunction<Device> devices = cuda
                ? rank -> TinyRun.cuda("checkpoints beside the CUDA back end's work", rank)
                : TinyRun.devices(1);
        RankGroup group = new RankGroup(RankSettings.of(PLAN, Recomputation.NONE), 1, devices,
                TinyRun.DEADLINE);
        StateTransfer.initialise(group, Initialisation.Drawn.published());
        return group;
    }

    private static StateTransfer.ChunkSink into(Map<Integer, List<float[]>> stored) {
        return (chunk, _, weights, first, second) -> stored.put(chunk, List.of(
                weights.toArray(ValueLayout.JAVA_FLOAT), first.toArray(ValueLayout.JAVA_FLOAT),
                second.toArray(ValueLayout.JAVA_FLOAT)));
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    @Tag("default")
    void whatIsStoredIsTheStateBeforeTheStepThatRunsMeanwhile(boolean cuda) {
        try (RankGroup group = group(cuda)) {
            TinyRun.trace(group, 2);
            Map<Integer, List<float[]>> expected = new ConcurrentHashMap<>();
            ChunkGrid grid = group.settings().grid();
            StateTransfer.save(group, into(expected));
            StateDigest before = group.digest();
            Map<Integer, List<float[]>> stored = new ConcurrentHashMap<>();
            CountDownLatch computed = new CountDownLatch(1);
            BatchSource source = TinyRun.sources(PLAN, 1).getFirst();
            group.onAll(rank -> {
                StateTransfer.beginSaving(rank, grid, (chunk, digest, weights, first, second) -> {
                    await(computed);
                    into(stored).add(chunk, digest, weights, first, second);
                });
                StepReport report = rank.step(source, () -> {
                    assertThat(stored).isEmpty();
                    computed.countDown();
                }, _ -> assertThat(stored).hasSize(grid.size()));
                return report;
            });
            assertThat(group.digest()).isNotEqualTo(before);
            assertThat(stored).hasSameSizeAs(expected);
            expected.forEach((chunk, tensors) -> {
                for (int i = 0; i < tensors.size(); i++) {
                    assertThat(stored.get(chunk).get(i)).isEqualTo(tensors.get(i));
                }
            });
        }
    }

    private static void await(CountDownLatch latch) {
        try {
            assertThat(latch.await(30, TimeUnit.SECONDS)).isTrue();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void leavingTheGenerationEndsIt() {
        RankSettings settings = RankSettings.of(PLAN, Recomputation.NONE);
        try (TrainingRank rank = new TrainingRank(settings, TinyRun.devices(1).apply(0))) {
            rank.install(1, Placement.of(settings.grid(), PLAN.virtualRanks(), 1),
                    LocalTransport.connect(1, TinyRun.DEADLINE)[0]);
            StateTransfer.initialise(
                    rank, StateTransfer.drawn(settings, Initialisation.Drawn.published()));
            CountDownLatch begun = new CountDownLatch(1);
            Map<Integer, List<float[]>> stored = new ConcurrentHashMap<>();
            Thread leaving = Thread.currentThread();
            StateTransfer.beginSaving(rank, settings.grid(),
                    (chunk, digest, weights, first, second) -> {
                        begun.countDown();
                        while (leaving.getState() != Thread.State.WAITING) {
                            Thread.onSpinWait(); // until it waits for this chunk
                        }
                        into(stored).add(chunk, digest, weights, first, second);
                    });
            await(begun);
            rank.leave();
            assertThat(stored).hasSize(1);
            StateTransfer.finishSaving(rank); // there is nothing to finish
            assertThat(stored).hasSize(1);
        }
    }

    @Test
    void whatTheSinkThrowsIsThrownByTheStep() {
        try (RankGroup group = group(false)) {
            BatchSource source = TinyRun.sources(PLAN, 1).getFirst();
            StateDigest before = group.digest();
            assertThatThrownBy(() -> group.onAll(rank -> {
                StateTransfer.beginSaving(rank, group.settings().grid(), (_, _, _, _, _) -> {
                    throw new IOException("no room");
                });
                return rank.step(source);
            })).isInstanceOf(UncheckedIOException.class).hasMessageContaining("no room");
            assertThat(group.digest()).isEqualTo(before);
        }
    }
}
