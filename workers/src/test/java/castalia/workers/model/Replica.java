package castalia.workers.model;

import castalia.kernels.Arena;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.LocalSpace;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.workers.exchange.LocalTransport;
import castalia.workers.exchange.TensorExchange;
import castalia.workers.exchange.Transport;
import castalia.workers.rank.TinyRun;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.Function;
import java.util.function.UnaryOperator;

/** The ranks that share one model, each a thread with a device and the weights of its slices. */
final class Replica implements AutoCloseable {

    private final Placement placement;
    private final List<Rank> ranks = new ArrayList<>();
    private final ExecutorService threads;
    private List<? extends Transport> transports = List.of();

    /** One of them. */
    record Rank(Device device, Arena arena, LocalSpace space, FlatViews gradients, NeoxModel model,
            Losses losses) {

        double lossAndGradient(TinyModel whole, boolean accumulate) {
            model.lossAndGradient(gradients, whole.inputs(), whole.labels(),
                    1f / whole.plan().rows(), accumulate, losses, 0);
            return sum();
        }

        double loss(TinyModel whole) {
            model.loss(whole.inputs(), whole.labels(), losses, 0);
            return sum();
        }

        private double sum() {
            losses.read();
            return losses.sum(0);
        }
    }

    /** Ranks with the weights of a whole model, over memory, in generation 1. */
    Replica(TinyModel whole, int ranks, boolean backward) {
        ChunkGrid grid = whole.weights().space().grid();
        this.placement = Placement.of(grid, 1, new ParallelLayout(1, ranks, 1, 0));
        this.threads = Executors.newFixedThreadPool(ranks);
        for (int r = 0; r < ranks; r++) {
            Device device = TinyRun.devices(1).apply(r);
            Arena arena = device.arena();
            LocalSpace space = new LocalSpace(grid, placement.slices(r));
            FlatViews weights = new FlatViews(
                    space, arena.allocate(whole.plan().compute(), space.elements()));
            for (int chunk : space.chunks()) {
                weights.chunk(chunk).segment()
                        .copyFrom(whole.weights().chunk(chunk).segment());
            }
            FlatViews gradients =
                    new FlatViews(space, arena.allocate(DType.F32, space.elements()));
            this.ranks.add(new Rank(device, arena, space, gradients,
                    new NeoxModel(whole.plan(), grid, device, weights, backward),
                    new Losses(whole.plan(), device, 1)));
        }
        if (ranks > 1) {
            connect(1, List.of(LocalTransport.connect(ranks, TinyRun.DEADLINE)), e -> e);
        }
    }

    Placement placement() {
        return placement;
    }

    Rank rank(int rank) {
        return ranks.get(rank);
    }

    int ranks() {
        return ranks.size();
    }

    /** A new generation. */
    void connect(long generation, List<? extends Transport> over,
            UnaryOperator<SliceExchange> around) {
        transports = over;
        for (int r = 0; r < ranks.size(); r++) {
            ranks.get(r).model.connect(
                    around.apply(new TensorExchange(generation, placement, over.get(r))));
        }
    }

    /** Calls on every rank's thread; a failure is told to the others. */
    <T> List<CompletableFuture<T>> start(Function<Rank, T> call) {
        List<CompletableFuture<T>> calls = new ArrayList<>();
        for (int r = 0; r < ranks.size(); r++) {
            int index = r;
            calls.add(CompletableFuture.supplyAsync(() -> {
                try {
                    return call.apply(ranks.get(index));
                } catch (RuntimeException | Error e) {
                    if (transports.get(index) instanceof LocalTransport local) {
                        local.fail(e);
                    }
                    throw e;
                }
            }, threads));
        }
        return calls;
    }

    <T> List<T> onAll(Function<Rank, T> call) {
        return start(call).stream().map(CompletableFuture::join).toList();
    }

    /** What ended each rank. */
    static List<Throwable> failures(List<? extends CompletableFuture<?>> calls) {
        List<Throwable> failures = new ArrayList<>();
        for (CompletableFuture<?> call : calls) {
            try {
                call.join();
            } catch (CompletionException e) {
                failures.add(e.getCause());
            }
        }
        return failures;
    }

    /** Logits of all rows, every rank its columns. */
    void logits(TinyModel whole, MemorySegment out, int firstRow, int rows) {
        onAll(rank -> {
            rank.model.logits(out, whole.inputs(), firstRow, rows);
            return rank;
        });
    }

    @Override
    public void close() {
        threads.shutdownNow();
        for (Rank rank : ranks) {
            rank.model.close();
            rank.losses.close();
            rank.arena.close();
            rank.device.close();
        }
    }
}
