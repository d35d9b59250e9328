package castalia.workers.rank;

import castalia.kernels.AdamW;
import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.Kernels;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.Placement;
import castalia.protocol.specification.OptimizerSettings;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.protocol.step.Verdict;
import castalia.protocol.step.VirtualRanks;
import castalia.protocol.step.Vote;
import castalia.protocol.step.Vote.HeldChunk;
import castalia.protocol.step.Vote.LossSum;
import castalia.workers.data.BatchShape;
import castalia.workers.data.BatchSource;
import castalia.workers.exchange.GradientReducer;
import castalia.workers.exchange.Transport;
import castalia.workers.exchange.VoteExchange;
import castalia.workers.exchange.WeightGather;
import castalia.workers.model.FlatViews;
import castalia.workers.model.ModelPlan;
import castalia.workers.model.NeoxModel;
import castalia.workers.state.HeldChunks;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;

/**
 * One training slot: executes steps from start to end. The file to read first.
 *
 * <p>A step: for each hosted virtual rank forward and backward of its micro-batches, folding
 * complete subtrees of the canonical tree; the reducer finishes the sums at each chunk's owner and
 * forwards them to the buddy; all ranks vote and derive the same verdict; owners and buddies apply
 * it; new weights are gathered. Used by one thread; its device belongs to it.
 */
public final class TrainingRank implements AutoCloseable {

    private final TrainingPlan plan;
    private final RankSettings settings;
    private final ChunkGrid grid;
    private final Placement placement;
    private final Transport transport;
    private final Device device;
    private final Kernels kernels;
    private final Arena arena;
    private final VirtualRanks.Block block;
    private final FlatViews compute;
    private final NeoxModel model;
    private final HeldChunks held;
    private final int[] heldChunks;
    private final GradientReducer reducer;
    private final VoteExchange votes;
    private final WeightGather gather;
    private final GradientFold fold;
    private final Buffer[] finished;
    private final java.lang.foreign.Arena host = java.lang.foreign.Arena.ofShared();
    private final MemorySegment inputs;
    private final MemorySegment labels;
    private final double[] lossSums;
    private final long generation;
    private final Deque<Runnable> opened = new ArrayDeque<>();
    private ScalarState scalars = ScalarState.initial();
    private long dataNanos;
    private long reductionNanos;

    /**
     * Allocates everything the rank needs. {@code device} and {@code transport} are closed with it,
     * and also when this fails.
     *
     * @param generation membership this placement belongs to
     */
    public TrainingRank(
            RankSettings settings,
            Placement placement,
            long generation,
            Transport transport,
            Device device) {
        this.settings = settings;
        this.plan = settings.plan();
        this.grid = settings.grid();
        this.placement = placement;
        this.transport = transport;
        this.device = device;
        this.generation = generation;
        opened.push(device::close);
        opened.push(host::close);
        opened.push(transport::close);
        try {
            this.kernels = device.kernels();
            this.arena = device.arena();
            opened.push(arena::close);
            this.block = placement.block(transport.rank());
            DType type = computeType(plan.precision());
            this.compute = new FlatViews(grid, arena.allocate(type, grid.layout().elements()));
            ModelPlan modelPlan = new ModelPlan(grid.layout(), plan.microBatch(), plan.sequence(),
                    type, settings.recomputation());
            this.model = new NeoxModel(modelPlan, grid, device, compute, true);
            opened.push(model::close);
            this.held = new HeldChunks(grid, placement, transport.rank(), kernels, arena);
            this.heldChunks = held.chunks();
            this.reducer = new GradientReducer(
                    grid, placement, plan.virtualRanks(), transport, held, kernels, arena);
            this.votes = new VoteExchange(transport, placement, grid.size());
            opened.push(votes::close);
            this.gather = new WeightGather(grid, placement, transport);
            this.fold = new GradientFold(grid, reducer.cover(), kernels, arena);
            this.finished = new Buffer[grid.size()];
            this.inputs = host.allocate(4L * plan.tokensPerMicroBatch(), 64);
            this.labels = host.allocate(4L * plan.tokensPerMicroBatch(), 64);
            this.lossSums = new double[plan.virtualRanks()];
        } catch (RuntimeException | Error e) {
            closeAfter(e);
            throw e;
        }
    }

    /**
     * The compute type of a precision.
     *
     * @throws CastaliaException for fp16
     */
    public static DType computeType(Precision precision) {
        return switch (precision) {
            case FP32 -> DType.F32;
            case BF16 -> DType.BF16;
            case FP16 -> throw new CastaliaException(ErrorCode.UNSUPPORTED,
                    "precision fp16 needs dynamic loss scaling, which this version does not have; "
                            + "use bf16 or fp32");
        };
    }

