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
import java.util.Arrays;
import java.util.List;

/**
 * Finishes the sum of gradients over virtual ranks for ZeRO 0 and 1. Of every replica one rank sends
 * the replica's folded subtrees of a chunk to the chunk's owner; the owner finishes the canonical tree
 * and forwards the result to the other holders. No ring: its order would depend on the number of
 * ranks.
 */
public final class GradientReducer {

    private final Placement placement;
    private final Transport transport;
    private final HeldChunks held;
    private final Kernels kernels;
    private final List<Node> cover;
    private final Term tree;
    private final FinishedGradients finished;
    private final Buffer[][] scratch;
    private final int[] early;
    private final int[] late;
    private int scratchUsed;

    /** How the owner comes by the sum of a node. */
    private sealed interface Term {
        /** Folded by a replica, at a position of its cover. */
        record Folded(int replica, int position, int first) implements Term {}

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
        this.placement = placement;
        this.transport = transport;
        this.held = held;
        this.kernels = kernels;
        this.cover = ReductionTree.cover(virtualRanks, placement.block(transport.rank()));
        this.tree = term(ReductionTree.root(virtualRanks), virtualRanks);
        this.finished = new FinishedGradients(grid, placement, transport, held);
        this.early = FinishedGradients.early(grid, placement, transport.rank());
        this.late = FinishedGradients.late(grid, placement, transport.rank());
        int most = 0;
        for (int chunk : finished.owned()) {
            most = Math.max(most, received(tree, chunk, true));
            if (isMine(home(tree, chunk), chunk)) {
                held.releaseGradient(chunk);
            } else {
                held.gradientBuffer(chunk);
            }
        }
        int longest = grid.chunks().stream().mapToInt(Chunk::length).max().orElse(0);
        this.scratch = new Buffer[most][grid.size()];
        for (Buffer[] views : scratch) {
            Buffer whole = arena.allocate(DType.F32, longest);
            for (int chunk : finished.owned()) {
                views[chunk] = whole.slice(0, grid.chunk(chunk).length());
            }
        }
    }

    private boolean isMine(Term.Folded term, int chunk) {
        return placement.source(term.replica(), chunk) == transport.rank();
    }

    /** The term in whose memory a sum is formed. */
    private Term.Folded home(Term term, int chunk) {
        return switch (term) {
            case Term.Folded folded -> folded;
            case Term.Sum(Term.Folded left, Term.Folded right)
                    when !isMine(left, chunk) && isMine(right, chunk) -> right;
            case Term.Sum(Term left, Term _) -> home(left, chunk);
        };
    }

    private Term term(Node node, int virtualRanks) {
        for (int d = 0; d < placement.layout().dataParallel(); d++) {
            int position =
                    ReductionTree.cover(virtualRanks, placement.blockOf(d)).indexOf(node);
            if (position >= 0) {
                return new Term.Folded(d, position, node.first());
            }
        }
        return new Term.Sum(term(node.left(), virtualRanks), term(node.right(), virtualRanks));
    }

    /**
     * Most received parts that are held at once while a chunk's tree is summed left to right.
     *
     * @param whole whether the term's sum is the chunk's, which has memory of its own
     */
    private int received(Term term, int chunk, boolean whole) {
        return switch (term) {
            case Term.Folded folded -> whole || isMine(folded, chunk) ? 0 : 1;
            case Term.Sum(Term.Folded left, Term.Folded right)
                    when !isMine(left, chunk) && isMine(right, chunk) -> 1;
            case Term.Sum(Term left, Term right) -> Math.max(received(left, chunk, whole),
                    (whole || isMine(home(left, chunk), chunk) ? 0 : 1)
                            + received(right, chunk, false));
        };
    }

    /** The nodes this rank must fold by itself, in the order {@link #finish} expects them. */
    public List<Node> cover() {
        return cover;
    }

    /**
     * The chunks whose folded gradients this rank may send while it still computes, in the order in
     * which it does: that in which a backward pass finishes them.
     */
    public int[] early() {
        return early.clone();
    }

    /**
     * Begins a step: no finished gradient is held from now on, and what arrives goes straight to its
     * place.
     */
    public void begin(long generation, long step) {
        for (int chunk : finished.owned()) {
            Term.Folded first = home(tree, chunk);
            if (!isMine(first, chunk)) {
                transport.expect(placement.source(first.replica(), chunk),
                        partial(generation, step, chunk, first.first()),
                        held.gradientBuffer(chunk).segment());
            }
        }
        finished.expect(generation, step);
    }

