package castalia.workers.data;

/**
 * Cuts a shuffled list of documents into samples of S + 1 tokens, one after another: each begins
 * at the last token of the one before.
 */
final class SampleCutter {
    private static final int BLOCK = 4096;

    private final SequenceSizes sizes;
    private final IndexArray documents;
    private final long sequenceLength;
    private final int[] block = new int[BLOCK];
    private long blockStart = -BLOCK;
    private long document;
    private long start;
    private boolean begun;

    SampleCutter(SequenceSizes sizes, IndexArray documents, int sequenceLength) {
        this.sizes = sizes;
        this.documents = documents;
        this.sequenceLength = sequenceLength;
    }

    /**
     * Stores where the next {@code count} samples start: the position in the list of documents and
     * the token within that document, in turn.
     *
     * @param pairs filled from its first entry on
     */
    void next(IndexArray pairs, long count) {
        for (long i = 0; i < count; i++) {
            if (begun) {
                advance();
            }
            begun = true;
            pairs.set(2 * i, document);
            pairs.set(2 * i + 1, start);
        }
    }

    private void advance() {
        long remaining = sequenceLength + 1;
        while (true) {
            long left = size(document) - start;
            if (left >= remaining) {
                start += remaining - 1;
                return;
            }
            remaining -= left;
            document++;
            start = 0;
        }
    }

    /** Sizes are looked up a block at a time: the look-ups of a block wait for memory together. */
    private long size(long position) {
        if (position >= blockStart + BLOCK) {
            blockStart = position;
            int count = (int) Math.min(BLOCK, documents.length() - position);
            for (int i = 0; i < count; i++) {
                block[i] = sizes.size(documents.get(position + i));
            }
        }
        return block[(int) (position - blockStart)];
    }
}
