package castalia.kernels.reference;

import castalia.kernels.Buffer;
import castalia.kernels.DType;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import org.jspecify.annotations.Nullable;

/**
 * Reads and writes elements of any floating type, and the roundings between types. A value is read
 * exactly; a {@code double} that is written is rounded a single time, to nearest even.
 */
final class Elements {

    private Elements() {}

    static double get(Buffer buffer, long index) {
        MemorySegment memory = buffer.segment();
        return switch (buffer.type()) {
            case F32 -> memory.getAtIndex(ValueLayout.JAVA_FLOAT, index);
            case BF16 -> widen(memory.getAtIndex(ValueLayout.JAVA_SHORT, index));
            case F16 -> widenHalf(memory.getAtIndex(ValueLayout.JAVA_SHORT, index));
            case F64 -> memory.getAtIndex(ValueLayout.JAVA_DOUBLE, index);
            case I32 -> throw new IllegalArgumentException("integers where numbers were expected");
        };
    }

    static void set(Buffer buffer, long index, double value) {
        MemorySegment memory = buffer.segment();
        switch (buffer.type()) {
            case F32 -> memory.setAtIndex(ValueLayout.JAVA_FLOAT, index, (float) value);
            case BF16 -> memory.setAtIndex(ValueLayout.JAVA_SHORT, index, round(value));
            case F16 -> memory.setAtIndex(ValueLayout.JAVA_SHORT, index, roundHalf(value));
            case F64 -> memory.setAtIndex(ValueLayout.JAVA_DOUBLE, index, value);
            case I32 -> throw new IllegalArgumentException("integers where numbers were expected");
        }
    }

    /** An element of an F32, BF16 or F16 buffer, exactly. */
    static float getFloat(Buffer buffer, long index) {
        return (float) get(buffer, index);
    }

    /** Writes a finished sum, or adds it to what is there by one addition in the buffer's type. */
    static void setOrAdd(Buffer buffer, long index, double sum, boolean accumulate) {
        if (!accumulate) {
            set(buffer, index, sum);
        } else if (buffer.type() == DType.F64) {
            set(buffer, index, get(buffer, index) + sum);
        } else {
            set(buffer, index, getFloat(buffer, index) + (float) sum);
        }
    }

    static int token(Buffer tokens, long index) {
        return tokens.segment().getAtIndex(ValueLayout.JAVA_INT, index);
    }

    /** True if the operation shall compute in F64: one of its buffers is F64. */
    static boolean inDouble(Buffer first, Buffer... others) {
        for (Buffer other : others) {
            if (other.type() == DType.F64) {
                return true;
            }
        }
        return first.type() == DType.F64;
    }

    /** The F32 value of a bfloat16. */
    static float widen(short bits) {
        return Float.intBitsToFloat(bits << 16);
    }

    /** Rounds F32 to bfloat16: nearest even on the upper 16 bits; a NaN stays one, made quiet. */
    static short round(float value) {
        int bits = Float.floatToRawIntBits(value);
        if (Float.isNaN(value)) {
            return (short) ((bits >>> 16) | 0x40);
        }
        return (short) ((bits + 0x7FFF + ((bits >>> 16) & 1)) >>> 16);
    }

    /** The F32 value of a binary16; a NaN's bits are moved as they are. */
    static float widenHalf(short bits) {
        if ((bits & 0x7FFF) > 0x7C00) {
            return Float.intBitsToFloat(((bits & 0x8000) << 16) | 0x7F800000 | ((bits & 0x3FF) << 13));
        }
        return Float.float16ToFloat(bits);
    }

    /** Rounds F32 to binary16, to nearest even; a NaN stays one, made quiet. */
    static short roundHalf(float value) {
        if (Float.isNaN(value)) {
            int bits = Float.floatToRawIntBits(value);
            return (short) (((bits >>> 16) & 0x8000) | 0x7E00 | ((bits >>> 13) & 0x3FF));
        }
        return Float.floatToFloat16(value);
    }

    /** Rounds F64 to bfloat16 once. */
    static short round(double value) {
        return round(toOdd(value));
    }

    /** Rounds F64 to binary16 once. */
    static short roundHalf(double value) {
        return roundHalf(toOdd(value));
    }

    /**
     * F64 to F32 towards zero with the lowest bit set if anything was cut off, so that a rounding
     * to fewer bits sees which side of a tie the value lies on.
     */
    private static float toOdd(double value) {
        float near = (float) value;
        if (near == value || Double.isNaN(value)) {
            return near;
        }
        int bits = Float.floatToRawIntBits(near);
        if (Math.abs((double) near) > Math.abs(value)) {
            bits--;
        }
        return Float.intBitsToFloat(bits | 1);
    }

    /** Refuses a buffer that holds fewer than {@code elements} numbers, or no numbers. */
    static void numbers(String name, Buffer buffer, long elements) {
        if (buffer.type() == DType.I32) {
            throw new IllegalArgumentException(name + " holds I32, not numbers");
        }
        enough(name, buffer, elements);
    }

    /** As {@link #numbers} for an operand that may be absent. */
    static void numbersOrNull(String name, @Nullable Buffer buffer, long elements) {
        if (buffer != null) {
            numbers(name, buffer, elements);
        }
    }

    /** Refuses a buffer that holds fewer than {@code elements} token ids, or no integers. */
    static void tokens(String name, Buffer buffer, long elements) {
        if (buffer.type() != DType.I32) {
            throw new IllegalArgumentException(name + " holds " + buffer.type() + ", not I32");
        }
        enough(name, buffer, elements);
    }

    private static void enough(String name, Buffer buffer, long elements) {
        if (elements < 0 || buffer.elements() < elements) {
            throw new IllegalArgumentException(name + " has " + buffer.elements()
                    + " elements where " + elements + " are needed");
        }
    }
}
