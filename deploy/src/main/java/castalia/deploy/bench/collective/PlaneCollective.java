package castalia.deploy.bench.collective;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.workers.exchange.GradientReducer;
import castalia.workers.exchange.Transport;
import castalia.workers.exchange.WeightGather;
import castalia.workers.model.FlatViews;
import castalia.workers.state.HeldChunks;
import java.lang.foreign.ValueLayout;
import java.util.function.LongSupplier;

/** The classes that training uses. */
final class PlaneCollective implements Collective {

    private final Bucket bucket;
    private final Transport transport;
    private final long generation;
    private final LongSupplier steps;
    private final Arena arena;
    private final HeldChunks held;
    private final FlatViews gradient;
    private final FlatViews weights;
    private final GradientReducer reducer;
    private final WeightGather gather;

    /**
     * Gradients of one, weights of one more than the rank.
     *
     * @param generation the transport's
     * @param steps numbers that no frame of the transport had yet
     */
    PlaneCollective(Bucket bucket, Transport transport, long generation, Device device,
            LongSupplier steps) {
        this.bucket = bucket;
        this.transport = transport;
        this.generation = generation;
        this.steps = steps;
        this.arena = device.arena();
        this.held = new HeldChunks(bucket.grid(), device.kernels(), device::arena);
        for (int chunk : bucket.placement().held(transport.rank())) {
            held.add(chunk);
            held.loaded(chunk, 0);
        }
        long elements = bucket.grid().layout().elements();
        this.gradient = new FlatViews(bucket.grid(), arena.allocate(DType.F32, elements));
        this.weights = new FlatViews(bucket.grid(), arena.allocate(DType.F32, elements));
        for (long i = 0; i < elements; i++) {
            gradient.flat().segment().setAtIndex(ValueLayout.JAVA_FLOAT, i, 1);
            weights.flat().segment().setAtIndex(
                    ValueLayout.JAVA_FLOAT, i, transport.rank() + 1f);
        }
        this.reducer = new GradientReducer(bucket.grid(), bucket.placement(),
                bucket.placement().virtualRanks(), transport, held, device.kernels(), arena);
        this.gather = new WeightGather(bucket.grid(), bucket.placement(), transport);
    }

    @Override
    public void reduceScatter() {
        held.forgetGradients();
        reducer.reduce(generation, steps.getAsLong(), new FlatViews[] {gradient});
        transport.drain();
    }

    @Override
    public void allGather() {
        long step = steps.getAsLong();
        gather.expect(generation, step, weights::chunk);
        gather.gather(generation, step, weights::chunk);
        transport.drain();
    }

    @Override
    public float sum() {
        int first = bucket.placement().owned(transport.rank())[0];
        return first(held.finishedGradient(first));
    }

    @Override
    public float weight(int rank) {
        return first(weights.chunk(bucket.placement().owned(rank)[0]));
    }

    private static float first(Buffer buffer) {
        return buffer.segment().get(ValueLayout.JAVA_FLOAT, 0);
    }

    @Override
    public void close() {
        held.close();
        arena.close();
    }
}
