package castalia.workers.exchange.socket;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.StateDigest;
import castalia.workers.exchange.Transport;
import castalia.workers.exchange.socket.SocketSettings.Bounds;
import castalia.workers.rank.RankSettings;
import castalia.workers.rank.StateTransfer;
import castalia.workers.rank.TinyRun.Layout;
import castalia.workers.rank.TinyRun;
import castalia.workers.rank.TrainingRank;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Ranks whose mailboxes have room for a part of what others send ahead: they wait, never for ever. */
@Tag("default")
@Timeout(value = 2, unit = TimeUnit.MINUTES)
class SmallMailboxTest {

    private static final int STEPS = 3;
    private static final Bounds SMALL = new Bounds(1 << 14, 1 << 14, 1 << 14, 16);

    @ParameterizedTest
    @CsvSource({"3, 1, 1, 1", "3, 1, 0, 0", "2, 1, 2, 0", "3, 1, 2, 2", "2, 2, 1, 1", "2, 2, 2, 1",
            "3, 1, 3, 1", "2, 1, 3, 0", "2, 2, 3, 1"})
    void aModelLargerThanEveryMailboxIsTrainedToTheSameBits(
            int dataParallel, int tensorParallel, int zero, int buddies) {
        TrainingPlan plan = TinyRun.plan(TinyRun.shape()).tensorSlices(2).virtualRanks(5)
                .globalBatch(5).build();
        RankSettings settings = RankSettings.of(plan, Recomputation.NONE);
        assertThat(4 * settings.grid().layout().elements()).isGreaterThan(4 * SMALL.earlyBytes());
        ParallelLayout layout = new ParallelLayout(dataParallel, tensorParallel, zero, buddies);
        Placement placement = Placement.of(settings.grid(), plan.virtualRanks(), layout);
        ExecutorService threads = Executors.newFixedThreadPool(layout.ranks());
        try (Planes planes = Planes.open(layout.ranks(), s -> s.withBounds(SMALL))) {
            List<Transport> transports = planes.join(Planes.FIRST, Planes.LONG);
            List<CompletableFuture<StateDigest>> parts = IntStream.range(0, layout.ranks())
                    .mapToObj(r -> CompletableFuture.supplyAsync(
                            () -> train(settings, placement, transports.get(r)), threads))
                    .toList();
            StateDigest sum = StateDigest.ZERO;
            for (CompletableFuture<StateDigest> part : parts) {
                sum = sum.plus(part.join());
            }
            assertThat(sum).isEqualTo(TinyRun.trace(plan, Layout.plain(), STEPS).getLast());
        } finally {
            threads.shutdownNow();
        }
    }

    private static StateDigest train(
            RankSettings settings, Placement placement, Transport transport) {
        try (TrainingRank rank = new TrainingRank(settings, TinyRun.devices(1).apply(0))) {
            rank.install(Planes.FIRST.generation(), placement, transport);
            StateTransfer.initialise(
                    rank, StateTransfer.drawn(settings, Initialisation.Drawn.published()));
            for (int s = 0; s < STEPS; s++) {
                rank.step(TinyRun.sources(settings.plan(), 1).getFirst());
            }
            transport.drain();
            return rank.ownedDigest();
        }
    }
}
