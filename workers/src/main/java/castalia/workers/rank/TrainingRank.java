package castalia.workers.rank;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.Device;
import castalia.kernels.Kernels;
import castalia.protocol.CastaliaException;
import castalia.protocol.control.Committed;
import castalia.protocol.control.HolderReport;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.Placement;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.protocol.step.Verdict;
import castalia.protocol.step.VirtualRanks;
import castalia.workers.data.BatchSource;
import castalia.workers.exchange.DeviceLinks;
import castalia.workers.exchange.Transport;
import castalia.workers.model.FlatViews;
import castalia.workers.model.ModelPlan;
import castalia.workers.model.NeoxModel;
import castalia.workers.state.HeldChunks;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * One training slot: executes steps from start to end. The file to read first.
 *
 * <p>A step: for each hosted virtual rank forward and backward of its micro-batches, folding
 * complete subtrees of the canonical tree; the reducer finishes the sums at each chunk's owner and
 * forwards them to the buddy; all ranks vote and derive the same verdict; owners and buddies apply
 * it; new weights are gathered, while the next step begins. Used by one thread; its device belongs
 * to it.
 *
 * <p>The slot outlives generations: device, model, held chunks and their versions stay, and {@link
 * #install} gives it a new place. A step may end at any exchange with an exception of the
 * transport. Every held chunk is then at the step's version, with or without its finished gradient,
 * or all of them are at the next: an update begun is finished, as it exchanges nothing.
 */
public final class TrainingRank implements AutoCloseable {

    /** Version of compute weights of which some are missing or older than others. */
    public static final long INCOMPLETE = -1;

    private final ChunkGrid grid;
    private final Device device;
    private final Kernels kernels;
    private final RankModel model;
    private final RankState state;
    private final FoldBuffers buffers;
    private final java.lang.foreign.Arena host = java.lang.foreign.Arena.ofShared();
    private final BatchWork work;
    private final RankStep step;
    private final Deque<Runnable> opened = new ArrayDeque<>();
    private @Nullable GenerationLinks links;

    /**
     * Allocates what a rank needs in any generation. {@code device} is closed with it, and also
     * when this fails.
     */
    public TrainingRank(RankSettings settings, Device device) {
        TrainingPlan plan = settings.plan();
        this.grid = settings.grid();
        this.device = device;
        opened.push(device::close);
        opened.push(host::close);
        try {
            this.kernels = device.kernels();
            HeldChunks held = new HeldChunks(grid, kernels, device::arena);
            opened.push(held::close);
            this.model = new RankModel(new ModelPlan(grid.layout(), plan.microBatch(),
                    plan.sequence(), ModelPlan.computeType(plan.precision()), settings.recomputation(),
                    ModelPlan.headOf(device)), held, grid, device, plan.microBatches());
            opened.push(model::close);
            this.state = new RankState(held, model.weights(),
                    new UpdateRule(plan.optimizer(), settings.learningRate()), plan.lossScaler());
            this.buffers = new FoldBuffers(grid, device::arena);
            opened.push(buffers::close);
            opened.push(this::leave);
            this.work = new BatchWork(plan, model, host);
            this.step = new RankStep(plan, state, work);
        } catch (RuntimeException | Error e) {
            closeAfter(e);
            throw e;
        }
    }

    /** As the other, for a generation that nobody abandons. */
    public void install(long generation, Placement placement, Transport transport) {
        install(generation, placement, transport, () -> false);
    }

    /**
     * Takes its place in a generation: makes room for the chunks the placement gives it, which are
     * not set where they are new, and forgets finished gradients. Chunks of former placements stay
     * until {@link #dropOthers}. {@code direct} is closed when the generation is left, and also
     * when this fails.
     *
     * @param abandoned whether the generation is known to be over; asked between micro-batches
     */
    public void install(
            long generation, Placement placement, Transport direct, BooleanSupplier abandoned) {
        DeviceLinks others = new DeviceLinks(direct, Optional.empty());
        try {
            leave();
            others = DeviceLinks.of(direct, device, generation, grid.size(), abandoned);
            state.displace();
            if (model.place(placement, direct.rank())) {
                state.weightsIncomplete();
            }
            links = new GenerationLinks(generation, placement, others, abandoned,
                    new GenerationLinks.Parts(grid, held(), model.weights(), buffers, kernels,
                            device::arena, work.passes()));
        } catch (RuntimeException | Error e) {
            others.close();
            throw e;
        }
        model.connect(links());
    }

    /** Leaves the generation, if there is one: its transport is closed; what is held stays. */
    public void leave() {
        state.endSaving();
        GenerationLinks left = links;
        links = null;
        if (left != null) {
            left.close();
        }
    }

    /** Frees the chunks that the installed placement does not give this rank. */
    public void dropOthers() {
        state.endSaving();
        GenerationLinks now = links();
        for (int chunk : held().chunks()) {
            if (!now.placement.holds(rank(), chunk)) {
                held().drop(chunk);
            }
        }
    }

    /** Whether it is part of a generation. */
    public boolean installed() {
        return links != null;
    }

    GenerationLinks links() {
        GenerationLinks now = links;
        if (now == null) {
            throw new IllegalStateException("the rank is part of no generation");
        }
        return now;
    }

    /** Its number in the generation. */
    public int rank() {
        return links().transport().rank();
    }

    /** The generation's placement. */
    public Placement placement() {
        return links().placement;
    }

    /** The part of the state that is no tensor. */
    public ScalarState scalars() {
        return state.scalars();
    }

    /** The scalar state before the first step. */
    ScalarState initialScalars() {
        return state.scaler().initial();
    }

    /** The virtual ranks computed here. */
    public VirtualRanks.Block block() {
        return links().block;
    }

    /** Weights and moments held here. */
    public HeldChunks held() {
        return state.held();
    }

    /** The weights that it computes with, in the compute type, all of them; not while a step runs. */
    public FlatViews compute() {
        settle();
        return model.weights().views();
    }

    /** Waits for compute weights on their way; to be called before an exchange that is no step's. */
    public void settle() {
        if (links != null) {
            links.weights().settle();
        }
    }

    /** Inverts a bit of a weight in the compute type, for fault injection; false if there is none. */
    public boolean flip(long element, int bit) {
        settle();
        Optional<Buffer> weights = model.weights().flippable();
        weights.ifPresent(w -> bytes().flip(w, element, bit));
        return weights.isPresent();
    }

    /** The plan of a micro-batch. */
    public ModelPlan modelPlan() {
        return model.plan();
    }

    /** The host's way to the memory of this rank's device. */
    public DeviceBytes bytes() {
        return new DeviceBytes(device);
    }

    /** What computes, for people. */
    public String deviceDescription() {
        return device.description();
    }

    /** The operations of this rank's device. */
    Kernels kernels() {
        return kernels;
    }

    /** Memory of this rank's device. */
    Arena newArena() {
        return device.arena();
    }

    /** Bytes of device memory this rank uses. */
    public long allocatedBytes() {
        GenerationLinks now = links;
        return model.allocatedBytes() + held().allocatedBytes() + buffers.allocatedBytes()
                + (now == null ? 0 : now.allocatedBytes());
    }

    /** Payload bytes sent so far in this generation. */
    public long sentBytes() {
        return links().transport().sentBytes();
    }

    /** Sequences computed since the rank was made, those of abandoned steps included. */
    public long sequences() {
        return work.sequences();
    }

    /** Version of the complete compute weights, those on their way not among them, or {@link #INCOMPLETE}. */
    public long weightsVersion() {
        return state.weightsVersion();
    }

    /**
     * To be called on all ranks when the held tensors were set: makes {@code scalars} current, takes
     * digests and gathers the compute weights.
     */
    public void loaded(ScalarState scalars) {
        state.loaded(scalars, links().heldChunks);
        gather();
    }

    /**
     * Makes a scalar state current whose chunks are all here, those of its placement at least. A rank
     * that computes nothing lacks no weights from then on.
     *
     * @throws IllegalStateException if one is missing or of another version
     */
    public void resume(ScalarState scalars) {
        state.resume(scalars, links().heldChunks);
        if (placement().slices(rank()).count() == 0) {
            state.weightsComplete(); // it computes with none
        }
    }

    /**
     * To be called on all ranks: no chunk held is of any version from now on, until it is set anew.
     */
    public void forget() {
        state.endSaving();
        if (links != null) {
            links.withdrawWeights();
        }
        held().invalidateAll();
    }

    /** What it holds, for a learner of the same worker. */
    RankState state() {
        return state;
    }

    /** To be called on all ranks: rounds held weights and gathers, or serves, compute weights. */
    public void gather() {
        step.gather(links());
    }

    /**
     * Finishes a committed step on every chunk that has its finished gradient and is still before
     * it. To be called before {@link #install}, which forgets gradients; compute weights are to be
     * gathered after it.
     *
     * @param after the scalar state after the update
     */
    public void rollForward(Committed update, ScalarState after) {
        leave();
        state.rollForward(update, after);
    }

    /**
     * What this rank holds, in answer to a query; not while a step runs. An update that it knows to
     * be committed is finished first.
     */
    public HolderReport report(Fence fence, Incarnation worker) {
        state.finishCommitted(this::leave);
        return state.report(fence, worker);
    }

    /** Digest of the chunks this rank owns; the sum over ranks is the state's digest. */
    public StateDigest ownedDigest() {
        return state.digest(links().placement.owned(rank()));
    }

    /** As the other, with nothing to do besides. */
    public StepReport step(BatchSource source) {
        return step(source, () -> {}, _ -> {});
    }

    /**
     * Executes the next step.
     *
     * @param beforeVote called when the gradients are there
     * @param whenCommitted called between verdict and update, while the finished gradients are
     *     there
     * @throws CastaliaException if owner and buddy of a chunk disagree, or the gradient is not
     *     finite and no smaller loss scale is left; the state is then that before the step
     */
    public StepReport step(
            BatchSource source, Runnable beforeVote, Consumer<Verdict.Outcome> whenCommitted) {
        gradients(source);
        beforeVote.run();
        return step.carryOut(step.vote(links()), links(), whenCommitted);
    }

    /**
     * The first half of a step: leaves the finished gradient of every held chunk. It is the sum
     * over all micro-batches of the gradients of their mean losses.
     */
    public void gradients(BatchSource source) {
        step.gradients(source, links());
    }

    /** The finished gradient of a held chunk, valid until the next step. */
    public Buffer finishedGradient(int chunk) {
        return held().finishedGradient(chunk);
    }

    /**
     * Sums the losses of one batch of {@code source} per hosted virtual rank, without gradients.
     *
     * @param batch number of the batch, as a step number
     * @return V sums, zero for virtual ranks that this rank does not speak for
     */
    public double[] losses(BatchSource source, long batch) {
        double[] sums = work.losses(source, batch, block(), links()::requireCurrent);
        return links().speaks() ? sums : new double[sums.length];
    }

    /** See {@link NeoxModel#logits}. */
    public void logits(MemorySegment out, MemorySegment tokens, int firstRow, int rows) {
        model.model().logits(out, tokens, firstRow, rows);
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
