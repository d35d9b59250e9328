package castalia.workers.data;

import java.util.Arrays;

/**
 * numpy's legacy {@code RandomState} seeded with an integer: the Mersenne Twister MT19937, bounded
 * draws by masked rejection, and the shuffle. Bit for bit numpy's stream.
 *
 * <p>Source: numpy's {@code random/src/mt19937} and {@code random/mtrand.pyx}; Matsumoto and
 * Nishimura, "Mersenne Twister", 1998.
 */
public final class NumpyRandomState {
    private static final int N = 624;
    private static final int M = 397;
    private static final int MATRIX_A = 0x9908b0df;
    private static final int UPPER = 0x80000000;
    private static final int LOWER = 0x7fffffff;
    private static final long UNSIGNED_INT_MAX = 0xffffffffL;

    /** Numbers drawn before they are used: the swaps of a batch then wait for memory together. */
    private static final int BATCH = 4096;

    private final int[] key = new int[N];
    private int position = N;

    /**
     * The state after {@code numpy.random.RandomState(seed)}.
     *
     * @param seed 0 to 2^32 - 1
     */
    public NumpyRandomState(long seed) {
        if (seed < 0 || seed > UNSIGNED_INT_MAX) {
            throw new IllegalArgumentException("seed " + seed + " is not in 0 to 4294967295");
        }
        key[0] = (int) seed;
        for (int i = 1; i < N; i++) {
            key[i] = 1812433253 * (key[i - 1] ^ (key[i - 1] >>> 30)) + i;
        }
    }

    /** The next 32 random bits as an unsigned number. */
    public long nextU32() {
        return Integer.toUnsignedLong(nextBits());
    }

    private int nextBits() {
        if (position == N) {
            refill();
        }
        return temper(key[position++]);
    }

    private static int temper(int word) {
        int y = word ^ (word >>> 11);
        y ^= (y << 7) & 0x9d2c5680;
        y ^= (y << 15) & 0xefc60000;
        return y ^ (y >>> 18);
    }

    private void refill() {
        for (int i = 0; i < N - M; i++) {
            key[i] = twist(key[i], key[i + 1], key[i + M]);
        }
        for (int i = N - M; i < N - 1; i++) {
            key[i] = twist(key[i], key[i + 1], key[i + M - N]);
        }
        key[N - 1] = twist(key[N - 1], key[0], key[M - 1]);
        position = 0;
    }

    private static int twist(int high, int low, int far) {
        int y = (high & UPPER) | (low & LOWER);
        return far ^ (y >>> 1) ^ (-(y & 1) & MATRIX_A);
    }

    /** A number in [0, max]; draws nothing for {@code max} 0. */
    public long interval(long max) {
        if (max < 0) {
            throw new IllegalArgumentException("interval up to " + max);
        }
        if (max == 0) {
            return 0;
        }
        long mask = -1L >>> Long.numberOfLeadingZeros(max);
        if (max <= UNSIGNED_INT_MAX) {
            long value = nextU32() & mask;
            while (value > max) {
                value = nextU32() & mask;
            }
            return value;
        }
        long value = nextU64() & mask;
        while (value > max) {
            value = nextU64() & mask;
        }
        return value;
    }

    private long nextU64() {
        long high = nextU32();
        return high << 32 | nextU32();
    }

    /** Shuffles in place as {@code RandomState.shuffle} does a one-dimensional array. */
    public void shuffle(int[] values) {
        for (int i = values.length - 1; i > 0; i--) {
            int j = (int) interval(i);
            int swap = values[i];
            values[i] = values[j];
            values[j] = swap;
        }
    }

    /** The same shuffle over an index array. */
    void shuffle(IndexArray values) {
        shuffle(values, DataProgress.none());
    }

    /**
     * The same shuffle over an index array.
     *
     * @param progress told the entries that have found their place
     */
    void shuffle(IndexArray values, DataProgress progress) {
        long length = values.length();
        long at = length - 1;
        for (; at > UNSIGNED_INT_MAX; at--) {
            values.swap(at, interval(at));
        }
        int[] picks = new int[BATCH];
        while (at > 0) {
            int mask = -1 >>> Integer.numberOfLeadingZeros((int) at);
            // Entries down to 2^(b - 1) are drawn with the same b bits.
            long sameMask = at - Integer.toUnsignedLong(mask >>> 1);
            int count = (int) Math.min(BATCH, sameMask);
            draw(picks, count, at, mask);
            values.swapDown(at, picks, count);
            at -= count;
            progress.at(length - 1 - at, length);
        }
    }

    /**
     * Draws {@code count} numbers, number k in [0, top - k], by masked rejection without a branch
     * per draw: half of the candidates may be refused, which no processor can guess.
     */
    private void draw(int[] picks, int count, long top, int mask) {
        int done = 0;
        while (done < count) {
            if (position == N) {
                refill();
            }
            int next = position;
            while (next < N && done < count) {
                int value = temper(key[next++]) & mask;
                picks[done] = value;
                // 1 where value <= top - done as unsigned numbers, else 0.
                done += 1 + (int) ((top - done - Integer.toUnsignedLong(value)) >> 63);
            }
            position = next;
        }
    }

    /** A copy of the 624 key words, for comparison with numpy's {@code get_state()[1]}. */
    int[] key() {
        return Arrays.copyOf(key, N);
    }
}
