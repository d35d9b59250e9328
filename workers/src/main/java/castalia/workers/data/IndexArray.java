package castalia.workers.data;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Objects;

/**
 * A long-indexed array of non-negative numbers off heap, 4 bytes each where every value fits an
 * unsigned int, else 8. Freed with the object.
 */
final class IndexArray {
    private static final long UNSIGNED_INT_MAX = 0xffffffffL;

    private final MemorySegment memory;
    private final long length;
    private final boolean wide;

    /**
     * An array of zeros.
     *
     * @param maximum the largest value that will be stored
     */
    IndexArray(long length, long maximum) {
        this.length = length;
        this.wide = maximum > UNSIGNED_INT_MAX;
        long bytes = Math.multiplyExact(length, wide ? 8L : 4L);
        try {
            this.memory = Arena.ofAuto().allocate(Math.max(bytes, 8), 8);
        } catch (OutOfMemoryError e) {
            throw new DataException("the sample order needs an array of " + bytes
                    + " bytes, which is more than the memory left; use a machine with more memory"
                    + " or fewer samples", e);
        }
    }

    long length() {
        return length;
    }

    long get(long index) {
        Objects.checkIndex(index, length);
        return wide
                ? memory.getAtIndex(ValueLayout.JAVA_LONG, index)
                : Integer.toUnsignedLong(memory.getAtIndex(ValueLayout.JAVA_INT, index));
    }

    void set(long index, long value) {
        Objects.checkIndex(index, length);
        if (value < 0 || (!wide && value > UNSIGNED_INT_MAX)) {
            throw new IllegalArgumentException("value " + value + " at " + index);
        }
        if (wide) {
            memory.setAtIndex(ValueLayout.JAVA_LONG, index, value);
        } else {
            memory.setAtIndex(ValueLayout.JAVA_INT, index, (int) value);
        }
    }

    void swap(long a, long b) {
        long value = get(a);
        set(a, get(b));
        set(b, value);
    }
}
