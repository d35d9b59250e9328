package castalia.checkpoints.hub;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;

/**
 * Between fp32 in native order and the stored types, little-endian and perhaps not aligned.
 * Rounding is to nearest, ties to even. Bits of NaNs are kept as far as they fit.
 */
final class Casts {

    private static final ValueLayout.OfFloat FLOAT = ValueLayout.JAVA_FLOAT_UNALIGNED;
    private static final ValueLayout.OfInt STORED_INT =
            ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfShort STORED_SHORT =
            ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt INT = ValueLayout.JAVA_INT_UNALIGNED;

    private long elements;
    private long rounded;
    private long overflowed;
    private long vanished;

    /** Reads stored elements, divides them by a power of two, writes fp32. */
    static void toFloats(
            TensorType type, MemorySegment stored, int divisor, MemorySegment floats) {
        long count = floats.byteSize() / 4;
        switch (type) {
            case F32 -> {
                for (long i = 0; i < count; i++) {
                    floats.set(INT, i * 4, stored.get(STORED_INT, i * 4));
                }
            }
            case BF16 -> {
                for (long i = 0; i < count; i++) {
                    floats.set(INT, i * 4, stored.get(STORED_SHORT, i * 2) << 16);
                }
            }
            case F16 -> {
                for (long i = 0; i < count; i++) {
                    floats.set(INT, i * 4, halfToFloatBits(stored.get(STORED_SHORT, i * 2)));
                }
            }
            default -> throw new IllegalArgumentException("weights of type " + type);
        }
        if (divisor != 1) {
            for (long i = 0; i < count; i++) {
                floats.set(FLOAT, i * 4, floats.get(FLOAT, i * 4) / divisor);
            }
        }
    }

    /** Multiplies fp32 elements by a power of two and stores them; counts what was lost. */
    void fromFloats(MemorySegment floats, int factor, TensorType type, MemorySegment stored) {
        long count = floats.byteSize() / 4;
        elements += count;
        if (factor == 1 && type == TensorType.F32) {
            for (long i = 0; i < count; i++) {
                stored.set(STORED_INT, i * 4, floats.get(INT, i * 4));
            }
            return;
        }
        for (long i = 0; i < count; i++) {
            int weight = floats.get(INT, i * 4);
            int scaled = factor == 1
                    ? weight
                    : Float.floatToRawIntBits(Float.intBitsToFloat(weight) * factor);
            int back = switch (type) {
                case F32 -> {
                    stored.set(STORED_INT, i * 4, scaled);
                    yield scaled;
                }
                case BF16 -> {
                    short bits = floatToBrainBits(scaled);
                    stored.set(STORED_SHORT, i * 2, bits);
                    yield bits << 16;
                }
                case F16 -> {
                    short bits = floatToHalfBits(scaled);
                    stored.set(STORED_SHORT, i * 2, bits);
                    yield halfToFloatBits(bits);
                }
                default -> throw new IllegalArgumentException("weights of type " + type);
            };
            float value = Float.intBitsToFloat(back);
            float original = Float.intBitsToFloat(weight);
            if (value != original * (double) factor && !Float.isNaN(original)) {
                rounded++;
                overflowed += Float.isInfinite(value) ? 1 : 0;
                vanished += value == 0 ? 1 : 0;
            }
        }
    }

    CastReport report(TensorType type) {
        return new CastReport(type, elements, rounded, overflowed, vanished);
    }

    static int halfToFloatBits(short half) {
        boolean nan = (half & 0x7c00) == 0x7c00 && (half & 0x03ff) != 0;
        return nan
                ? ((half & 0x8000) << 16) | 0x7f800000 | ((half & 0x03ff) << 13)
                : Float.floatToRawIntBits(Float.float16ToFloat(half));
    }

    static short floatToHalfBits(int bits) {
        if ((bits & 0x7fffffff) > 0x7f800000) {
            int payload = (bits >>> 13) & 0x03ff;
            int sign = (bits >>> 16) & 0x8000;
            return (short) (sign | 0x7c00 | (payload == 0 ? 0x0200 : payload));
        }
        return Float.floatToFloat16(Float.intBitsToFloat(bits));
    }

    static short floatToBrainBits(int bits) {
        if ((bits & 0x7fffffff) > 0x7f800000) {
            int high = bits >>> 16;
            return (short) ((high & 0x007f) == 0 ? high | 0x0040 : high);
        }
        int tie = (bits >>> 16) & 1;
        return (short) ((bits + 0x7fff + tie) >>> 16);
    }
}
