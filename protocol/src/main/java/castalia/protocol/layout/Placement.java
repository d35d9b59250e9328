package castalia.protocol.layout;

import castalia.protocol.step.VirtualRanks;
import castalia.protocol.step.VirtualRanks.Block;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.stream.IntStream;

/**
 * Where a generation's ranks hold things: which virtual ranks each computes, and the owner and the
 * buddy of every chunk. It never changes a bit of the result.
 */
public final class Placement {

    /** Stands for "nobody" where a chunk has no buddy. */
    public static final int NONE = -1;

    private final List<Block> blocks;
    private final int[] owners;
    private final int[] buddies;

    private Placement(List<Block> blocks, int[] owners, int[] buddies) {
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
        int[] owners = new int[grid.size()];
        long total = grid.layout().elements();
        for (Chunk chunk : grid.chunks()) {
            long middle = chunk.offset() + chunk.length() / 2;
            owners[chunk.index()] = (int) (middle * ranks / total);
        }
        int[] buddies = Arrays.stream(owners)
                .map(owner -> ranks > 1 ? (owner + 1) % ranks : NONE).toArray();
        return new Placement(VirtualRanks.blocks(virtualRanks, ranks), owners, buddies);
    }

    /**
     * A placement as given.
     *
     * @param owners rank that owns each chunk
     * @param buddies rank that holds the second copy of each chunk, or {@link #NONE}
     * @throws IllegalArgumentException if there are more ranks than virtual ranks, a rank does not
     *     exist, or a chunk's buddy is its owner
     */
    public static Placement of(int virtualRanks, int ranks, int[] owners, int[] buddies) {
        if (owners.length != buddies.length) {
            throw new IllegalArgumentException(
                    owners.length + " owners and " + buddies.length + " buddies");
        }
        for (int c = 0; c < owners.length; c++) {
            boolean possible = owners[c] >= 0 && owners[c] < ranks && buddies[c] >= NONE
                    && buddies[c] < ranks && buddies[c] != owners[c];
            if (!possible) {
                throw new IllegalArgumentException("chunk " + c + " with owner " + owners[c]
                        + " and buddy " + buddies[c] + " of " + ranks + " ranks");
            }
        }
        return new Placement(
                VirtualRanks.blocks(virtualRanks, ranks), owners.clone(), buddies.clone());
    }

    /** Number of ranks W. */
    public int ranks() {
        return blocks.size();
    }

    /** Number of chunks. */
    public int chunks() {
        return owners.length;
    }

    /** Number of virtual ranks V. */
    public int virtualRanks() {
        return blocks.getLast().end();
    }

    /** The virtual ranks that {@code rank} computes. */
    public Block block(int rank) {
        return blocks.get(rank);
    }

    public int owner(int chunk) {
        return owners[chunk];
    }

    /** The rank that holds the second copy of {@code chunk}, or {@link #NONE}. */
    public int buddy(int chunk) {
        return buddies[chunk];
    }

    /** Whether {@code rank} is owner or buddy of {@code chunk}. */
    public boolean holds(int rank, int chunk) {
        return owners[chunk] == rank || buddies[chunk] == rank;
    }

    /** The chunks {@code rank} owns, ascending. */
    public int[] owned(int rank) {
        return IntStream.range(0, owners.length).filter(c -> owners[c] == rank).toArray();
    }

    /** The chunks {@code rank} is buddy of, ascending. */
    public int[] buddied(int rank) {
        return IntStream.range(0, owners.length).filter(c -> buddies[c] == rank).toArray();
    }

    /** The chunks {@code rank} holds as owner or buddy, ascending. */
    public int[] held(int rank) {
        return IntStream.range(0, owners.length).filter(c -> holds(rank, c)).toArray();
    }

    /** Chunks without a buddy, ascending; all of them where there is one rank. */
    public int[] alone() {
        return IntStream.range(0, owners.length).filter(c -> buddies[c] == NONE).toArray();
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Placement p && blocks.equals(p.blocks)
                && Arrays.equals(owners, p.owners) && Arrays.equals(buddies, p.buddies);
    }

    @Override
    public int hashCode() {
        return Objects.hash(blocks, Arrays.hashCode(owners), Arrays.hashCode(buddies));
    }

    @Override
    public String toString() {
        return "Placement[blocks=" + blocks + ", owners=" + Arrays.toString(owners)
                + ", buddies=" + Arrays.toString(buddies) + "]";
    }
}
