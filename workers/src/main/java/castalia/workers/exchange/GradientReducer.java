package castalia.workers.exchange;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Kernels;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.Placement;
import castalia.protocol.step.ReductionTree;
import castalia.protocol.step.ReductionTree.Node;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.model.FlatViews;
import castalia.workers.state.HeldChunks;
import java.util.List;

/**
 * Finishes the sum of gradients over virtual ranks. Every rank sends its folded subtrees of a chunk
 * to the chunk's owner; the owner finishes the canonical tree and forwards the result to the buddy.
 * No ring: its order would depend on the number of ranks.
 */
public final class GradientReducer {

    private final ChunkGrid grid;
    private final Placement placement;
    private final Transport transport;
    private final HeldChunks held;
    private final Kernels kernels;
    private final List<Node> cover;
    private final Term tree;
    private final Buffer[][] scratch;
    private final int[] owned;
    private final int[] buddied;
    private int scratchUsed;

    /** How the owner comes by the sum of a node. */
    private sealed interface Term {
        /** Folded by this rank, at a position of its cover. */
        record Mine(int position) implements Term {}

        /** Folded by another rank. */
        record Theirs(int rank, int first) implements Term {}

        record Sum(Term left, Term right) implements Term {}
    }

    /**
     * A rank's reducer.
     *
     * @param held what this rank holds, and at least what the placement says; gives memory for
     *     finished gradients that this rank does not fold itself
     * @param arena gives working memory of a few chunks
     */
    public GradientReducer(
            ChunkGrid grid,
            Placement placement,
            int virtualRanks,
            Transport transport,
            HeldChunks held,
            Kernels kernels,
            Arena arena) {
        this.grid = grid;
        this.placement = placement;
        this.transport = transport;
        this.held = held;
        this.kernels = kernels;
        int rank = transport.rank();
        this.cover = ReductionTree.cover(virtualRanks, placement.block(rank));
        this.tree = term(ReductionTree.root(virtualRanks), virtualRanks);
        this.owned = placement.owned(rank);
        this.buddied = placement.buddied(rank);
        int longest = grid.chunks().stream().mapToInt(Chunk::length).max().orElse(0);
        this.scratch = new Buffer[received(tree)][grid.size()];
        for (Buffer[] views : scratch) {
            Buffer whole = arena.allocate(DType.F32, longest);
            for (Chunk chunk : grid.chunks()) {
                views[chunk.index()] = whole.slice(0, chunk.length());
            }
        }
        for (int chunk : buddied) {
            held.gradientBuffer(chunk);
        }
        boolean kept = leftmost(tree) instanceof Term.Theirs;
        for (int chunk : owned) {
            if (kept) {
                held.gradientBuffer(chunk);
            } else {
                held.releaseGradient(chunk);
            }
        }
    }

    /** The term in whose memory the whole sum is formed. */
    private static Term leftmost(Term term) {
        return term instanceof Term.Sum(Term left, Term _) ? leftmost(left) : term;
    }

    private Term term(Node node, int virtualRanks) {
        int mine = cover.indexOf(node);
        if (mine >= 0) {
            return new Term.Mine(mine);
        }
        for (int rank = 0; rank < placement.ranks(); rank++) {
            if (ReductionTree.cover(virtualRanks, placement.block(rank)).contains(node)) {
                return new Term.Theirs(rank, node.first());
            }
        }
        return new Term.Sum(term(node.left(), virtualRanks), term(node.right(), virtualRanks));
    }

    /** Most received parts that are held at once while a tree is summed left to right. */
    private static int received(Term term) {
        return switch (term) {
            case Term.Mine _ -> 0;
            case Term.Theirs _ -> 1;
            case Term.Sum(Term left, Term right) -> Math.max(
                    received(left), (left instanceof Term.Mine ? 0 : 1) + received(right));
        };
    }

    /** The nodes this rank must fold by itself, in the order {@link #reduce} expects them. */
    public List<Node> cover() {
        return cover;
    }

    /**
     * Reduces every chunk and tells the held chunks where their finished gradients lie: in their own
     * memory, or in {@code folded} until that is written again. When this ends early, those that
     * were told are right nevertheless.
     *
     * @param folded the gradients of the nodes of {@link #cover}; owned chunks of them are summed
     *     into, and all stay untouched until the transport is drained
     */
    public void reduce(long generation, long step, FlatViews[] folded) {
        scratchUsed = 0;
        int rank = transport.rank();
        for (Chunk chunk : grid.chunks()) {
            int owner = placement.owner(chunk.index());
            if (owner != rank) {
                for (int i = 0; i < folded.length; i++) {
                    transport.send(owner, partial(generation, step, chunk.index(),
                            cover.get(i).first()), folded[i].chunk(chunk.index()).segment());
                }
            }
        }
        for (int chunk : owned) {
            Buffer sum = evaluate(tree, generation, step, chunk, folded);
            if (scratchUsed > 0) {
                Buffer kept = held.gradientBuffer(chunk);
                kernels.cast(kept, sum, sum.elements());
                sum = kept;
                scratchUsed = 0;
            }
            held.finish(chunk, sum);
            int buddy = placement.buddy(chunk);
            if (buddy != Placement.NONE) {
                transport.send(buddy, finished(generation, step, chunk), sum.segment());
            }
        }
        for (int chunk : buddied) {
            Buffer into = held.gradientBuffer(chunk);
            transport.receive(
                    placement.owner(chunk), finished(generation, step, chunk), into.segment());
            held.finish(chunk, into);
        }
    }

    private Buffer evaluate(
            Term term, long generation, long step, int chunk, FlatViews[] folded) {
        return switch (term) {
            case Term.Mine(int position) -> folded[position].chunk(chunk);
            case Term.Theirs(int rank, int first) -> {
                Buffer into = scratch[scratchUsed++][chunk];
                transport.receive(rank, partial(generation, step, chunk, first), into.segment());
                yield into;
            }
            case Term.Sum(Term left, Term right) -> {
                Buffer sum = evaluate(left, generation, step, chunk, folded);
                int used = scratchUsed;
                Buffer other = evaluate(right, generation, step, chunk, folded);
                kernels.add(sum, other, sum.elements());
                scratchUsed = used;
                yield sum;
            }
        };
    }

    private static FrameTag partial(long generation, long step, int chunk, int first) {
        return new FrameTag(Kind.PARTIAL_GRADIENT, generation, step, 0, chunk, first);
    }

    private static FrameTag finished(long generation, long step, int chunk) {
        return new FrameTag(Kind.FINISHED_GRADIENT, generation, step, 0, chunk, 0);
    }
}
