package castalia.workers.exchange;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Kernels;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.Placement;
import castalia.protocol.step.ReductionTree;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.exchange.Transport.Source;
import castalia.workers.model.FlatViews;
import castalia.workers.state.HeldChunks;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;

/**
 * Finishes the sum of gradients over virtual ranks for ZeRO 2 and 3: each virtual rank's gradient
 * leaves for the owners as soon as it is computed, and the owner folds the canonical tree over its own
 * chunks, leaf by leaf in ascending order, in log2(V) buffers of its shard: each second leaf is added as
 * it comes.
 *
 * <p>Work goes in rounds: replica d computes virtual rank {@code round * D + d}. Every rank takes all
 * leaves of a round before it begins the next, so that nobody is more than a round ahead. A rank needs
 * one full gradient buffer, which is free again when its leaf was received everywhere: micro-batches
 * of a virtual rank are accumulated in it.
 */
public final class LeafReducer {

    private final Placement placement;
    private final Transport transport;
    private final Kernels kernels;
    private final int leaves;
    private final FinishedGradients finished;
    private final int[] sent;
    private final int[] early;
    private final int[] late;
    private final Buffer[][] stack;
    private final Buffer[] room;

    /**
     * A rank's reducer.
     *
     * @param held what this rank holds, and at least what the placement says; gives memory for
     *     finished gradients, which outlive a generation
     * @param arena gives the other buffers of the shard
     */
    public LeafReducer(
            ChunkGrid grid, Placement placement, Transport transport, HeldChunks held,
            Kernels kernels, Arena arena) {
        this.placement = placement;
        this.transport = transport;
        this.kernels = kernels;
        this.leaves = placement.virtualRanks();
        this.finished = new FinishedGradients(grid, placement, transport, held);
        this.sent = FinishedGradients.sent(grid, placement, transport.rank());
        this.early = FinishedGradients.early(grid, placement, transport.rank());
        this.late = FinishedGradients.late(grid, placement, transport.rank());
        long shard = Arrays.stream(finished.owned())
                .mapToLong(c -> grid.chunk(c).length()).sum();
        this.stack = new Buffer[ReductionTree.sums(leaves)][grid.size()];
        this.room = new Buffer[grid.size()];
        for (int chunk : finished.owned()) {
            stack[0][chunk] = held.gradientBuffer(chunk);
        }
        for (int level = 1; level < stack.length; level++) {
            Buffer whole = arena.allocate(DType.F32, shard);
            long at = 0;
            for (int chunk : finished.owned()) {
                stack[level][chunk] = whole.slice(at, grid.chunk(chunk).length());
                at += grid.chunk(chunk).length();
            }
        }
        if (leaves > 1 && finished.owned().length > 0) {
            Buffer longest = arena.allocate(DType.F32,
                    grid.chunks().stream().mapToInt(Chunk::length).max().orElse(0));
            for (int chunk : finished.owned()) {
                room[chunk] = longest.slice(0, grid.chunk(chunk).length());
            }
        }
    }

    /** Rounds of a step. */
    public int rounds() {
        int replicas = placement.layout().dataParallel();
        return (leaves + replicas - 1) / replicas;
    }

    /**
     * The chunks whose gradients this rank may send while it still computes, in the order in which it
     * does: that in which a backward pass finishes them.
     */
    public int[] early() {
        return early.clone();
    }

    /**
     * Begins a step: no finished gradient is held from now on, and those that arrive go straight to
     * their place.
     */
    public void begin(long generation, long step) {
        finished.expect(generation, step);
    }

    /**
     * Starts sending one of {@link #early} of a leaf's gradient, which stays untouched until {@link
     * #fold} ends.
     */
    public void send(long generation, long step, int chunk, int leaf, FlatViews gradient) {
        transport.send(placement.owner(chunk), tag(generation, step, chunk, leaf),
                gradient.chunk(chunk).segment());
    }

    /**
     * When all of {@link #early} were sent: takes all leaves of a round; after the last one passes the
     * finished gradients on and tells the held chunks where they lie: in their own memory, until the
     * next step's first call.
     *
     * @param gradient this rank's leaf of the round; not read if it has none
     */
    public void fold(long generation, long step, int round, FlatViews gradient) {
        int replicas = placement.layout().dataParallel();
        int first = round * replicas;
        int end = Math.min(leaves, first + replicas);
        int mine = placement.computes(transport.rank())
                ? first + placement.replica(transport.rank()) : end;
        if (mine < end) {
            for (int chunk : late) {
                send(generation, step, chunk, mine, gradient);
            }
        }
        for (int chunk : finished.owned()) {
            fold(generation, step, round, chunk, gradient);
            if (end == leaves) {
                finished.send(generation, step, chunk, stack[0][chunk]);
            }
        }
        if (end == leaves) {
            finished.receive(generation, step);
        }
        transport.drain();
    }

    /** Takes all leaves of a round of one owned chunk; after the last its sum is there. */
    void fold(long generation, long step, int round, int chunk, FlatViews gradient) {
        int replicas = placement.layout().dataParallel();
        int end = Math.min(leaves, (round + 1) * replicas);
        for (int leaf = round * replicas; leaf < end; leaf++) {
            push(generation, step, chunk, leaf, gradient);
        }
        if (end == leaves) {
            for (int top = Integer.bitCount(leaves) - 1; top > 0; top--) {
                add(chunk, top - 1, stack[top][chunk]);
            }
        }
    }

    /** Passes on the sums of all owned chunks, and takes those of the others that are held. */
    void finish(long generation, long step) {
        for (int chunk : finished.owned()) {
            finished.send(generation, step, chunk, stack[0][chunk]);
        }
        finished.receive(generation, step);
        transport.drain();
    }

    int[] owned() {
        return finished.owned();
    }

    /** The chunks whose gradients this rank sends to their owners. */
    int[] sent() {
        return sent;
    }

    /** The sums below a leaf are of the subtrees that the bits of its number stand for. */
    private void push(long generation, long step, int chunk, int leaf, FlatViews gradient) {
        int top = Integer.bitCount(leaf);
        int source = placement.source(leaf % placement.layout().dataParallel(), chunk);
        boolean mine = source == transport.rank();
        if ((leaf & 1) == 0) {
            Buffer next = stack[top][chunk];
            if (mine) {
                kernels.cast(next, gradient.chunk(chunk), next.elements());
            } else {
                transport.receive(source, tag(generation, step, chunk, leaf), next.segment());
            }
            return;
        }
        if (mine) {
            add(chunk, top - 1, gradient.chunk(chunk));
        } else {
            Buffer sum = stack[top - 1][chunk];
            transport.receive(List.of(new Source(source, tag(generation, step, chunk, leaf))),
                    new MemorySegment[] {room[chunk].segment()},
                    (offset, bytes) -> addReceived(sum, offset, bytes[0]));
        }
        top--;
        for (int bit = leaf >> 1; (bit & 1) == 1; bit >>= 1) {
            top--;
            add(chunk, top, stack[top + 1][chunk]);
        }
    }

    private void addReceived(Buffer sum, long offset, MemorySegment piece) {
        long elements = piece.byteSize() / Float.BYTES;
        kernels.add(sum.slice(offset / Float.BYTES, elements),
                new Buffer(DType.F32, elements, piece), elements);
    }

    private void add(int chunk, int level, Buffer right) {
        kernels.add(stack[level][chunk], right, right.elements());
    }

    private static FrameTag tag(long generation, long step, int chunk, int leaf) {
        return new FrameTag(Kind.PARTIAL_GRADIENT, generation, step, 0, chunk, leaf);
    }
}
