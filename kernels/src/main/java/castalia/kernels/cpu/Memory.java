package castalia.kernels.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import java.lang.foreign.MemorySegment;
import java.nio.ByteOrder;

/**
 * Native memory by address. Kernels check sizes once at entry and then compute on addresses: one
 * segment kind and 64-bit offsets everywhere, which is what the compiler handles best.
 */
final class Memory {

    static final ByteOrder ORDER = ByteOrder.LITTLE_ENDIAN;

    /** The whole address space. */
    static final MemorySegment ALL = MemorySegment.NULL.reinterpret(Long.MAX_VALUE);

    private Memory() {}

    static float f32(long address) {
        return ALL.get(JAVA_FLOAT_UNALIGNED, address);
    }

    static void f32(long address, float value) {
        ALL.set(JAVA_FLOAT_UNALIGNED, address, value);
    }

    static int i32(long address) {
        return ALL.get(JAVA_INT_UNALIGNED, address);
    }

    static long i64(long address) {
        return ALL.get(JAVA_LONG_UNALIGNED, address);
    }

    static void i64(long address, long value) {
        ALL.set(JAVA_LONG_UNALIGNED, address, value);
    }

    static void i32(long address, int value) {
        ALL.set(JAVA_INT_UNALIGNED, address, value);
    }

    /** A bfloat16 widened. */
    static float bf16(long address) {
        return Float.intBitsToFloat(ALL.get(JAVA_SHORT_UNALIGNED, address) << 16);
    }

    static void i16(long address, short value) {
        ALL.set(JAVA_SHORT_UNALIGNED, address, value);
    }

    static short i16(long address) {
        return ALL.get(JAVA_SHORT_UNALIGNED, address);
    }

    /** Rounds to bfloat16, nearest even; a NaN stays one. */
    static void bf16(long address, float value) {
        int bits = Float.floatToRawIntBits(value);
        int rounded = Float.isNaN(value)
                ? (bits >>> 16) | 0x40
                : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
        ALL.set(JAVA_SHORT_UNALIGNED, address, (short) rounded);
    }

    static void copy(long to, long from, long bytes) {
        MemorySegment.copy(ALL, from, ALL, to, bytes);
    }

}
