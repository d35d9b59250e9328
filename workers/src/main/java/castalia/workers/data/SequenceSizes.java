package castalia.workers.data;

/** The lengths of a data set's sequences: all that the sample order depends on. */
public interface SequenceSizes {
    /** Number of sequences. */
    long sequences();

    /** Tokens in sequence {@code sequence}, at least 0. */
    int size(long sequence);

    /** Sizes held in an array, copied. */
    static SequenceSizes of(int... sizes) {
        int[] copy = sizes.clone();
        return new SequenceSizes() {
            @Override
            public long sequences() {
                return copy.length;
            }

            @Override
            public int size(long sequence) {
                return copy[Math.toIntExact(sequence)];
            }
        };
    }
}
