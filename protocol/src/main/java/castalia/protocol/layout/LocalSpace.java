package castalia.protocol.layout;

import java.util.Arrays;

/**
 * The part of the flat space that a block of tensor slices uses, packed without gaps in the order of
 * the grid. A tensor slice stays contiguous: its chunks follow each other in the grid and are all in
 * or all out.
 */
public final class LocalSpace {

    private static final long ABSENT = -1;

    private final ChunkGrid grid;
    private final SliceBlock slices;
    private final long[] offsets;
    private final int[] chunks;
    private final long elements;

    public LocalSpace(ChunkGrid grid, SliceBlock slices) {
        if (slices.end() > grid.layout().tensorSlices()) {
            throw new IllegalArgumentException(
                    slices + " of " + grid.layout().tensorSlices() + " tensor slices");
        }
        this.grid = grid;
        this.slices = slices;
        this.offsets = new long[grid.size()];
        long at = 0;
        for (Chunk chunk : grid.chunks()) {
            boolean used = slices.uses(chunk);
            offsets[chunk.index()] = used ? at : ABSENT;
            at += used ? chunk.length() : 0;
        }
        this.elements = at;
        this.chunks = grid.chunks().stream()
                .mapToInt(Chunk::index).filter(this::contains).toArray();
    }

    /** The whole flat space. */
    public static LocalSpace whole(ChunkGrid grid) {
        return new LocalSpace(grid, SliceBlock.all(grid.layout()));
    }

    public ChunkGrid grid() {
        return grid;
    }

    public SliceBlock slices() {
        return slices;
    }

    /** Length in elements. */
    public long elements() {
        return elements;
    }

    /** Its chunks, ascending. */
    public int[] chunks() {
        return chunks.clone();
    }

    /** Whether a chunk is in it. */
    public boolean contains(int chunk) {
        return offsets[chunk] != ABSENT;
    }

    /** First element of a chunk in it. */
    public long offset(int chunk) {
        if (!contains(chunk)) {
            throw new IllegalArgumentException("chunk " + chunk + " is not used by " + slices);
        }
        return offsets[chunk];
    }

    /** First element of a tensor slice in it, or -1 if it is not used. */
    public long offset(TensorSlice slice) {
        int chunk = chunkAt(slice.offset());
        return contains(chunk)
                ? offsets[chunk] + slice.offset() - grid.chunk(chunk).offset() : ABSENT;
    }

    private int chunkAt(long element) {
        int low = 0;
        int high = grid.size() - 1;
        while (low < high) {
            int middle = (low + high + 1) >>> 1;
            if (grid.chunk(middle).offset() <= element) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        return low;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof LocalSpace space && grid == space.grid
                && slices.equals(space.slices);
    }

    @Override
    public int hashCode() {
        return 31 * slices.hashCode() + Arrays.hashCode(offsets);
    }
}
