package castalia.protocol.layout;

/**
 * How a generation divides work and state among its ranks. Free to choose and to change between any
 * two steps; it never changes a bit.
 *
 * @param dataParallel D, replicas of the model, each with a block of virtual ranks
 * @param tensorParallel t, ranks that share a replica, each with a block of tensor slices; a power of
 *     two
 * @param zero ZeRO stage: 0 every rank keeps all state of its slices, 1 optimizer state is divided, 2
 *     finished gradients too, 3 weights too
 * @param buddies copies of a chunk's optimizer state besides its owner's, 0 to 2; stage 0 has more
 */
public record ParallelLayout(int dataParallel, int tensorParallel, int zero, int buddies) {

    /** Most ranks of a run. */
    public static final int MOST_RANKS = 65_534;

    /** Most buddies of a chunk. */
    public static final int MOST_BUDDIES = 2;

    /** ZeRO stages. */
    public static final int STAGES = 4;

    public ParallelLayout {
        if (dataParallel < 1 || tensorParallel < 1
                || (long) dataParallel * tensorParallel > MOST_RANKS) {
            throw new IllegalArgumentException("data parallel degree " + dataParallel
                    + " and tensor parallel degree " + tensorParallel
                    + " must be at least 1, their product at most " + MOST_RANKS);
        }
        if (Integer.bitCount(tensorParallel) != 1) {
            throw new IllegalArgumentException(
                    "tensor parallel degree " + tensorParallel + " must be a power of two");
        }
        if (zero < 0 || zero >= STAGES) {
            throw new IllegalArgumentException("ZeRO stage " + zero + " is none of 0, 1, 2, 3");
        }
        if (buddies < 0 || buddies > MOST_BUDDIES) {
            throw new IllegalArgumentException(buddies + " buddies: choose 0, 1 or 2");
        }
    }

    /** Data parallelism alone, ZeRO 1, one buddy. */
    public static ParallelLayout of(int ranks) {
        return new ParallelLayout(ranks, 1, 1, 1);
    }

    /** Whether ranks fetch the weights they compute with from their owners, layer by layer. */
    public boolean fetchesWeights() {
        return zero == STAGES - 1;
    }

    /** Ranks that compute. */
    public int ranks() {
        return dataParallel * tensorParallel;
    }

    /**
     * Checks it against what the specification fixes.
     *
     * @param virtualRanks V
     * @param tensorSlices T
     * @throws IllegalArgumentException if there are more replicas than virtual ranks or t does not
     *     divide T, saying what would fit
     */
    public void require(int virtualRanks, int tensorSlices) {
        if (dataParallel > virtualRanks) {
            throw new IllegalArgumentException("cannot place " + virtualRanks
                    + " virtual ranks on " + dataParallel + " ranks: use 1 to " + virtualRanks);
        }
        if (tensorParallel > tensorSlices) {
            throw new IllegalArgumentException("tensor parallel degree " + tensorParallel
                    + " must divide the run's " + tensorSlices
                    + " tensor slices: use a power of two up to " + tensorSlices);
        }
    }

    /** Whether {@link #require} would accept it. */
    public boolean fits(int virtualRanks, int tensorSlices) {
        return dataParallel <= virtualRanks && tensorParallel <= tensorSlices;
    }

    /** As {@code 2x4 ZeRO 1}: data parallel degree, tensor parallel degree, stage. */
    @Override
    public String toString() {
        return dataParallel + "x" + tensorParallel + " ZeRO " + zero
                + (buddies == 1 ? "" : " buddies " + buddies);
    }
}
