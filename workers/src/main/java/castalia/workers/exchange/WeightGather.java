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
        this.received = grid.byLayer(
                IntStream.range(0, grid.size()).filter(c -> lacks(rank, c)).toArray());
    }

    private boolean lacks(int rank, int chunk) {
        return placement.uses(rank, chunk) && !placement.holds(rank, chunk);
    }

    /**
     * Says where the weights of a step are going to be received: from the vote on, when nobody computes
     * with the older ones any more.
     */
    public void expect(long generation, long step, IntFunction<Buffer> compute) {
        for (int[] ofLayer : received) {
            for (int chunk : ofLayer) {
                transport.expect(placement.owner(chunk), tag(generation, step, chunk),
                        compute.apply(chunk).segment());
            }
        }
    }

    /** Whether this rank lacks anything. */
    public boolean lacks() {
        return Arrays.stream(received).anyMatch(ofLayer -> ofLayer.length > 0);
    }

    /** Layers of the model, embedding and head among them. */
    public int layers() {
        return received.length;
    }

    /**
     * Sends what this rank owns to those who lack it and receives what it lacks, after {@link #expect}.
     *
     * @param step version of the weights
     * @param compute gives the weights of a chunk, in the compute type
     */
    public void gather(long generation, long step, IntFunction<Buffer> compute) {
        send(generation, step, compute);
        for (int layer = 0; layer < received.length; layer++) {
            receive(generation, step, layer, compute);
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
     * A part of the second half: receives what is lacking of a layer. They were all expected, so each
     * has its place as soon as it comes; the last is waited for first, and then the others are there.
     */
    public void receive(long generation, long step, int layer, IntFunction<Buffer> compute) {
        for (int i = received[layer].length - 1; i >= 0; i--) {
            int chunk = received[layer][i];
            transport.receive(placement.owner(chunk), tag(generation, step, chunk),
                    compute.apply(chunk).segment());
        }
    }

    private static FrameTag tag(long generation, long step, int chunk) {
        return new FrameTag(Kind.WEIGHTS, generation, step, 0, chunk, 0);
    }
}
