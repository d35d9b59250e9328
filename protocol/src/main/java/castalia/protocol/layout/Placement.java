package castalia.protocol.layout;

import castalia.protocol.step.VirtualRanks;
import castalia.protocol.step.VirtualRanks.Block;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.stream.IntStream;

/**
 * Where a generation's ranks compute and hold things: which virtual ranks and tensor slices each
 * computes, and the owner and the other holders of every chunk. It never changes a bit of the result.
 *
 * <p>Ranks are numbered replica by replica: rank {@code d * t + j} computes the d-th block of virtual
 * ranks on the j-th block of tensor slices. Ranks from {@code D * t} on hold chunks only. Where owners
 * fold every virtual rank's gradient (ZeRO 2 and 3), replicas take virtual ranks in turn: owners then
 * fold them in ascending order while all replicas compute.
 */
public final class Placement {

    /** Stands for "nobody" where a chunk has no buddy. */
    public static final int NONE = -1;

    private static final Block NO_BLOCK = new Block(0, 0);

    private final ParallelLayout layout;
    private final int tensorSlices;
    private final int ranks;
    private final int virtualRanks;
    private final List<Block> blocks;
    private final int[] owners;
    private final int[][] buddies;
    private final int[] slices;

    /**
     * Who holds which chunks.
     *
     * @param owners rank that owns each chunk
     * @param buddies per order, 0 to 2 of them, the rank that holds a further copy of each chunk, or
     *     {@link #NONE}
     * @param slices tensor slice of each chunk, -1 where every slice uses it
     */
    @SuppressWarnings("ArrayRecordComponent") // handed over, never compared
    public record Holdings(int[] owners, int[][] buddies, int[] slices) {

        /** Holdings of a grid's chunks. */
        public static Holdings of(ChunkGrid grid, int[] owners, int[]... buddies) {
            return new Holdings(owners, buddies,
                    grid.chunks().stream().mapToInt(Chunk::slice).toArray());
        }
    }

    private Placement(
            ParallelLayout layout, int virtualRanks, int tensorSlices, int ranks, Holdings held) {
        layout.require(virtualRanks, tensorSlices);
        this.layout = layout;
        this.tensorSlices = tensorSlices;
        this.ranks = ranks;
        this.virtualRanks = virtualRanks;
        this.blocks = layout.zero() < 2
                ? VirtualRanks.blocks(virtualRanks, layout.dataParallel())
                : VirtualRanks.inTurn(virtualRanks, layout.dataParallel());
        this.owners = held.owners().clone();
        this.buddies = Arrays.stream(held.buddies()).map(int[]::clone).toArray(int[][]::new);
        this.slices = held.slices().clone();
        requirePossible();
    }

    private void requirePossible() {
        if (ranks < layout.ranks() || ranks > ParallelLayout.MOST_RANKS
                || buddies.length > ParallelLayout.MOST_BUDDIES
                || owners.length != slices.length
                || Arrays.stream(buddies).anyMatch(b -> b.length != owners.length)) {
            throw new IllegalArgumentException(layout + " on " + ranks + " ranks: "
                    + owners.length + " owners of " + slices.length + " chunks, buddies "
                    + Arrays.stream(buddies).map(b -> b.length).toList());
        }
        for (int c = 0; c < owners.length; c++) {
            boolean possible = owners[c] >= 0 && owners[c] < ranks && slices[c] < tensorSlices;
            for (int k = 0; k < buddies.length; k++) {
                int buddy = buddies[k][c];
                possible &= buddy >= NONE && buddy < ranks && buddy != owners[c];
                possible &= k == 0 || buddy == NONE || buddy != buddies[0][c];
            }
            if (!possible) {
                int chunk = c;
                throw new IllegalArgumentException("chunk " + c + " of slice " + slices[c]
                        + " with owner " + owners[c] + " and buddies "
                        + Arrays.stream(buddies).map(b -> b[chunk]).toList()
                        + " of " + ranks + " ranks");
            }
        }
    }

    /** Data parallelism alone: ZeRO 1 with one buddy. */
    public static Placement of(ChunkGrid grid, int virtualRanks, int ranks) {
        return of(grid, virtualRanks, ParallelLayout.of(ranks));
    }

