package castalia.workers.data;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Objects;

/**
 * A long-indexed array of non-negative numbers off heap or in a mapped file, 4 bytes each where
 * every value fits an unsigned int, else 8. Lives as long as its arena.
 */
final class IndexArray {
    private static final long UNSIGNED_INT_MAX = 0xffffffffL;

    private final MemorySegment memory;
    private final long length;
    private final boolean wide;

    private IndexArray(MemorySegment memory, long length, boolean wide) {
        this.memory = memory;
        this.length = length;
        this.wide = wide;
    }

    /** Whether values up to {@code maximum} take 8 bytes. */
    static boolean wide(long maximum) {
        return maximum > UNSIGNED_INT_MAX;
    }

    /**
     * The bytes of an array.
     *
     * @param maximum the largest value that will be stored
     * @throws DataException if they are more than can be counted
     */
    static long bytes(long length, long maximum) {
        try {
            return Math.multiplyExact(length, wide(maximum) ? 8L : 4L);
        } catch (ArithmeticException e) {
            throw new DataException("the sample order needs arrays of " + length
                    + " entries, which no machine holds; ask for fewer samples", e);
        }
    }

    /**
     * An array of zeros.
     *
     * @param maximum the largest value that will be stored
     */
    static IndexArray allocate(long length, long maximum, Arena arena) {
        long bytes = bytes(length, maximum);
        Memory.require(bytes, "an array of the sample order");
        try {
            return new IndexArray(arena.allocate(Math.max(bytes, 8), 8), length, wide(maximum));
        } catch (OutOfMemoryError e) {
            throw new DataException("the sample order needs an array of " + bytes
                    + " bytes, which is more than the memory left; use a machine with more memory"
                    + " or fewer samples", e);
        }
    }

    /** An array that lies in {@code memory}, which holds exactly its bytes, aligned to 8. */
    static IndexArray in(MemorySegment memory, long length, long maximum) {
        if (memory.byteSize() != bytes(length, maximum)) {
            throw new IllegalArgumentException(
                    length + " values up to " + maximum + " in " + memory.byteSize() + " bytes");
        }
        return new IndexArray(memory, length, wide(maximum));
    }

    long length() {
        return length;
    }

    /** The first {@code count} values as they lie in memory. */
    MemorySegment memory(long count) {
        Objects.checkFromToIndex(0, count, length);
        return memory.asSlice(0, count * (wide ? 8 : 4));
    }

    long get(long index) {
        Objects.checkIndex(index, length);
        return wide
                ? memory.get(ValueLayout.JAVA_LONG, 8 * index)
                : Integer.toUnsignedLong(memory.get(ValueLayout.JAVA_INT, 4 * index));
    }

    void set(long index, long value) {
        Objects.checkIndex(index, length);
        if (value < 0 || (!wide && value > UNSIGNED_INT_MAX)) {
            throw new IllegalArgumentException("value " + value + " at " + index);
        }
        if (wide) {
            memory.set(ValueLayout.JAVA_LONG, 8 * index, value);
        } else {
            memory.set(ValueLayout.JAVA_INT, 4 * index, (int) value);
        }
    }

    void swap(long a, long b) {
        long value = get(a);
        set(a, get(b));
        set(b, value);
    }

    /**
     * Swaps entry {@code top - k} with entry {@code picks[k]}, an unsigned number, for every k
     * below {@code count} in turn.
     */
    void swapDown(long top, int[] picks, int count) {
        Objects.checkFromIndexSize(top - count + 1, count, length);
        if (wide) {
            for (int k = 0; k < count; k++) {
                swap(top - k, Integer.toUnsignedLong(picks[k]));
            }
            return;
        }
        for (int k = 0; k < count; k++) {
            long a = 4 * (top - k);
            long b = 4 * Integer.toUnsignedLong(picks[k]);
            int value = memory.get(ValueLayout.JAVA_INT, a);
            memory.set(ValueLayout.JAVA_INT, a, memory.get(ValueLayout.JAVA_INT, b));
            memory.set(ValueLayout.JAVA_INT, b, value);
        }
    }

    /** Stores 0, 1, 2 and so on. */
    void count() {
        for (long i = 0; i < length; i++) {
            set(i, i);
        }
    }
}
