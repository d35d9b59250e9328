package castalia.protocol.layout;

import castalia.protocol.step.VirtualRanks;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Where a generation's ranks hold things: which virtual ranks each computes, and the owner and the
 * buddy of every chunk. A pure function of its inputs; it never changes a bit of the result.
 */
public final class Placement {

    /** Stands for "nobody" where a chunk has no buddy. */
    public static final int NONE = -1;

    private final int ranks;
    private final List<VirtualRanks.Block> blocks;
    private final int[] owners;
    private final int buddies;

    private Placement(int ranks, List<VirtualRanks.Block> blocks, int[] owners, int buddies) {
        this.ranks = ranks;
        this.blocks = blocks;
        this.owners = owners;
        this.buddies = buddies;
    }

    /**
     * Contiguous, balanced blocks of virtual ranks and of chunks; one buddy, the next rank, as soon
     * as there are two ranks.
     *
     * @throws IllegalArgumentException if there are more ranks than virtual ranks
     */
    public static Placement of(ChunkGrid grid, int virtualRanks, int ranks) {
        List<VirtualRanks.Block> blocks = VirtualRanks.blocks(virtualRanks, ranks);
        int[] owners = new int[grid.size()];
        long total = grid.layout().elements();
        for (Chunk chunk : grid.chunks()) {
            long middle = chunk.offset() + chunk.length() / 2;
            owners[chunk.index()] = (int) (middle * ranks / total);
        }
        return new Placement(ranks, blocks, owners, ranks > 1 ? 1 : 0);
    }

    /** Number of ranks W. */
    public int ranks() {
        return ranks;
    }

    /** The virtual ranks that {@code rank} computes. */
    public VirtualRanks.Block block(int rank) {
        return blocks.get(rank);
    }

    public int owner(int chunk) {
        return owners[chunk];
    }

    /** The rank that holds the second copy of {@code chunk}, or {@link #NONE}. */
    public int buddy(int chunk) {
        return buddies == 0 ? NONE : (owners[chunk] + 1) % ranks;
    }

    /** Whether {@code rank} is owner or buddy of {@code chunk}. */
    public boolean holds(int rank, int chunk) {
        return owner(chunk) == rank || buddy(chunk) == rank;
    }

    /** The chunks {@code rank} owns, ascending. */
    public int[] owned(int rank) {
        return IntStream.range(0, owners.length).filter(c -> owners[c] == rank).toArray();
    }

    /** The chunks {@code rank} is buddy of, ascending. */
    public int[] buddied(int rank) {
        return IntStream.range(0, owners.length).filter(c -> buddy(c) == rank).toArray();
    }

    @Override
    public String toString() {
        return "Placement[ranks=" + ranks + ", blocks=" + blocks + ", owners="
                + Arrays.toString(owners) + "]";
    }
}