    /**
     * Contiguous, balanced blocks of virtual ranks and of chunks. The chunks of a tensor slice are
     * divided among the ranks that compute it, those of no slice among all; the buddies of a chunk
     * are the next ranks that use it, then any others.
     *
     * @throws IllegalArgumentException if the layout does not fit V and T
     */
    public static Placement of(ChunkGrid grid, int virtualRanks, ParallelLayout layout) {
        return of(grid, virtualRanks, layout, layout.ranks());
    }

    /** As the other, with further ranks that hold nothing. */
    public static Placement of(
            ChunkGrid grid, int virtualRanks, ParallelLayout layout, int ranks) {
        int t = layout.tensorParallel();
        layout.require(virtualRanks, grid.layout().tensorSlices());
        int perRank = grid.layout().tensorSlices() / t;
        long[] totals = new long[t + 1];
        for (Chunk chunk : grid.chunks()) {
            totals[group(chunk, perRank, t)] += chunk.length();
        }
        long[] before = new long[t + 1];
        int[] owners = new int[grid.size()];
        int[][] buddies = new int[layout.buddies()][grid.size()];
        for (Chunk chunk : grid.chunks()) {
            int group = group(chunk, perRank, t);
            int first = group == t ? 0 : group;
            int stride = group == t ? 1 : t;
            int sharing = group == t ? layout.ranks() : layout.dataParallel();
            long middle = before[group] + chunk.length() / 2;
            before[group] += chunk.length();
            int position = (int) (middle * sharing / totals[group]);
            owners[chunk.index()] = first + position * stride;
            for (int k = 0; k < buddies.length; k++) {
                int next = k + 1;
                buddies[k][chunk.index()] = next < sharing
                        ? first + (position + next) % sharing * stride
                        : next < layout.ranks()
                                ? (owners[chunk.index()] + 1 + next - sharing) % layout.ranks()
                                : NONE;
            }
        }
        return of(layout, virtualRanks, grid.layout().tensorSlices(), ranks,
                Holdings.of(grid, owners, buddies));
    }

    /**
     * The same with fewer ranks.
     *
     * @throws IllegalArgumentException if one that is left out computes or holds something
     */
    public Placement of(int fewer) {
        return new Placement(layout, virtualRanks(), tensorSlices, fewer,
                new Holdings(owners, buddies, slices));
    }

    private static int group(Chunk chunk, int slicesPerRank, int t) {
        return t == 1 ? 0 : chunk.slice() < 0 ? t : chunk.slice() / slicesPerRank;
    }

    /** Data parallelism alone, ZeRO 1, with one buddy at most, as given. */
    public static Placement of(
            ChunkGrid grid, int virtualRanks, int ranks, int[] owners, int[] buddies) {
        return of(ParallelLayout.of(ranks), virtualRanks, grid.layout().tensorSlices(), ranks,
                Holdings.of(grid, owners, buddies));
    }

    /**
     * A placement as given.
     *
     * @param ranks all ranks, those that only hold chunks included
     * @throws IllegalArgumentException if the layout does not fit V and T, a rank does not exist, or
     *     holds a chunk twice
     */
    public static Placement of(
            ParallelLayout layout, int virtualRanks, int tensorSlices, int ranks, Holdings held) {
        return new Placement(layout, virtualRanks, tensorSlices, ranks, held);
    }

    /** How work is divided. */
    public ParallelLayout layout() {
        return layout;
    }

    /** Number of ranks W, those that only hold chunks included. */
    public int ranks() {
        return ranks;
    }

    /** Number of chunks. */
    public int chunks() {
        return owners.length;
    }

    /** Number of virtual ranks V. */
    public int virtualRanks() {
        return virtualRanks;
    }

    /** Number of tensor slices T. */
    public int tensorSlices() {
        return tensorSlices;
    }

    /** Whether a rank computes; else it only holds chunks. */
    public boolean computes(int rank) {
        return rank < layout.ranks();
    }

    /** The virtual ranks that {@code rank} computes; none if it only holds chunks. */
    public Block block(int rank) {
        return computes(rank) ? blocks.get(replica(rank)) : NO_BLOCK;
    }

    /** The virtual ranks that a replica computes. */
    public Block blockOf(int replica) {
        return blocks.get(replica);
    }

    /** The tensor slices that {@code rank} computes; none if it only holds chunks. */
    public SliceBlock slices(int rank) {
        int count = tensorSlices / layout.tensorParallel();
        return computes(rank)
                ? new SliceBlock(tensorPosition(rank) * count, count) : SliceBlock.NONE;
    }

