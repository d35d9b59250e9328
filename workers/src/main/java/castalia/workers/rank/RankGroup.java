package castalia.workers.rank;

import castalia.kernels.Device;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.step.ReductionTree;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.workers.data.BatchSource;
import castalia.workers.exchange.LocalTransport;
import castalia.workers.exchange.PeerLostException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.IntFunction;
import org.jspecify.annotations.Nullable;

/** The ranks of one process: each on a thread of its own, connected by a local transport. */
public final class RankGroup implements AutoCloseable {

    private final RankSettings settings;
    private final Placement placement;
    private final Duration deadline;
    private final LocalTransport[] transports;
    private final List<ExecutorService> threads = new ArrayList<>();
    private final List<TrainingRank> ranks = new ArrayList<>();

    /**
     * Makes ranks of data parallelism alone.
     *
     * @param ranks how many; at most the plan's virtual ranks
     */
    public RankGroup(
            RankSettings settings, int ranks, IntFunction<Device> devices, Duration deadline) {
        this(settings, ParallelLayout.of(ranks), devices, deadline);
    }

    /**
     * Makes the ranks.
     *
     * @param layout how they divide work and state
     * @param devices makes the device of a rank, on the rank's thread
     * @param deadline longest wait of a rank for another, and of a caller for a call
     */
    public RankGroup(
            RankSettings settings, ParallelLayout layout, IntFunction<Device> devices,
            Duration deadline) {
        this.settings = settings;
        this.deadline = deadline;
        this.placement =
                Placement.of(settings.grid(), settings.plan().virtualRanks(), layout);
        int ranks = placement.ranks();
        this.transports = LocalTransport.connect(ranks, deadline);
        for (int r = 0; r < ranks; r++) {
            int rank = r;
            threads.add(Executors.newSingleThreadExecutor(run -> {
                Thread thread = new Thread(run, "rank-" + rank);
                thread.setDaemon(true);
                return thread;
            }));
        }
        List<Future<TrainingRank>> made = new ArrayList<>();
        for (int r = 0; r < ranks; r++) {
            int rank = r;
            made.add(threads.get(r).submit(() -> make(rank, devices)));
        }
        try {
            awaitAll(made, this.ranks::add);
        } catch (RuntimeException | Error e) {
            closeAfter(e);
            throw e;
        }
    }

    private TrainingRank make(int number, IntFunction<Device> devices) {
        TrainingRank rank = new TrainingRank(settings, devices.apply(number));
        try {
            rank.install(1, placement, transports[number]);
            return rank;
        } catch (RuntimeException | Error e) {
            rank.close();
            throw e;
        }
    }

    public RankSettings settings() {
        return settings;
    }

    public Placement placement() {
        return placement;
    }

    /** A rank, for questions between calls; its state must not be touched while a call runs. */
    public TrainingRank rank(int rank) {
        return ranks.get(rank);
    }

    /** The holder to read a chunk from. */
    public TrainingRank owner(int chunk) {
        return ranks.get(placement.owner(chunk));
    }

    /** The current scalar state, the same on every rank. */
    public ScalarState scalars() {
        return ranks.getFirst().scalars();
    }

    /** Digest of the whole state. */
    public StateDigest digest() {
        StateDigest sum = StateDigest.ZERO;
        for (TrainingRank rank : ranks) {
            sum = sum.plus(rank.ownedDigest());
        }
        return sum;
    }

    /**
     * Executes one step on all ranks.
     *
     * @param sources the source of each rank
     * @return the reports, by rank
     */
    public List<StepReport> step(List<? extends BatchSource> sources) {
        return onAll(rank -> rank.step(sources.get(rank.rank())));
    }

    /** Mean loss over {@code batches} batches from the first of a source; changes nothing. */
    public double validate(List<? extends BatchSource> sources, int batches) {
        double total = 0;
        for (int b = 0; b < batches; b++) {
            int batch = b;
            double[] sums = new double[settings.plan().virtualRanks()];
            List<double[]> parts =
                    onAll(rank -> rank.losses(sources.get(rank.rank()), batch));
            for (double[] part : parts) {
                for (int v = 0; v < sums.length; v++) {
                    sums[v] += part[v];
                }
            }
            total += ReductionTree.sum(sums);
        }
        return total / ((double) settings.plan().tokensPerStep() * batches);
    }

    /** Runs {@code call} on one rank's own thread; the call must not exchange anything. */
    public <T> T onRank(int rank, Function<TrainingRank, T> call) {
        return await(threads.get(rank).submit(() -> call.apply(ranks.get(rank))));
    }

    /**
     * Runs {@code call} on every rank's own thread and waits for all. After a failure no rank can
     * exchange anything any more; what they hold can still be read.
     *
     * @throws RuntimeException a rank's failure; one that only lost its peers is not preferred
     */
    public <T> List<T> onAll(Function<TrainingRank, T> call) {
        List<Future<T>> calls = new ArrayList<>();
        for (int r = 0; r < ranks.size(); r++) {
            int index = r;
            calls.add(threads.get(r).submit(() -> {
                try {
                    return call.apply(ranks.get(index));
                } catch (RuntimeException | Error e) {
                    transports[index].fail(e);
                    throw e;
                }
            }));
        }
        List<T> results = new ArrayList<>();
        awaitAll(calls, results::add);
        return results;
    }

    /** Waits for all, whatever happens, and then throws what failed. */
    private <T> void awaitAll(List<Future<T>> calls, Consumer<T> each) {
        Throwable failure = null;
        for (Future<T> one : calls) {
            try {
                each.accept(await(one));
            } catch (RuntimeException | Error e) {
                failure = worse(failure, e);
            }
        }
        switch (failure) {
            case null -> {
                // Nothing failed.
            }
            case Error error -> throw error;
            case RuntimeException runtime -> throw runtime;
            default -> throw new IllegalStateException(failure);
        }
    }

    /** A lost peer is a consequence; the failure to report is the cause. */
    private static Throwable worse(@Nullable Throwable a, Throwable b) {
        return a == null || a instanceof PeerLostException ? b : a;
    }

    private <T> T await(Future<T> one) {
        try {
            return one.get(2 * deadline.toMillis(), TimeUnit.MILLISECONDS);
        } catch (ExecutionException e) {
            switch (e.getCause()) {
                case RuntimeException runtime -> throw runtime;
                case Error error -> throw error;
                case null, default -> throw new IllegalStateException(e.getCause());
            }
        } catch (TimeoutException e) {
            throw new IllegalStateException("a rank did not finish a call within "
                    + 2 * deadline.toSeconds() + " s", e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted while waiting for a rank", e);
        }
    }

    private void closeAfter(Throwable failure) {
        try {
            close();
        } catch (RuntimeException | Error e) {
            failure.addSuppressed(e);
        }
    }

    /** Closes every rank on its own thread; a second call does nothing. */
    @Override
    public void close() {
        if (threads.getFirst().isShutdown()) {
            return;
        }
        List<Future<TrainingRank>> closing = new ArrayList<>();
        for (TrainingRank rank : ranks) {
            closing.add(threads.get(rank.rank()).submit(rank::close, rank));
        }
        threads.forEach(ExecutorService::shutdown);
        try {
            awaitAll(closing, _ -> {});
        } finally {
            threads.forEach(ExecutorService::shutdownNow);
        }
    }
}