    /** Its number in the generation. */
    public int rank() {
        return transport.rank();
    }

    /** The part of the state that is no tensor. */
    public ScalarState scalars() {
        return scalars;
    }

    /** The virtual ranks computed here. */
    public VirtualRanks.Block block() {
        return block;
    }

    /** Weights and moments held here. */
    public HeldChunks held() {
        return held;
    }

    /** The weights in the compute type, all of them. */
    public FlatViews compute() {
        return compute;
    }

    /** The plan of a micro-batch. */
    public ModelPlan modelPlan() {
        return model.plan();
    }

    /** Copies a buffer of this rank to host memory of the same size. */
    public void download(MemorySegment to, Buffer from) {
        device.download(to, from);
    }

    /** Copies host memory to a buffer of this rank, of the same size. */
    public void upload(Buffer to, MemorySegment from) {
        device.upload(to, from);
    }

    /** What computes, for people. */
    public String deviceDescription() {
        return device.description();
    }

    /** The operations of this rank's device. */
    Kernels kernels() {
        return kernels;
    }

    /** Bytes of device memory this rank uses. */
    public long allocatedBytes() {
        return arena.allocatedBytes() + model.allocatedBytes();
    }

    /** Payload bytes sent so far. */
    public long sentBytes() {
        return transport.sentBytes();
    }

    /**
     * To be called on all ranks when the held tensors were set: makes {@code state} current, takes
     * digests and gathers the compute weights.
     */
    public void loaded(ScalarState state) {
        for (int chunk : heldChunks) {
            held.loaded(chunk, compute);
        }
        scalars = state;
        gather.gather(generation, state.step(), compute);
        transport.drain();
    }

    /** Digest of the chunks this rank owns; the sum over ranks is the state's digest. */
    public StateDigest ownedDigest() {
        StateDigest sum = StateDigest.ZERO;
        for (int chunk : heldChunks) {
            if (placement.owner(chunk) == transport.rank()) {
                sum = sum.plus(held.digest(chunk));
            }
        }
        return sum;
    }

    /**
     * Executes the next step.
     *
     * @throws CastaliaException if owner and buddy of a chunk disagree, or the gradient is not
     *     finite; the state is then that before the step
     */
    public StepReport step(BatchSource source) {
        gradients(source);
        Verdict verdict = vote();
        long start = System.nanoTime();
        return switch (verdict) {
            case Verdict.Apply apply -> {
                double rate = update(apply);
                transport.drain();
                yield report(apply, rate, System.nanoTime() - start);
            }
            case Verdict.Skip skip -> throw new CastaliaException(ErrorCode.NUMERIC_DIVERGED,
                    "step " + scalars.step() + ": the gradient is not finite (loss " + skip.loss()
                            + "); the state before the step is unharmed. Lower the learning rate "
                            + "or resume from an earlier checkpoint");
            case Verdict.Corrupt corrupt -> throw new CastaliaException(ErrorCode.DEVICE_FAILED,
                    "step " + scalars.step() + ": ranks " + corrupt.ranks() + " hold different "
                            + corrupt.what() + "s of chunk " + corrupt.chunk()
                            + ": memory or processor of one of them is faulty");
        };
    }

    /**
     * The first half of a step: leaves the finished gradient of every held chunk. It is the sum
     * over all micro-batches of the gradients of their mean losses.
     */
    public void gradients(BatchSource source) {
        requireShape(source);
        dataNanos = 0;
        float scale = (float) (scalars.lossScale() / plan.tokensPerMicroBatch());
        model.takeForwardNanos();
        model.takeBackwardNanos();
        long start = System.nanoTime();
        FlatViews[] folded = fold.fold((virtualRank, into) ->
                virtualRank(source, virtualRank, into, scale));
        reducer.reduce(generation, scalars.step(), folded, finished);
        reductionNanos = System.nanoTime() - start - dataNanos;
    }

    /** The finished gradient of a held chunk, valid until the next step. */
    public Buffer finishedGradient(int chunk) {
        Buffer buffer = finished[chunk];
        if (buffer == null) {
            throw new IllegalArgumentException("no gradient of chunk " + chunk + " is held here");
        }
        return buffer;
    }

