package castalia.kernels.cpu;

import static java.lang.foreign.ValueLayout.JAVA_FLOAT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_INT_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_LONG_UNALIGNED;
import static java.lang.foreign.ValueLayout.JAVA_SHORT_UNALIGNED;

import castalia.kernels.DType;
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

    /** From binary16's exponent to F32's, in place. */
    static final int HALF_REBASE = 112 << 23;

    /** Bits of the smallest normal and of the infinite binary16, moved into F32's place. */
    static final int HALF_NORMAL = 0x400 << 13;

    static final int HALF_INFINITE = 0x7c00 << 13;

    /** 2^-14, and its bits. */
    static final float HALF_MIN_NORMAL = 0x1p-14f;

    static final int HALF_MIN_NORMAL_BITS = 113 << 23;

    /** Bits of 2^16: from there on a value is infinite whatever follows. */
    static final int HALF_OVERFLOW_BITS = 143 << 23;

    /** Back to binary16's exponent, and just less than half of its last place. */
    static final int HALF_ROUNDING = (-112 << 23) + 0xfff;

    /** Bits of 0.5, whose last place is binary16's smallest subnormal. */
    static final int ONE_HALF_BITS = 126 << 23;

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

    /** A binary16 widened. */
    static float f16(long address) {
        int half = ALL.get(JAVA_SHORT_UNALIGNED, address);
        int moved = (half & 0x7fff) << 13;
        int bits = moved + HALF_REBASE;
        if (moved < HALF_NORMAL) {
            bits = Float.floatToRawIntBits(
                    Float.intBitsToFloat(bits + (1 << 23)) - HALF_MIN_NORMAL);
        } else if (moved >= HALF_INFINITE) {
            bits += HALF_REBASE;
        }
        return Float.intBitsToFloat(bits | ((half & 0x8000) << 16));
    }

    /** Rounds to binary16, nearest even; subnormals are kept, a NaN stays one. */
    static void f16(long address, float value) {
        ALL.set(JAVA_SHORT_UNALIGNED, address, f16Bits(value));
    }

    static short f16Bits(float value) {
        int bits = Float.floatToRawIntBits(value);
        int size = bits & 0x7fffffff;
        int rounded;
        if (size > 0x7f800000) {
            rounded = 0x7e00 | ((size >>> 13) & 0x3ff);
        } else if (size >= HALF_OVERFLOW_BITS) {
            rounded = 0x7c00;
        } else if (size < HALF_MIN_NORMAL_BITS) {
            rounded = Float.floatToRawIntBits(Float.intBitsToFloat(size) + 0.5f) - ONE_HALF_BITS;
        } else {
            rounded = (size + HALF_ROUNDING + ((size >>> 13) & 1)) >>> 13;
        }
        return (short) (rounded | ((bits >>> 16) & 0x8000));
    }

    /** Rounds to F32, BF16 or F16. */
    static void number(DType type, long address, float value) {
        if (type == DType.F32) {
            f32(address, value);
        } else if (type == DType.BF16) {
            bf16(address, value);
        } else {
            f16(address, value);
        }
    }

    static void copy(long to, long from, long bytes) {
        MemorySegment.copy(ALL, from, ALL, to, bytes);
    }

}
