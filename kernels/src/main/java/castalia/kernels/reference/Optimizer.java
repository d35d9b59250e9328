package castalia.kernels.reference;

import static castalia.kernels.reference.Elements.get;
import static castalia.kernels.reference.Elements.getFloat;
import static castalia.kernels.reference.Elements.inDouble;
import static castalia.kernels.reference.Elements.numbers;
import static castalia.kernels.reference.Elements.set;

import castalia.kernels.AdamW;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.DigestSum;
import castalia.kernels.InverseNormal;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;

/** Initial values, norms, the AdamW update and the digest of what it leaves: bit for bit. */
final class Optimizer {

    private static final int LANES = 16;
    private static final long GOLDEN = 0x9E3779B97F4A7C15L;

    private final double[] lanes = new double[LANES];

    /** out (rows, columns): part of a tensor with tensorColumns columns. */
    static void normal(Buffer out, double std, long seed, int tensor, int firstRow, int firstColumn,
            int tensorColumns, int rows, int columns) {
        numbers("out", out, (long) rows * columns);
        boolean inDouble = inDouble(out);
        for (int r = 0; r < rows; r++) {
            for (int c = 0; c < columns; c++) {
                long element = ((long) firstRow + r) * tensorColumns + firstColumn + c;
                double value = std * InverseNormal.value(seed, tensor, element);
                set(out, (long) r * columns + c, inDouble ? value : (float) value);
            }
        }
    }

    /** Sum of squares in F64: lane l takes elements l, l + 16, ...; the tree folds lanes. */
    double sumOfSquares(Buffer x, long count) {
        numbers("x", x, count);
        Arrays.fill(lanes, 0);
        for (long i = 0; i < count; i++) {
            double value = get(x, i);
            lanes[(int) (i % LANES)] += value * value;
        }
        for (int width = 1; width < LANES; width *= 2) {
            for (int lane = 0; lane < LANES; lane += 2 * width) {
                lanes[lane] += lanes[lane + width];
            }
        }
        return lanes[0];
    }

    /** One update of weight, first and second moment (count), element by element in F32. */
    static void adamW(Buffer weight, Buffer first, Buffer second, Buffer compute, Buffer gradient,
            AdamW scalars, long position, long count, DigestSum digest) {
        checkState(weight, first, second, position, count);
        numbers("compute", compute, count);
        numbers("gradient", gradient, count);
        for (Buffer each : new Buffer[] {first, second, compute, gradient}) {
            requireAlike("elements", each.elements(), count);
        }
        boolean inDouble = inDouble(weight, first, second, gradient);
        for (long i = 0; i < count; i++) {
            if (inDouble) {
                updateDouble(weight, first, second, gradient, scalars, i);
            } else {
                update(weight, first, second, gradient, scalars, i);
            }
            set(compute, i, get(weight, i));
        }
        digest(weight, first, second, position, count, digest);
    }

    static void requireAlike(String what, long found, long wanted) {
        if (found != wanted) {
            throw new IllegalArgumentException(
                    found + " " + what + " where there are " + wanted);
        }
    }

    private static void update(Buffer weight, Buffer first, Buffer second, Buffer gradient,
            AdamW scalars, long i) {
        float g = getFloat(gradient, i) * scalars.gradientFactor();
        float w = getFloat(weight, i);
        float m = Math.fma(scalars.beta1(), getFloat(first, i), (1 - scalars.beta1()) * g);
        float v = Math.fma(scalars.beta2(), getFloat(second, i), ((1 - scalars.beta2()) * g) * g);
        float root = (float) Math.sqrt(v * scalars.inverseCorrection2());
        float u = (m * scalars.inverseCorrection1()) / (root + scalars.epsilon());
        u = Math.fma(scalars.weightDecay(), w, u);
        set(first, i, m);
        set(second, i, v);
        set(weight, i, Math.fma(-scalars.learningRate(), u, w));
    }

    private static void updateDouble(Buffer weight, Buffer first, Buffer second, Buffer gradient,
            AdamW scalars, long i) {
        double g = get(gradient, i) * scalars.gradientFactor();
        double w = get(weight, i);
        double m = Math.fma(scalars.beta1(), get(first, i), (1.0 - scalars.beta1()) * g);
        double v = Math.fma(scalars.beta2(), get(second, i), ((1.0 - scalars.beta2()) * g) * g);
        double root = Math.sqrt(v * scalars.inverseCorrection2());
        double u = (m * scalars.inverseCorrection1()) / (root + scalars.epsilon());
        u = Math.fma(scalars.weightDecay(), w, u);
        set(first, i, m);
        set(second, i, v);
        set(weight, i, Math.fma(-scalars.learningRate(), u, w));
    }

    /** Adds the digest of count elements from flat position; see numerics.md section 7. */
    static void digest(Buffer weight, Buffer first, Buffer second, long position, long count,
            DigestSum digest) {
        checkState(weight, first, second, position, count);
        for (long i = 0; i < count; i += 2) {
            long t = ((position + i) / 2 + 1) * GOLDEN;
            long k1 = (t ^ (t >>> 29)) | 1;
            long s = t * 0xBF58476D1CE4E5B9L;
            long k2 = (s ^ (s >>> 32)) | 1;
            long u = word(weight, i, count) * GOLDEN
                    + word(first, i, count) * 0xC2B2AE3D27D4EB4FL
                    + word(second, i, count) * 0x165667B19E3779F9L;
            digest.a += u * k1;
            digest.b += (u ^ (u >>> 32)) * k2;
        }
    }

    /** Elements i (low half) and i + 1 (high half, 0 behind the end) as one word. */
    private static long word(Buffer buffer, long i, long count) {
        long low = Integer.toUnsignedLong(bits(buffer, i));
        long high = i + 1 < count ? bits(buffer, i + 1) : 0;
        return high << 32 | low;
    }

    /** The F32 bits of an element; F64 state is digested as if rounded to F32. */
    private static int bits(Buffer buffer, long i) {
        if (buffer.type() == DType.F32) {
            return buffer.segment().getAtIndex(ValueLayout.JAVA_INT, i);
        }
        return Float.floatToRawIntBits((float) get(buffer, i));
    }

    private static void checkState(Buffer weight, Buffer first, Buffer second, long position,
            long count) {
        numbers("weight", weight, count);
        numbers("first", first, count);
        numbers("second", second, count);
        if (position < 0 || position % LANES != 0) {
            throw new IllegalArgumentException("position " + position + " is no multiple of 16");
        }
    }
}
