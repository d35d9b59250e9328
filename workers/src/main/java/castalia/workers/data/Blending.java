package castalia.workers.data;

import java.util.Arrays;

/**
 * GPT-NeoX's blending of weighted data sets: which data set stands at each index of the blend, and
 * the how-manieth of that set it is. At every index the set that lags furthest behind its weight
 * is taken, the first of equals. It is built at every start: the 147 million samples of a run over
 * the Pile take half a second for two sets and two seconds for 22 on one core, and a byte each.
 *
 * <p>Source: GPT-NeoX v1.0, {@code megatron/data/helpers.cpp}, {@code blendable_dataset.py} and
 * {@code data_utils.py}.
 */
public final class Blending {
    /** GPT-NeoX keeps a data set's number in a byte and asks for fewer. */
    public static final int MOST_SETS = 254;

    private static final int BLOCK = 4096;

    private final byte[][] sets;
    private final long[][] before;
    private final long length;

    private Blending(byte[][] sets, long[][] before, long length) {
        this.sets = sets;
        this.before = before;
        this.length = length;
    }

    /** The parts of all weights; added up and divided as Python does, from left to right. */
    public static double[] shares(double... weights) {
        if (weights.length == 0 || weights.length > MOST_SETS) {
            throw new DataException(weights.length + " data sets in a blend; 1 to " + MOST_SETS
                    + " are possible");
        }
        double sum = 0;
        for (double weight : weights) {
            if (!(weight > 0) || !Double.isFinite(weight)) {
                throw new DataException("the weight " + weight + " in a blend must exceed 0");
            }
            sum += weight;
        }
        double[] shares = new double[weights.length];
        for (int i = 0; i < weights.length; i++) {
            shares[i] = weights[i] / sum;
        }
        return shares;
    }

    /**
     * Builds the first {@code length} indices.
     *
     * @param shares as {@link #shares} gives them; the blend divides them by their sum once more
     */
    public static Blending build(double[] shares, long length) {
        double sum = numpySum(shares, 0, shares.length);
        double[] weights = new double[shares.length];
        for (int i = 0; i < weights.length; i++) {
            weights[i] = shares[i] / sum;
        }
        int blocks = Math.toIntExact(Math.ceilDiv(length, BLOCK));
        byte[][] sets = new byte[blocks][];
        long[][] before = new long[blocks][];
        long[] counts = new long[weights.length];
        for (int block = 0; block < blocks; block++) {
            before[block] = counts.clone();
            long first = (long) block * BLOCK;
            sets[block] = new byte[(int) Math.min(BLOCK, length - first)];
            for (int i = 0; i < sets[block].length; i++) {
                int set = lagging(weights, counts, (double) Math.max(first + i, 1L));
                sets[block][i] = (byte) set;
                counts[set]++;
            }
        }
        return new Blending(sets, before, length);
    }

    private static int lagging(double[] weights, long[] counts, double index) {
        int worst = 0;
        double most = weights[0] * index - (double) counts[0];
        for (int i = 1; i < weights.length; i++) {
            double lag = weights[i] * index - (double) counts[i];
            if (lag > most) {
                most = lag;
                worst = i;
            }
        }
        return worst;
    }

    /** numpy's sum of doubles: eight running sums, halves added beyond 128 numbers. */
    static double numpySum(double[] a, int from, int count) {
        if (count < 8) {
            double sum = 0;
            for (int i = from; i < from + count; i++) {
                sum += a[i];
            }
            return sum;
        }
        if (count > 128) {
            int half = count / 2;
            half -= half % 8;
            return numpySum(a, from, half) + numpySum(a, from + half, count - half);
        }
        double[] r = Arrays.copyOfRange(a, from, from + 8);
        int at = 8;
        for (; at < count - count % 8; at += 8) {
            for (int k = 0; k < 8; k++) {
                r[k] += a[from + at + k];
            }
        }
        double sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
        for (; at < count; at++) {
            sum += a[from + at];
        }
        return sum;
    }

    /** Indices built. */
    public long length() {
        return length;
    }

    /** The data set at an index. */
    public int set(long index) {
        return sets[(int) (index / BLOCK)][(int) (index % BLOCK)] & 0xff;
    }

    /** How often the data set at an index stood at smaller ones: its own index there. */
    public long indexInSet(long index) {
        int block = (int) (index / BLOCK);
        byte[] row = sets[block];
        int end = (int) (index % BLOCK);
        byte set = row[end];
        int earlier = 0;
        for (int i = 0; i < end; i++) {
            earlier += row[i] == set ? 1 : 0;
        }
        return before[block][set & 0xff] + earlier;
    }
}
