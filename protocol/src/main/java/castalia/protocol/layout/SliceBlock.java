package castalia.protocol.layout;

/**
 * A contiguous block of the T tensor slices: what one rank computes of every layer.
 *
 * @param first first slice
 * @param count how many; 0 for a rank that only holds state
 */
public record SliceBlock(int first, int count) {

    /** Of a rank that computes nothing. */
    public static final SliceBlock NONE = new SliceBlock(0, 0);

    public SliceBlock {
        if (first < 0 || count < 0) {
            throw new IllegalArgumentException(count + " tensor slices from " + first);
        }
    }

    /** All slices of a layout. */
    public static SliceBlock all(FlatLayout layout) {
        return new SliceBlock(0, layout.tensorSlices());
    }

    /** One past the last slice. */
    public int end() {
        return first + count;
    }

    /** Whether a slice is in it. */
    public boolean contains(int slice) {
        return slice >= first && slice < end();
    }

    /** Whether a chunk's tensors are needed to compute these slices; those of no slice always are. */
    public boolean uses(Chunk chunk) {
        return count > 0 && (chunk.slice() < 0 || contains(chunk.slice()));
    }
}
