package castalia.workers.exchange;

import castalia.kernels.Buffer;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.Placement;
import castalia.workers.exchange.FrameTag.Kind;
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
    private final int[] received;

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
        this.received =
                IntStream.range(0, grid.size()).filter(c -> lacks(rank, c)).toArray();
    }

    private boolean lacks(int rank, int chunk) {
        return placement.uses(rank, chunk) && !placement.holds(rank, chunk);
    }

    /**
     * Says where the weights of a step are going to be received: from the vote on, when nobody computes
     * with the older ones any more.
     */
    public void expect(long generation, long step, IntFunction<Buffer> compute) {
        for (int chunk : received) {
            transport.expect(placement.owner(chunk), tag(generation, step, chunk),
                    compute.apply(chunk).segment());
        }
    }

    /**
     * Sends what this rank owns to those who lack it and receives what it lacks.
     *
     * @param step version of the weights
     * @param compute gives the weights of a chunk, in the compute type
     */
    public void gather(long generation, long step, IntFunction<Buffer> compute) {
        for (int chunk = 0; chunk < receivers.length; chunk++) {
            for (int to : receivers[chunk]) {
                transport.send(to, tag(generation, step, chunk), compute.apply(chunk).segment());
            }
        }
        for (int chunk : received) {
            transport.receive(placement.owner(chunk), tag(generation, step, chunk),
                    compute.apply(chunk).segment());
        }
    }

    private static FrameTag tag(long generation, long step, int chunk) {
        return new FrameTag(Kind.WEIGHTS, generation, step, 0, chunk, 0);
    }
}
