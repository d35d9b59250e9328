package castalia.workers.data.dedup;

import java.util.Arrays;

/**
 * MinHash signatures in bands: two documents whose shingle sets have Jaccard similarity s agree in
 * one position with probability s, in a band of r positions with s^r, and in at least one of b
 * bands with 1 - (1 - s^r)^b.
 *
 * <p>Source: Broder 1997; Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, chapter 3.
 *
 * @param bands b
 * @param rows r, positions of a band
 */
record MinHash(int bands, int rows) {
    /** Positions of a signature at most. */
    static final int POSITIONS = 128;

    /** How many of the pairs at the threshold itself become candidates, at least. */
    private static final double RECALL = 0.995;

    private static final int[] FACTORS = new int[POSITIONS];
    private static final int[] TERMS = new int[POSITIONS];

    static {
        for (int p = 0; p < POSITIONS; p++) {
            FACTORS[p] = (int) Mixing.mix(2L * p) | 1;
            TERMS[p] = (int) Mixing.mix(2L * p + 1);
        }
    }

    /** The longest bands, which give the fewest false candidates, that find enough. */
    static MinHash forThreshold(double threshold) {
        MinHash best = new MinHash(POSITIONS, 1);
        for (int rows = 2; rows <= POSITIONS; rows++) {
            MinHash next = new MinHash(POSITIONS / rows, rows);
            if (next.found(threshold) >= RECALL) {
                best = next;
            }
        }
        return best;
    }

    /** The probability that a pair of a similarity becomes a candidate. */
    double found(double similarity) {
        return 1 - Math.pow(1 - Math.pow(similarity, rows), bands);
    }

    /**
     * One key per band; equal keys make candidates.
     *
     * @param shingles at least one
     */
    long[] keys(long[] shingles) {
        int[] least = new int[bands * rows];
        Arrays.fill(least, Integer.MAX_VALUE);
        for (long shingle : shingles) {
            int x = (int) (shingle >>> 32);
            for (int p = 0; p < least.length; p++) {
                least[p] = Math.min(least[p], FACTORS[p] * x + TERMS[p]);
            }
        }
        long[] keys = new long[bands];
        for (int b = 0; b < bands; b++) {
            long key = b;
            for (int r = 0; r < rows; r++) {
                key = Mixing.mix(key ^ (least[b * rows + r] & 0xffffffffL));
            }
            keys[b] = key;
        }
        return keys;
    }
}
