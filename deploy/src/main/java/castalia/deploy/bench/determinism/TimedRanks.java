package castalia.deploy.bench.determinism;

import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.train.Hosting;
import castalia.deploy.train.Wiring;
import castalia.kernels.Device;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.specification.TrainingPlan;
import castalia.workers.data.SyntheticBatches;
import castalia.workers.exchange.LocalTransport;
import castalia.workers.exchange.Transport;
import castalia.workers.rank.RankSettings;
import castalia.workers.rank.StateTransfer;
import castalia.workers.rank.TrainingRank;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Function;
import java.util.function.UnaryOperator;

/** Training ranks as threads of this process, on transports that a measurement may change. */
final class TimedRanks implements AutoCloseable {

    private static final Duration DEADLINE = Duration.ofMinutes(10);

    private final SyntheticBatches source;
    private final List<ExecutorService> threads = new ArrayList<>();
    private final List<TrainingRank> ranks = new ArrayList<>();

    /**
     * Makes the ranks, with drawn weights.
     *
     * @param threads computing threads of all ranks
     * @param change what to make of each rank's transport
     */
    TimedRanks(TrainingPlan plan, int count, int threads, CastaliaHome home,
            UnaryOperator<Transport> change) {
        RankSettings settings = RankSettings.of(plan, Recomputation.NONE);
        Placement placement = Placement.of(
                settings.grid(), plan.virtualRanks(), ParallelLayout.of(count));
        LocalTransport[] transports = LocalTransport.connect(count, DEADLINE);
        Function<Integer, Device> devices = r -> Wiring.devices(
                new Hosting(count, threads, Recomputation.NONE), 3 * count, home).apply(r);
        this.source = new SyntheticBatches(
                Wiring.batches(plan), plan.model().vocabulary(), plan.seed());
        for (int r = 0; r < count; r++) {
            this.threads.add(Executors.newSingleThreadExecutor(run -> {
                Thread thread = new Thread(run, "timed-rank");
                thread.setDaemon(true);
                return thread;
            }));
        }
        try {
            List<Future<TrainingRank>> made = new ArrayList<>();
            for (int r = 0; r < count; r++) {
                int rank = r;
                made.add(this.threads.get(r).submit(() -> {
                    TrainingRank one = new TrainingRank(settings, devices.apply(rank));
                    one.install(1, placement, change.apply(transports[rank]));
                    return one;
                }));
            }
            made.forEach(one -> ranks.add(await(one)));
            onAll(rank -> {
                StateTransfer.initialise(rank, StateTransfer.drawn(
                        settings, (Initialisation.Drawn) plan.initialisation()));
                return 0;
            });
        } catch (RuntimeException | Error e) {
            close();
            throw e;
        }
    }

    /** Executes a step; returns the seconds it took. */
    double step() {
        long start = System.nanoTime();
        onAll(rank -> rank.step(source));
        return (System.nanoTime() - start) * 1e-9;
    }

    private void onAll(Function<TrainingRank, Object> call) {
        List<Future<Object>> calls = new ArrayList<>();
        for (int r = 0; r < ranks.size(); r++) {
            TrainingRank rank = ranks.get(r);
            calls.add(threads.get(r).submit(() -> call.apply(rank)));
        }
        calls.forEach(TimedRanks::await);
    }

    private static <T> T await(Future<T> one) {
        try {
            return one.get();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        } catch (ExecutionException e) {
            if (e.getCause() instanceof RuntimeException cause) {
                throw cause;
            }
            throw new IllegalStateException(e.getCause());
        }
    }

    @Override
    public void close() {
        List<Future<?>> closing = new ArrayList<>();
        for (int r = 0; r < ranks.size(); r++) {
            closing.add(threads.get(r).submit(ranks.get(r)::close));
        }
        closing.forEach(TimedRanks::await);
        threads.forEach(ExecutorService::shutdownNow);
    }
}