    /** Replica of a rank that computes, 0 to D-1. */
    public int replica(int rank) {
        return rank / layout.tensorParallel();
    }

    /** Position within its replica of a rank that computes, 0 to t-1. */
    public int tensorPosition(int rank) {
        return rank % layout.tensorParallel();
    }

    /** The rank at a position of a replica. */
    public int rankAt(int replica, int tensorPosition) {
        return replica * layout.tensorParallel() + tensorPosition;
    }

    /** Whether one rank of its replica speaks for all: it reports what all of them know. */
    public boolean speaks(int rank) {
        return computes(rank) && tensorPosition(rank) == 0;
    }

    /** Whether {@code rank} computes with a chunk's weights. */
    public boolean uses(int rank, int chunk) {
        return computes(rank)
                && (slices[chunk] < 0 || slices(rank).contains(slices[chunk]));
    }

    /**
     * The rank of a replica that sends the replica's gradient of a chunk to its owner. All that use
     * the chunk have the same gradient; the owner itself, where it is one of them.
     */
    public int source(int replica, int chunk) {
        int t = layout.tensorParallel();
        if (slices[chunk] >= 0) {
            return rankAt(replica, slices[chunk] / (tensorSlices / t));
        }
        return rankAt(replica, owners[chunk] % t);
    }

    public int owner(int chunk) {
        return owners[chunk];
    }

    /** The first further holder of {@code chunk}, or {@link #NONE}. */
    public int buddy(int chunk) {
        int[] all = holders(chunk);
        return all.length > 1 ? all[1] : NONE;
    }

    /** The buddy of an order, as given; see {@link Holdings}. */
    public int buddy(int order, int chunk) {
        return order < buddies.length ? buddies[order][chunk] : NONE;
    }

    /** The tensor slice of a chunk, -1 where every slice uses it. */
    public int slice(int chunk) {
        return slices[chunk];
    }

    /** Everybody who holds a chunk, the owner first; with ZeRO 0 whoever uses it does. */
    public int[] holders(int chunk) {
        IntStream named = IntStream.concat(IntStream.of(owners[chunk]),
                Arrays.stream(buddies).mapToInt(b -> b[chunk]).filter(r -> r != NONE));
        return layout.zero() > 0 ? named.toArray()
                : IntStream.concat(named, IntStream.range(0, layout.ranks())
                        .filter(r -> uses(r, chunk))).distinct().toArray();
    }

    /** Whether {@code rank} holds {@code chunk}. */
    public boolean holds(int rank, int chunk) {
        if (owners[chunk] == rank || (layout.zero() == 0 && uses(rank, chunk))) {
            return true;
        }
        for (int[] buddy : buddies) {
            if (buddy[chunk] == rank) {
                return true;
            }
        }
        return false;
    }

    /** The chunks {@code rank} owns, ascending. */
    public int[] owned(int rank) {
        return IntStream.range(0, owners.length).filter(c -> owners[c] == rank).toArray();
    }

    /** The chunks {@code rank} holds and does not own, ascending. */
    public int[] buddied(int rank) {
        return IntStream.range(0, owners.length)
                .filter(c -> owners[c] != rank && holds(rank, c)).toArray();
    }

    /** The chunks {@code rank} holds, ascending. */
    public int[] held(int rank) {
        return IntStream.range(0, owners.length).filter(c -> holds(rank, c)).toArray();
    }

    /**
     * Chunks with fewer holders than the layout asks for and ranks allow, ascending; all of them
     * where there is one rank and a buddy is asked for.
     */
    public int[] alone() {
        int wanted = Math.min(layout.buddies() + 1, Math.max(2, ranks));
        return IntStream.range(0, owners.length).filter(c -> holders(c).length < wanted).toArray();
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Placement p && layout.equals(p.layout) && ranks == p.ranks
                && tensorSlices == p.tensorSlices && blocks.equals(p.blocks)
                && Arrays.equals(owners, p.owners) && Arrays.deepEquals(buddies, p.buddies)
                && Arrays.equals(slices, p.slices);
    }

    @Override
    public int hashCode() {
        return Objects.hash(layout, ranks, tensorSlices, blocks, Arrays.hashCode(owners),
                Arrays.deepHashCode(buddies));
    }

    @Override
    public String toString() {
        return "Placement[" + layout + " on " + ranks + " ranks, blocks=" + blocks + ", owners="
                + Arrays.toString(owners) + ", buddies=" + Arrays.deepToString(buddies) + "]";
    }
}
