package castalia.protocol.specification;

/**
 * How the head sweeps a micro-batch, whose logits never exist as a whole. Part of a back end's numeric
 * version: the head's weight gradient adds the sweeps in order, and its input gradient the parts.
 *
 * @param rows swept at once
 * @param mostParts most parts in which the vocabulary of a slice is swept
 */
public record HeadSweep(int rows, int mostParts) {

    /** For a CPU: what is computed of a part is in its cache when it is needed again. */
    public static final HeadSweep OF_CPU = new HeadSweep(512, 8);

    /** For a GPU: products that keep all its multiprocessors busy, and few passes over the gradient. */
    public static final HeadSweep OF_GPU = new HeadSweep(8192, 1);

    private static final int FEWEST_COLUMNS = 4096;

    /**
     * Parts of equal width: a power of two, so that the tree over the parts of all slices is one of
     * subtrees of slices.
     */
    public int parts(int sliceVocabulary) {
        int parts = 1;
        while (parts < mostParts && sliceVocabulary % (2 * parts) == 0
                && sliceVocabulary / (2 * parts) >= FEWEST_COLUMNS) {
            parts *= 2;
        }
        return parts;
    }

    /** How many sweeps so many rows take. */
    public int sweeps(int all) {
        return (all + rows - 1) / rows;
    }
}
