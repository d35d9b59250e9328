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
import castalia.protocol.step.TreeSum;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.exchange.Transport.Parts;
import castalia.workers.exchange.Transport.Source;
import castalia.workers.model.FlatViews;
import castalia.workers.state.HeldChunks;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
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
    private final int rank;
    private final List<Node> cover;
    private final TreeSum sum;
    private final FinishedGradients finished;
    private final int[] sent;
    private final int[] early;
    private final int[] late;
    private final Buffer[][] work;

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
        this.rank = transport.rank();
        List<List<Node>> covers = new ArrayList<>();
        for (int d = 0; d < placement.layout().dataParallel(); d++) {
            covers.add(ReductionTree.cover(virtualRanks, placement.blockOf(d)));
        }
        this.cover = placement.computes(rank) ? covers.get(placement.replica(rank)) : List.of();
        this.sum = TreeSum.of(virtualRanks, covers);
        this.sent = placement.computes(rank) ? order(sum, placement.replica(rank)) : new int[0];
        this.finished = new FinishedGradients(grid, placement, transport, held);
        this.early = FinishedGradients.early(grid, placement, rank);
        this.late = FinishedGradients.late(grid, placement, rank);
        int most = 0;
        for (int chunk : finished.owned()) {
            int own = ownReplica(chunk);
            most = Math.max(most, sum.chunks(own));
            if (own >= 0) {
                held.releaseGradient(chunk);
            } else {
                held.gradientBuffer(chunk);
            }
        }
        this.work = chunks(grid, arena, most);
    }

    /**
     * Working memory as long as the longest chunk, seen as each owned chunk. Written once, so that a
     * system that promised too much says so now and not within a step.
     */
    private Buffer[][] chunks(ChunkGrid grid, Arena arena, int count) {
        int longest = grid.chunks().stream().mapToInt(Chunk::length).max().orElse(0);
        Buffer[][] all = new Buffer[count][grid.size()];
        for (Buffer[] views : all) {
            Buffer whole = arena.allocate(DType.F32, longest);
            kernels.zero(whole, longest);
            for (int chunk : finished.owned()) {
                views[chunk] = whole.slice(0, grid.chunk(chunk).length());
            }
        }
        return all;
    }

    /** Positions of a replica's cover in the order in which its parts are taken. */
    private static int[] order(TreeSum sum, int replica) {
        return sum.steps().stream().flatMap(step -> step.parts().stream())
                .filter(part -> part.replica() == replica).mapToInt(TreeSum.Part::position).toArray();
    }

    /** The replica whose part of an owned chunk is this rank's, or -1. */
    private int ownReplica(int chunk) {
        int replica = placement.computes(rank) ? placement.replica(rank) : -1;
        return replica >= 0 && placement.source(replica, chunk) == rank ? replica : -1;
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
        finished.expect(generation, step);
    }

    /**
     * Starts sending this rank's folded gradients of one of {@link #early}; they stay untouched until
     * the transport is drained.
     */
    public void send(long generation, long step, int chunk, FlatViews[] folded) {
        for (int i : sent) {
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
     * When all of {@link #early} were sent: passes the finished gradients on and tells the held chunks
     * where they lie.
     *
     * @param folded the gradients of the nodes of {@link #cover}; owned chunks of them are summed
     *     into, and all stay untouched until the transport is drained
     */
    public void finish(long generation, long step, FlatViews[] folded) {
        for (int chunk : late) {
            send(generation, step, chunk, folded);
        }
        int[] owned = finished.owned();
        ChunkSum[] sums = new ChunkSum[owned.length];
        for (int i = 0; i < owned.length; i++) {
            sums[i] = new ChunkSum(generation, step, owned[i], folded);
            sums[i].begin();
        }
        for (int i = 0; i < owned.length; i++) {
            finished.send(generation, step, owned[i], sums[i].finish());
        }
        finished.receive(generation, step);
    }

    /**
     * What a step, or what was added to it, is summed into.
     *
     * @param own whether that is one of this rank's own parts
     */
    private record Result(Buffer buffer, boolean own) {

        /** That of the two in which their sum is formed. */
        Result plus(Result top) {
            return own || !top.own ? this : top;
        }
    }

    /**
     * The sum of one owned chunk. Each step takes a piece of all its parts at once, while they are in the
     * cache; its result goes where one of this rank's own parts lies, else into memory that is kept.
     */
    private final class ChunkSum {

        private final long generation;
        private final long step;
        private final int chunk;
        private final int own;
        private final FlatViews[] folded;
        private final List<Result> stack = new ArrayList<>();
        private List<Source> begun = List.of();

        ChunkSum(long generation, long step, int chunk, FlatViews[] folded) {
            this.generation = generation;
            this.step = step;
            this.chunk = chunk;
            this.own = ownReplica(chunk);
            this.folded = folded;
        }

        /** Where a step is all, it may be done as parts come: this thread computes nothing until then. */
        void begin() {
            TreeSum.Step first = sum.steps().getFirst();
            if (sum.steps().size() == 1 && first.received(own) > 0) {
                begun = sources(first);
                Result result = result(first);
                transport.begin(begun, result.buffer().segment().byteSize(),
                        summing(first, result, List.of()));
            }
        }

        Buffer finish() {
            for (TreeSum.Step each : sum.steps()) {
                run(each, begun.isEmpty() ? sources(each) : begun);
            }
            return stack.getFirst().buffer();
        }

        private void run(TreeSum.Step of, List<Source> sources) {
            Result result = result(of);
            List<Result> below = new ArrayList<>(of.additions()); // the nearest first
            Result last = result;
            for (int i = 0; i < of.additions(); i++) {
                Result next = stack.removeLast();
                below.add(next);
                last = next.plus(last);
            }
            stack.add(last);
            Parts summing = summing(of, result, below);
            if (sources.isEmpty()) {
                summing.piece(0, new MemorySegment[0]);
            } else {
                MemorySegment[] rooms = new MemorySegment[sources.size()];
                for (int i = 0; i < rooms.length; i++) {
                    rooms[i] = work[i][chunk].segment();
                }
                transport.receive(sources, rooms, summing);
            }
        }

        private List<Source> sources(TreeSum.Step of) {
            List<Source> sources = new ArrayList<>(TreeSum.MOST_PARTS);
            for (TreeSum.Part part : of.parts()) {
                if (part.replica() != own) {
                    sources.add(new Source(placement.source(part.replica(), chunk),
                            partial(generation, step, chunk, part.node().first())));
                }
            }
            return sources;
        }

        private Buffer mine(TreeSum.Part part) {
            return folded[part.position()].chunk(chunk);
        }

        /** Where the sum of a step's parts goes. */
        private Result result(TreeSum.Step of) {
            int first = of.own(own);
            if (first >= 0) {
                return new Result(mine(of.parts().get(first)), true);
            }
            if (of.isAdded(own)) {
                return stack.getLast();
            }
            int level = (int) stack.stream().filter(each -> !each.own).count() - (own < 0 ? 1 : 0);
            return new Result(level < 0
                    ? held.gradientBuffer(chunk) : work[sum.received(own) + level][chunk], false);
        }

        /** Sums a piece of a step's parts, and adds it to what is below. */
        private Parts summing(TreeSum.Step of, Result result, List<Result> below) {
            return (offset, bytes) -> {
                long at = offset / Float.BYTES;
                long count = bytes.length == 0
                        ? result.buffer().elements() : bytes[0].byteSize() / Float.BYTES;
                Buffer[] terms = new Buffer[of.parts().size()];
                int taken = 0;
                for (int i = 0; i < terms.length; i++) {
                    TreeSum.Part part = of.parts().get(i);
                    terms[i] = part.replica() == own ? mine(part).slice(at, count)
                            : new Buffer(DType.F32, count, bytes[taken++]);
                }
                Buffer top = terms[0];
                if (!of.isAdded(own)) {
                    top = result.buffer().slice(at, count);
                    total(top, of.own(own), terms);
                }
                Result last = result;
                for (Result each : below) {
                    Buffer next = each.buffer().slice(at, count);
                    boolean here = last.own && !each.own;
                    kernels.add(here ? top : next, here ? next : top, count); // in either order the same
                    top = here ? top : next;
                    last = each.plus(last);
                }
            };
        }

        /** @param own which of the terms lies where the sum goes, or -1 */
        private void total(Buffer into, int own, Buffer[] terms) {
            if (terms.length == 2 && own >= 0) {
                kernels.add(into, terms[1 - own], into.elements()); // x + y is y + x, bit for bit
            } else if (terms.length > 1 || own < 0) {
                kernels.sumPartials(into, terms, into.elements());
            }
        }
    }

    private static FrameTag partial(long generation, long step, int chunk, int first) {
        return new FrameTag(Kind.PARTIAL_GRADIENT, generation, step, 0, chunk, first);
    }
}