    private void requireShape(BatchSource source) {
        BatchShape expected = new BatchShape(
                plan.globalBatch(), plan.virtualRanks(), plan.microBatch(), plan.sequence());
        if (!source.shape().equals(expected)) {
            throw new IllegalArgumentException(
                    "batches of " + source.shape() + " for a plan of " + expected);
        }
    }

    private void virtualRank(
            BatchSource source, int virtualRank, FlatViews into, float scale) {
        double sum = 0;
        for (int m = 0; m < plan.microBatchesPerVirtualRank(); m++) {
            long start = System.nanoTime();
            source.fill(scalars.step(), virtualRank, m, inputs, labels);
            dataNanos += System.nanoTime() - start;
            sum += model.lossAndGradient(into, inputs, labels, scale, m > 0);
        }
        lossSums[virtualRank] = sum;
    }

    private Verdict vote() {
        long start = System.nanoTime();
        List<HeldChunk> chunks = new ArrayList<>(heldChunks.length);
        for (int chunk : heldChunks) {
            double squares =
                    kernels.sumOfSquares(finished[chunk], finished[chunk].elements());
            chunks.add(new HeldChunk(chunk, held.digest(chunk), squares));
        }
        List<LossSum> losses = new ArrayList<>(block.count());
        for (int v = block.first(); v < block.end(); v++) {
            losses.add(new LossSum(v, lossSums[v]));
        }
        Vote own = new Vote(transport.rank(), scalars.step(), chunks, losses);
        double mean = 1 / (scalars.lossScale() * plan.microBatches());
        Verdict verdict = Verdict.of(votes.exchange(generation, own), grid.size(),
                plan.virtualRanks(), plan.tokensPerStep(), mean, plan.optimizer().clip());
        reductionNanos += System.nanoTime() - start;
        return verdict;
    }

    /** Applies the committed update everywhere it is held; returns the learning rate used. */
    private double update(Verdict.Apply apply) {
        long n = scalars.appliedUpdates() + 1;
        double rate = settings.learningRate().applyAsDouble(scalars.appliedUpdates());
        OptimizerSettings o = plan.optimizer();
        AdamW decaying = scalars(o, apply.gradientFactor(), rate, n, (float) o.weightDecay());
        AdamW plain = scalars(o, apply.gradientFactor(), rate, n, 0);
        for (int chunk : heldChunks) {
            held.apply(chunk, finished[chunk], decaying, plain, compute);
        }
        scalars = scalars.applied();
        gather.gather(generation, scalars.step(), compute);
        return rate;
    }

    private static AdamW scalars(
            OptimizerSettings o, float gradientFactor, double rate, long n, float decay) {
        return new AdamW(gradientFactor, (float) rate, (float) o.beta1(), (float) o.beta2(),
                (float) o.epsilon(), decay,
                (float) (1 / (1 - StrictMath.pow(o.beta1(), (double) n))),
                (float) (1 / (1 - StrictMath.pow(o.beta2(), (double) n))));
    }

    private StepReport report(Verdict.Apply apply, double rate, long optimizerNanos) {
        long forward = model.takeForwardNanos();
        long backward = model.takeBackwardNanos();
        return new StepReport(scalars.step() - 1, apply.loss(), apply.norm(), rate, apply.state(),
                block.count() * plan.sequencesPerVirtualRank(),
                new StepReport.Times(dataNanos, forward, backward,
                        reductionNanos - forward - backward, optimizerNanos));
    }

    /**
     * Sums the losses of one batch of {@code source} per hosted virtual rank, without gradients.
     *
     * @param batch number of the batch, as a step number
     * @return V sums, zero for virtual ranks that are not hosted here
     */
    public double[] losses(BatchSource source, long batch) {
        requireShape(source);
        double[] sums = new double[plan.virtualRanks()];
        for (int v = block.first(); v < block.end(); v++) {
            for (int m = 0; m < plan.microBatchesPerVirtualRank(); m++) {
                source.fill(batch, v, m, inputs, labels);
                sums[v] += model.loss(inputs, labels);
            }
        }
        return sums;
    }

    /** See {@link NeoxModel#logits}. */
    public void logits(MemorySegment out, MemorySegment tokens, int firstRow, int rows) {
        model.logits(out, tokens, firstRow, rows);
    }

    private void closeAfter(Throwable failure) {
        try {
            close();
        } catch (RuntimeException | Error e) {
            failure.addSuppressed(e);
        }
    }

    /** Frees everything, also where freeing a part of it fails; a second call does nothing. */
    @Override
    public void close() {
        Runnable next = opened.poll();
        if (next != null) {
            try {
                next.run();
            } finally {
                close();
            }
        }
    }
}
