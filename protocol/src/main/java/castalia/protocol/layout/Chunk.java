package castalia.protocol.layout;

/**
 * A fixed range of the flat parameter space: the unit of ownership, norms, digests and storage.
 *
 * @param index position in the grid
 * @param offset first element, a multiple of {@link FlatLayout#ALIGNMENT}
 * @param length elements, padding included; a multiple of the alignment
 * @param layer layer of its tensors
 * @param slice tensor slice, or -1 where every slice uses the tensors
 * @param decay whether AdamW decays its elements
 */
public record Chunk(int index, long offset, int length, int layer, int slice, boolean decay) {

    public Chunk {
        if (index < 0
                || offset < 0
                || offset > 1L << 48
                || offset % FlatLayout.ALIGNMENT != 0
                || length < 1
                || length > ChunkGrid.LIMIT
                || length % FlatLayout.ALIGNMENT != 0
                || layer < 0
                || slice < -1) {
            throw new IllegalArgumentException("chunk " + index + " of " + length
                    + " elements at element " + offset + ", layer " + layer + ", slice " + slice);
        }
    }

    /** One past the last element. */
    public long end() {
        return offset + length;
    }
}
