package castalia.workers.exchange;

import castalia.kernels.Buffer;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.Placement;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.state.HeldChunks;
import java.util.Arrays;
import java.util.Comparator;

/**
 * Brings the finished gradient of a chunk from its owner to the chunk's other holders.
 *
 * <p>Chunks go in the order in which a backward pass finishes them, so that they may leave while it
 * still runs. Whoever receives takes a sender's frames in the order in which they were sent: a
 * transport that has no room for more may then wait until the oldest is taken.
 */
final class FinishedGradients {

    private final Placement placement;
    private final Transport transport;
    private final HeldChunks held;
    private final int[] owned;
    private final int[] buddied;
    private final int[][] others;

    /** Allocates memory for what arrives. */
    FinishedGradients(
            ChunkGrid grid, Placement placement, Transport transport, HeldChunks held) {
        this.placement = placement;
        this.transport = transport;
        this.held = held;
        int rank = transport.rank();
        int[] order = order(grid);
        this.owned = Arrays.stream(order).filter(c -> placement.owner(c) == rank).toArray();
        this.buddied = Arrays.stream(order)
                .filter(c -> placement.owner(c) != rank && placement.holds(rank, c)).toArray();
        this.others = new int[grid.size()][];
        for (int chunk : owned) {
            others[chunk] = Arrays.stream(placement.holders(chunk))
                    .filter(r -> r != rank).toArray();
        }
        for (int chunk : buddied) {
            held.gradientBuffer(chunk);
        }
    }

    /** All chunks in the order in which a backward pass finishes their gradients. */
    static int[] order(ChunkGrid grid) {
        return grid.chunks().stream()
                .sorted(Comparator.comparingInt((Chunk c) -> -c.layer())
                        .thenComparingInt(Chunk::index))
                .mapToInt(Chunk::index).toArray();
    }

    /** The chunks whose gradients a rank sends to their owners, in that order. */
    static int[] sent(ChunkGrid grid, Placement placement, int rank) {
        return Arrays.stream(order(grid))
                .filter(c -> placement.computes(rank) && placement.owner(c) != rank
                        && placement.source(placement.replica(rank), c) == rank)
                .toArray();
    }

    /**
     * Those of {@link #sent} that may leave while a pass still runs. Not to ranks that take part in the
     * same pass: what an owner is not ready to take must not stand before the slices that it waits for.
     */
    static int[] early(ChunkGrid grid, Placement placement, int rank) {
        return Arrays.stream(sent(grid, placement, rank))
                .filter(c -> leavesEarly(placement, rank, placement.owner(c))).toArray();
    }

    /** The others of {@link #sent}. */
    static int[] late(ChunkGrid grid, Placement placement, int rank) {
        return Arrays.stream(sent(grid, placement, rank))
                .filter(c -> !leavesEarly(placement, rank, placement.owner(c))).toArray();
    }

    private static boolean leavesEarly(Placement placement, int rank, int owner) {
        return placement.layout().tensorParallel() == 1 || !placement.computes(owner)
                || placement.replica(owner) != placement.replica(rank);
    }

    /** The chunks this rank owns, in that order. */
    int[] owned() {
        return owned;
    }

    /** Passes on the finished gradient of an owned chunk, which stays where it is. */
    void send(long generation, long step, int chunk, Buffer sum) {
        held.finish(chunk, sum);
        for (int other : others[chunk]) {
            transport.send(other, tag(generation, step, chunk), sum.segment());
        }
    }

    /** Says where finished gradients are going to be received; their memory is free from now on. */
    void expect(long generation, long step) {
        for (int chunk : buddied) {
            transport.expect(placement.owner(chunk), tag(generation, step, chunk),
                    held.gradientBuffer(chunk).segment());
        }
    }

    /** Receives those of the chunks that this rank holds and does not own. */
    void receive(long generation, long step) {
        for (int chunk : buddied) {
            Buffer into = held.gradientBuffer(chunk);
            transport.receive(
                    placement.owner(chunk), tag(generation, step, chunk), into.segment());
            held.finish(chunk, into);
        }
    }

    private static FrameTag tag(long generation, long step, int chunk) {
        return new FrameTag(Kind.FINISHED_GRADIENT, generation, step, 0, chunk, 0);
    }
}