    /**
     * Starts sending this rank's folded gradients of one of {@link #early}; they stay untouched until
     * the transport is drained.
     */
    public void send(long generation, long step, int chunk, FlatViews[] folded) {
        for (int i = 0; i < folded.length; i++) {
            transport.send(placement.owner(chunk),
                    partial(generation, step, chunk, cover.get(i).first()),
                    folded[i].chunk(chunk).segment());
        }
    }

    /** Begins, sends all of {@link #early} and finishes. */
    public void reduce(long generation, long step, FlatViews[] folded) {
        begin(generation, step);
        for (int chunk : early) {
            send(generation, step, chunk, folded);
        }
        finish(generation, step, folded);
    }

    /**
     * When all of {@link #early} were sent: finishes the sums of the chunks owned, passes them on, and
     * tells the held chunks where their finished gradients lie: in their own memory, or in {@code
     * folded} until that is written again. When this ends early, those that were told are right
     * nevertheless.
     *
     * @param folded the gradients of the nodes of {@link #cover}; owned chunks of them are summed
     *     into, and all stay untouched until the transport is drained
     */
    public void finish(long generation, long step, FlatViews[] folded) {
        for (int chunk : late) {
            send(generation, step, chunk, folded);
        }
        if (tree instanceof Term.Sum(Term.Folded left, Term.Folded right)) {
            for (int chunk : finished.owned()) {
                beginAdding(left, right, generation, step, chunk, folded);
            }
        }
        for (int chunk : finished.owned()) {
            scratchUsed = 0;
            finished.send(generation, step, chunk,
                    evaluate(tree, true, generation, step, chunk, folded));
        }
        finished.receive(generation, step);
    }

    /**
     * The sum of a term, in memory that more may be added to.
     *
     * @param whole whether it is the chunk's sum
     */
    private Buffer evaluate(Term term, boolean whole, long generation, long step, int chunk,
            FlatViews[] folded) {
        return switch (term) {
            case Term.Folded of when isMine(of, chunk) -> folded[of.position()].chunk(chunk);
            case Term.Folded of -> {
                Buffer into = whole
                        ? held.gradientBuffer(chunk) : scratch[scratchUsed++][chunk];
                transport.receive(placement.source(of.replica(), chunk),
                        partial(generation, step, chunk, of.first()), into.segment());
                yield into;
            }
            case Term.Sum(Term.Folded left, Term.Folded right)
                    when !isMine(left, chunk) && isMine(right, chunk) -> {
                Buffer own = folded[right.position()].chunk(chunk);
                addReceived(left, own, generation, step, chunk); // x + y is y + x, bit for bit
                yield own;
            }
            case Term.Sum(Term left, Term right) -> {
                Buffer sum = evaluate(left, whole, generation, step, chunk, folded);
                int used = scratchUsed;
                if (right instanceof Term.Folded of && !isMine(of, chunk)) {
                    addReceived(of, sum, generation, step, chunk);
                } else {
                    Buffer other = evaluate(right, false, generation, step, chunk, folded);
                    kernels.add(sum, other, sum.elements());
                }
                scratchUsed = used;
                yield sum;
            }
        };
    }

    /**
     * Where two replicas compute, each chunk takes one addition, which may begin as soon as the other's
     * part comes: this thread computes nothing until the last is done.
     */
    private void beginAdding(Term.Folded left, Term.Folded right, long generation, long step, int chunk,
            FlatViews[] folded) {
        if (isMine(left, chunk) != isMine(right, chunk)) {
            Term.Folded own = isMine(left, chunk) ? left : right;
            Term.Folded part = isMine(left, chunk) ? right : left;
            FinishedGradients.beginAdding(kernels, folded[own.position()].chunk(chunk), transport,
                    placement.source(part.replica(), chunk),
                    partial(generation, step, chunk, part.first()), scratch[0][chunk]);
        }
    }

    private void addReceived(
            Term.Folded part, Buffer sum, long generation, long step, int chunk) {
        FinishedGradients.addReceived(kernels, sum, transport,
                placement.source(part.replica(), chunk),
                partial(generation, step, chunk, part.first()), scratch[scratchUsed][chunk]);
    }

    private static FrameTag partial(long generation, long step, int chunk, int first) {
        return new FrameTag(Kind.PARTIAL_GRADIENT, generation, step, 0, chunk, first);
    }
}
