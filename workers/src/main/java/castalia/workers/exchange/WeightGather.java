package castalia.workers.exchange;

import castalia.kernels.Buffer;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.Placement;
import castalia.workers.exchange.FrameTag.Kind;
import java.util.Arrays;
import java.util.function.IntFunction;
import java.util.stream.IntStream;

/**
 * Brings every rank the weights of a step that it computes with, in the compute type, rounded by
 * their owner. Holders have them already: all of them computed the same bits.
 */
public final class WeightGather {

    private final Placement placement;
    private final Transport transport;
    private final int[][] receivers;
    private final int[][] received;

    public WeightGather(ChunkGrid grid, Placement placement, Transport transport) {
        this.placement = placement;
        this.transport = transport;
        int rank = transport.rank();
        this.receivers = new int[grid.size()][];
        for (int c = 0; c < grid.size(); c++) {
            int chunk = c;
            receivers[c] = placement.owner(c) != rank ? new int[0]
                    : IntStream.range(0, placement.ranks())
                            .filter(to -> lacks(to, chunk)).toArray();
        }
        int[] lacking = IntStream.range(0, grid.size()).filter(c -> lacks(rank, c)).toArray();
        int[][] ofOthers = grid.byLayer(
                Arrays.stream(lacking).filter(c -> !isNear(rank, c)).toArray());
        this.received = new int[1 + ofOthers.length][];
        received[0] = Arrays.stream(lacking).filter(c -> isNear(rank, c)).toArray();
        System.arraycopy(ofOthers, 0, received, 1, ofOthers.length);
    }

    /** Whether a chunk's owner computes the same passes. */
    private boolean isNear(int rank, int chunk) {
        int owner = placement.owner(chunk);
        return placement.computes(rank) && placement.computes(owner)
                && placement.replica(owner) == placement.replica(rank);
    }

    private boolean lacks(int rank, int chunk) {
        return placement.uses(rank, chunk) && !placement.holds(rank, chunk);
    }

    /**
     * Says where the weights of a step are going to be received: from the vote on, when nobody computes
     * with the older ones any more.
     */
    public void expect(long generation, long step, IntFunction<Buffer> compute) {
        for (int[] group : received) {
            for (int chunk : group) {
                transport.expect(placement.owner(chunk), tag(generation, step, chunk),
                        compute.apply(chunk).segment());
            }
        }
    }

    /** Whether this rank lacks anything. */
    public boolean lacks() {
        return Arrays.stream(received).anyMatch(group -> group.length > 0);
    }

    /**
     * Groups in which a rank receives what it lacks: first what ranks of its own replica send, since an
     * exchange in a pass waits until they took all that was sent before; then layer by layer.
     */
    public int groups() {
        return received.length;
    }

    /** The group with which all that a layer needs is there. */
    public int group(int layer) {
        return 1 + layer;
    }

    /**
     * Sends what this rank owns to those who lack it and receives what it lacks, after {@link #expect}.
     *
     * @param step version of the weights
     * @param compute gives the weights of a chunk, in the compute type
     */
    public void gather(long generation, long step, IntFunction<Buffer> compute) {
        send(generation, step, compute);
        for (int group = 0; group < received.length; group++) {
            receive(generation, step, group, compute);
        }
    }

    /** The first half of {@link #gather}: starts sending. */
    public void send(long generation, long step, IntFunction<Buffer> compute) {
        for (int chunk = 0; chunk < receivers.length; chunk++) {
            for (int to : receivers[chunk]) {
                transport.send(to, tag(generation, step, chunk), compute.apply(chunk).segment());
            }
        }
    }

    /**
     * A part of the second half: receives what is lacking of a group; groups are to be received in
     * order. They were all expected, so each chunk has its place as soon as it comes; the last is waited
     * for first, and then the others are there.
     */
    public void receive(long generation, long step, int group, IntFunction<Buffer> compute) {
        for (int i = received[group].length - 1; i >= 0; i--) {
            int chunk = received[group][i];
            transport.receive(placement.owner(chunk), tag(generation, step, chunk),
                    compute.apply(chunk).segment());
        }
    }

    private static FrameTag tag(long generation, long step, int chunk) {
        return new FrameTag(Kind.WEIGHTS, generation, step, 0, chunk, 0);
    }
}
