package castalia.workers.exchange;

import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.Placement;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.model.FlatViews;

/**
 * Brings every rank the weights of a step in the compute type, rounded by their owner. Holders
 * have them already: owner and buddy computed the same bits.
 */
public final class WeightGather {

    private final ChunkGrid grid;
    private final Placement placement;
    private final Transport transport;

    public WeightGather(ChunkGrid grid, Placement placement, Transport transport) {
        this.grid = grid;
        this.placement = placement;
        this.transport = transport;
    }

    /**
     * Sends what this rank owns to those who do not hold it and receives what it does not hold.
     *
     * @param step version of the weights
     */
    public void gather(long generation, long step, FlatViews compute) {
        int rank = transport.rank();
        for (Chunk chunk : grid.chunks()) {
            int c = chunk.index();
            if (placement.owner(c) != rank) {
                continue;
            }
            for (int to = 0; to < placement.ranks(); to++) {
                if (!placement.holds(to, c)) {
                    transport.send(to, tag(generation, step, c), compute.chunk(c).segment());
                }
            }
        }
        for (Chunk chunk : grid.chunks()) {
            int c = chunk.index();
            if (!placement.holds(rank, c)) {
                transport.receive(placement.owner(c), tag(generation, step, c),
                        compute.chunk(c).segment());
            }
        }
    }

    private static FrameTag tag(long generation, long step, int chunk) {
        return new FrameTag(Kind.WEIGHTS, generation, step, 0, chunk, 0);
    }
}
