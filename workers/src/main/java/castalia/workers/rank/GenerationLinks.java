package castalia.workers.rank;

import castalia.kernels.Arena;
import castalia.kernels.DType;
import castalia.kernels.Kernels;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.LayerWindows;
import castalia.protocol.layout.LocalSpace;
import castalia.protocol.layout.Placement;
import castalia.protocol.step.ReductionTree;
import castalia.protocol.step.Verdict;
import castalia.protocol.step.VirtualRanks;
import castalia.protocol.step.Vote;
import castalia.workers.exchange.AbandonedException;
import castalia.workers.exchange.DeviceLinks;
import castalia.workers.exchange.GradientReducer;
import castalia.workers.exchange.LayerwiseReducer;
import castalia.workers.exchange.LeafReducer;
import castalia.workers.exchange.Transport;
import castalia.workers.exchange.VoteExchange;
import castalia.workers.exchange.WeightGather;
import castalia.workers.model.FlatViews;
import castalia.workers.state.HeldChunks;
import java.util.ArrayList;
import java.util.List;
import java.util.function.BooleanSupplier;
import java.util.function.Supplier;

/**
 * What ties a rank to one generation: who the others are, who holds what, and the exchanges with
 * them. Closed when the generation is over; what the rank holds outlives it.
 */
final class GenerationLinks implements AutoCloseable {

    final Placement placement;
    final VirtualRanks.Block block;
    final int[] heldChunks;
    private final long generation;
    private final int virtualRanks;
    private final boolean speaks;
    private final Transport transport;
    private final BooleanSupplier abandoned;
    private final DeviceLinks others;
    private final Arena scratch;
    private final List<java.lang.foreign.Arena> lent = new ArrayList<>();
    private final GradientPath gradients;
    private final VoteExchange votes;
    private final WeightPath weights;

    /**
     * What of the rank a generation works with.
     *
     * @param passes micro-batches of a virtual rank
     */
    record Parts(
            ChunkGrid grid, HeldChunks held, ComputeWeights weights, FoldBuffers buffers,
            Kernels kernels, Supplier<Arena> arenas, int passes) {}

    /**
     * Makes the exchanges, where there is room for every chunk held. {@code others} are closed with it,
     * by the caller when this fails.
     *
     * @param abandoned whether the generation is known to be over; asked by the rank's thread
     */
    GenerationLinks(
            long generation,
            Placement placement,
            DeviceLinks others,
            BooleanSupplier abandoned,
            Parts parts) {
        this.generation = generation;
        this.placement = placement;
        this.virtualRanks = placement.virtualRanks();
        this.others = others;
        this.transport = others.transport();
        this.speaks = placement.speaks(transport.rank());
        this.abandoned = abandoned;
        this.scratch = parts.arenas().get();
        ChunkGrid grid = parts.grid();
        int rank = transport.rank();
        try {
            this.block = placement.block(rank);
            this.heldChunks = placement.held(rank);
            this.gradients = placement.layout().zero() < 2 ? folded(parts) : leaves(parts);
            this.weights = placement.layout().fetchesWeights()
                    ? new WeightPath.Served(transport, parts.weights(), new FetchedLayers(
                            generation, placement, transport, parts.held(), parts.weights(),
                            parts.kernels()))
                    : new WeightPath.Gathered(generation, parts.weights(),
                            new WeightGather(
                                    grid, placement, transport, others.group(), abandoned),
                            transport);
            this.votes = new VoteExchange(transport, placement, grid.size());
        } catch (RuntimeException | Error e) {
            scratch.close();
            throw e;
        }
    }

    private GradientPath folded(Parts parts) {
        GradientReducer reducer = new GradientReducer(parts.grid(), placement, virtualRanks,
                transport, parts.held(), parts.kernels(), scratch);
        LocalSpace space = new LocalSpace(parts.grid(), placement.slices(transport.rank()));
        return GradientPath.Folded.of(
                new GradientFold(reducer.cover(), parts.kernels(), space,
                        parts.buffers().take(space, ReductionTree.buffers(reducer.cover()))),
                reducer);
    }

    private GradientPath leaves(Parts parts) {
        LeafReducer reducer = new LeafReducer(parts.grid(), placement, transport, parts.held(),
                parts.kernels(), scratch);
        LocalSpace space = new LocalSpace(parts.grid(), placement.slices(transport.rank()));
        if (placement.layout().fetchesWeights() && parts.passes() == 1) {
            parts.buffers().take(space, 0);
            FlatViews windows = FlatViews.windowed(new LayerWindows(space),
                    elements -> scratch.allocate(DType.F32, elements));
            return new GradientPath.Layers(block, windows, new LayerwiseReducer(parts.grid(),
                    placement, transport, parts.kernels(), reducer, windows));
        }
        return new GradientPath.Leaves(block, parts.buffers().take(space, 1).getFirst(),
                reducer, new ByLayer(parts.grid(), reducer.early()));
    }

    /** Whether this rank speaks for its replica. */
    boolean speaks() {
        return speaks;
    }

    Transport transport() {
        return transport;
    }

    /**
     * Stops a rank that computes for a generation that is over.
     *
     * @throws AbandonedException if it is
     */
    void requireCurrent() {
        if (abandoned.getAsBoolean()) {
            throw new AbandonedException("generation " + generation + " is over");
        }
    }

    /** Computes the gradients of this rank's virtual ranks and finishes those of the chunks held. */
    void reduce(long step, GradientFold.Leaf leaf) {
        gradients.reduce(generation, step, leaf, this::requireCurrent);
    }

    /** Exchanges votes and derives what they amount to. */
    Verdict vote(Vote own, long tokens, double gradientMean, double clip) {
        List<Vote> all = votes.exchange(generation, own);
        return Verdict.of(
                all, placement.chunks(), virtualRanks, tokens, gradientMean, clip);
    }

    /** How ranks come by the compute weights that others own. */
    WeightPath weights() {
        return weights;
    }

    /** To be called on all ranks: nobody reads weights of before when it returns, here or elsewhere. */
    void withdrawWeights() {
        weights.settle();
        weights.withdraw();
    }

    long generation() {
        return generation;
    }

    long allocatedBytes() {
        return scratch.allocatedBytes();
    }

    /** Frees memory that payloads are sent from when nothing reads it any more, at the latest. */
    void lend(java.lang.foreign.Arena payloads) {
        lent.add(payloads);
    }

    /** Frees it now: the transport was drained. */
    void takeBack(java.lang.foreign.Arena payloads) {
        lent.remove(payloads);
        payloads.close();
    }

    /** Ends what exchanges first: from then on nothing is read from this rank's memory. */
    @Override
    public void close() {
        try {
            others.close();
            lent.forEach(java.lang.foreign.Arena::close);
        } finally {
            votes.close();
            scratch.close();
        }
    }
}
