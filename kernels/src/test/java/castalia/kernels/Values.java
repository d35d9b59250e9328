package castalia.kernels;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.SplittableRandom;

/** Test data: drawn from seeds, and converted between doubles and the bytes of a buffer. */
final class Values {

    private Values() {}

    /** Normal values with a standard deviation of {@code std}. */
    static double[] normal(long seed, long count, double std) {
        SplittableRandom random = new SplittableRandom(seed);
        return random.doubles(count).map(p -> std * InverseNormal.quantile(p + 0x1p-60)).toArray();
    }

    /** Integers in [from, to). */
    static double[] integers(long seed, long count, int from, int to) {
        return new SplittableRandom(seed).ints(count, from, to).asDoubleStream().toArray();
    }

    static double[] filled(long count, double value) {
        double[] values = new double[Math.toIntExact(count)];
        Arrays.fill(values, value);
        return values;
    }

    /** Cosines, then sines, of each position's rotary angles in F32: (sequence, rotary). */
    static double[] rotaryTable(int sequence, int rotary) {
        double[] table = new double[sequence * rotary];
        for (int s = 0; s < sequence; s++) {
            for (int i = 0; i < rotary / 2; i++) {
                double angle = s * Math.pow(10000, -2.0 * i / rotary);
                table[s * rotary + i] = (float) Math.cos(angle);
                table[s * rotary + rotary / 2 + i] = (float) Math.sin(angle);
            }
        }
        return table;
    }

    /** The bytes of values rounded to a type. */
    static byte[] encode(DType type, double[] values) {
        ByteBuffer bytes =
                ByteBuffer.allocate(values.length * type.bytes()).order(ByteOrder.nativeOrder());
        for (double value : values) {
            switch (type) {
                case F32 -> bytes.putFloat((float) value);
                case BF16 -> bytes.putShort(bfloat16((float) value));
                case F16 -> bytes.putShort(Float.floatToFloat16((float) value));
                case F64 -> bytes.putDouble(value);
                case I32 -> bytes.putInt((int) value);
            }
        }
        return bytes.array();
    }

    /** The values that bytes of a type stand for, exactly. */
    static double[] decode(DType type, byte[] raw) {
        ByteBuffer bytes = ByteBuffer.wrap(raw).order(ByteOrder.nativeOrder());
        double[] values = new double[raw.length / type.bytes()];
        for (int i = 0; i < values.length; i++) {
            values[i] = switch (type) {
                case F32 -> bytes.getFloat();
                case BF16 -> Float.intBitsToFloat(bytes.getShort() << 16);
                case F16 -> Float.float16ToFloat(bytes.getShort());
                case F64 -> bytes.getDouble();
                case I32 -> bytes.getInt();
            };
        }
        return values;
    }

    private static short bfloat16(float value) {
        int bits = Float.floatToRawIntBits(value);
        int rounded = Float.isNaN(value) ? bits | 0x400000 : bits + 0x7FFF + (bits >>> 16 & 1);
        return (short) (rounded >>> 16);
    }

    /** The error of rounding to a type that stays however small the value is, and some room. */
    static double subnormal(DType type) {
        return type == DType.F16 ? 0x1.1p-25 : Float.MIN_NORMAL;
    }

    /** Half a unit in the last place of 1: the relative error of rounding to a type. */
    static double roundoff(DType type) {
        return switch (type) {
            case F32 -> 0x1p-24;
            case BF16 -> 0x1p-8;
            case F16 -> 0x1p-11;
            case F64 -> 0x1p-53;
            case I32 -> 0;
        };
    }
}
