package castalia.workers.rank;

import castalia.kernels.Arena;
import castalia.kernels.Kernels;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.Placement;
import castalia.protocol.step.Verdict;
import castalia.protocol.step.VirtualRanks;
import castalia.protocol.step.Vote;
import castalia.workers.exchange.AbandonedException;
import castalia.workers.exchange.GradientReducer;
import castalia.workers.exchange.Transport;
import castalia.workers.exchange.VoteExchange;
import castalia.workers.exchange.WeightGather;
import castalia.workers.model.FlatViews;
import castalia.workers.state.HeldChunks;
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
    private final Transport transport;
    private final BooleanSupplier abandoned;
    private final Arena scratch;
    private final GradientReducer reducer;
    private final VoteExchange votes;
    private final WeightGather gather;
    private final GradientFold fold;

    /** What of the rank a generation works with. */
    record Parts(
            ChunkGrid grid, HeldChunks held, FoldBuffers buffers, Kernels kernels,
            Supplier<Arena> arenas) {}

    /**
     * Makes the exchanges and room for every chunk held. {@code transport} is closed with it, and
     * also when this fails.
     *
     * @param abandoned whether the generation is known to be over; asked by the rank's thread
     */
    GenerationLinks(
            long generation,
            Placement placement,
            Transport transport,
            BooleanSupplier abandoned,
            Parts parts) {
        this.generation = generation;
        this.placement = placement;
        this.virtualRanks = placement.virtualRanks();
        this.transport = transport;
        this.abandoned = abandoned;
        this.scratch = parts.arenas().get();
        ChunkGrid grid = parts.grid();
        int rank = transport.rank();
        try {
            this.block = placement.block(rank);
            this.heldChunks = placement.held(rank);
            for (int chunk : heldChunks) {
                parts.held().add(chunk);
            }
            this.reducer = new GradientReducer(grid, placement, virtualRanks, transport,
                    parts.held(), parts.kernels(), scratch);
            this.gather = new WeightGather(grid, placement, transport);
            this.fold = new GradientFold(reducer.cover(), parts.kernels(),
                    parts.buffers().take(GradientFold.buffers(reducer.cover())));
            this.votes = new VoteExchange(transport, placement, grid.size());
        } catch (RuntimeException | Error e) {
            scratch.close();
            transport.close();
            throw e;
        }
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

    /** Folds the gradients of this rank's virtual ranks and finishes those of the chunks held. */
    void reduce(long step, GradientFold.Leaf leaf) {
        FlatViews[] folded = fold.fold(leaf);
        requireCurrent();
        reducer.reduce(generation, step, folded);
    }

    /** Exchanges votes and derives what they amount to. */
    Verdict vote(Vote own, long tokens, double gradientMean, double clip) {
        List<Vote> all = votes.exchange(generation, own);
        return Verdict.of(
                all, placement.chunks(), virtualRanks, tokens, gradientMean, clip);
    }

    /** Brings every rank the compute weights of {@code version}. */
    void gather(long version, FlatViews compute) {
        gather.gather(generation, version, compute);
    }

    long generation() {
        return generation;
    }

    long allocatedBytes() {
        return scratch.allocatedBytes();
    }

    /** Ends the transport first: from then on nothing is read from this rank's memory. */
    @Override
    public void close() {
        try {
            transport.close();
        } finally {
            votes.close();
            scratch.close();
        }
    }
}
