package castalia.deploy.bench.collective;

import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;

/**
 * A flat space of about some size and how ranks divide it: ZeRO 1 without buddies, one virtual rank
 * each, so that a reduction is a reduce-scatter.
 *
 * @param bytes bytes of the whole space in F32
 */
record Bucket(ChunkGrid grid, Placement placement, long bytes) {

    private static final int HIDDEN = 8;

    /** Two slices, so that the least space has a large chunk for each of four ranks. */
    private static final int SLICES = 2;

    /** The space of a model that is nearly all embedding and head. */
    static Bucket of(long about, int ranks) {
        int least = HIDDEN * SLICES;
        long fixed = layout(least).elements() - 2L * HIDDEN * least;
        long rows = (about / Float.BYTES - fixed) / (2 * HIDDEN);
        ChunkGrid grid = ChunkGrid.of(layout(
                Math.max(least, Math.toIntExact(rows / least * least))));
        return new Bucket(grid,
                Placement.of(grid, ranks, new ParallelLayout(ranks, 1, 1, 0)),
                grid.layout().elements() * Float.BYTES);
    }

    private static FlatLayout layout(int vocabulary) {
        return FlatLayout.of(new ModelShape(1, HIDDEN, SLICES, 4 * HIDDEN, vocabulary, HIDDEN, 2,
                10000, 1e-5, true, Gelu.TANH, 1), SLICES);
    }

    int ranks() {
        return placement.ranks();
    }

    /** First byte of a rank's share: shares are contiguous and ascending. */
    long start(int rank) {
        for (Chunk chunk : grid.chunks()) {
            if (placement.owner(chunk.index()) >= rank) {
                return chunk.offset() * Float.BYTES;
            }
        }
        return bytes;
    }
}
