package castalia.kernels.reference;

import static castalia.kernels.reference.Elements.get;
import static castalia.kernels.reference.Elements.getFloat;
import static castalia.kernels.reference.Elements.inDouble;
import static castalia.kernels.reference.Elements.numbers;
import static castalia.kernels.reference.Elements.numbersOrNull;
import static castalia.kernels.reference.Elements.set;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import castalia.kernels.Buffer;
import castalia.kernels.DType;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/** Operations without sums over rows or columns: GELU, residual, casts, fills. */
final class Pointwise {

    private static final double ROOT_HALF = Math.sqrt(0.5);
    private static final double ROOT_TWO_OVER_PI = Math.sqrt(2 / Math.PI);
    private static final double CUBIC = 0.044715;

    private Pointwise() {}

    /** out (count) = gelu(x): x times the normal distribution at x, or its form by tanh. */
    static void gelu(Buffer out, Buffer x, boolean tanh, long count) {
        numbers("out", out, count);
        numbers("x", x, count);
        for (long i = 0; i < count; i++) {
            double v = get(x, i);
            set(out, i, tanh ? v * tanhStep(v) : v * normalDistribution(v));
        }
    }

    /** dx (count) = dOut * gelu'(x). */
    static void geluBackward(Buffer dx, Buffer dOut, Buffer x, boolean tanh, long count) {
        numbers("dx", dx, count);
        numbers("dOut", dOut, count);
        numbers("x", x, count);
        for (long i = 0; i < count; i++) {
            double v = get(x, i);
            double slope = tanh
                    ? tanhStep(v) + v * tanhStepSlope(v)
                    : normalDistribution(v) + v * normalDensity(v);
            set(dx, i, get(dOut, i) * slope);
        }
    }

    private static double normalDistribution(double x) {
        return x < 0 ? Erf.erfc(-x * ROOT_HALF) / 2 : 1 - Erf.erfc(x * ROOT_HALF) / 2;
    }

    private static double normalDensity(double x) {
        return StrictMath.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
    }

    /** (1 + tanh(y)) / 2 with y = sqrt(2/pi) (x + 0.044715 x^3), written as 1 / (1 + exp(-2y)). */
    private static double tanhStep(double x) {
        return 1 / (1 + StrictMath.exp(-2 * ROOT_TWO_OVER_PI * (x + CUBIC * x * x * x)));
    }

    private static double tanhStepSlope(double x) {
        double t = StrictMath.tanh(ROOT_TWO_OVER_PI * (x + CUBIC * x * x * x));
        return (1 - t * t) / 2 * ROOT_TWO_OVER_PI * (1 + 3 * CUBIC * x * x);
    }

    /** out (R, C) = x + (tree(partials) + (copies bias1 + copies bias2)) in F32, rounded. */
    static void residual(Buffer out, Buffer x, Buffer[] partials, Buffer bias1,
            @Nullable Buffer bias2, int copies, int rows, int columns) {
        long count = (long) rows * columns;
        numbers("out", out, count);
        numbers("x", x, count);
        checkPartials(partials, count);
        numbers("bias1", bias1, columns);
        numbersOrNull("bias2", bias2, columns);
        boolean inDouble = inDouble(out, x, bias1) || inDouble(out, partials);
        for (long i = 0; i < count; i++) {
            int c = (int) (i % columns);
            if (inDouble) {
                double biases = copies * get(bias1, c);
                if (bias2 != null) {
                    biases += copies * get(bias2, c);
                }
                set(out, i, get(x, i) + (tree(partials, 0, partials.length, i) + biases));
            } else {
                float biases = copies * getFloat(bias1, c);
                if (bias2 != null) {
                    biases += copies * getFloat(bias2, c);
                }
                float sum = treeFloat(partials, 0, partials.length, i) + biases;
                set(out, i, getFloat(x, i) + sum);
            }
        }
    }

    /** out (count) = tree(partials) in F32, rounded once. */
    static void sumPartials(Buffer out, Buffer[] partials, long count) {
        numbers("out", out, count);
        checkPartials(partials, count);
        boolean inDouble = inDouble(out, partials);
        for (long i = 0; i < count; i++) {
            set(out, i, inDouble
                    ? tree(partials, 0, partials.length, i)
                    : treeFloat(partials, 0, partials.length, i));
        }
    }

    private static void checkPartials(Buffer[] partials, long count) {
        if (partials.length == 0) {
            throw new IllegalArgumentException("no partials to sum");
        }
        for (int t = 0; t < partials.length; t++) {
            numbers("partial " + t, partials[t], count);
        }
    }

    /** Element i of partials from..to by the tree, cut at the largest power of two below. */
    private static double tree(Buffer[] partials, int from, int to, long i) {
        if (to - from == 1) {
            return get(partials[from], i);
        }
        int middle = from + Integer.highestOneBit(to - from - 1);
        return tree(partials, from, middle, i) + tree(partials, middle, to, i);
    }

    private static float treeFloat(Buffer[] partials, int from, int to, long i) {
        if (to - from == 1) {
            return getFloat(partials[from], i);
        }
        int middle = from + Integer.highestOneBit(to - from - 1);
        return treeFloat(partials, from, middle, i) + treeFloat(partials, middle, to, i);
    }

    /** out (count) += x. */
    static void add(Buffer out, Buffer x, long count) {
        numbers("out", out, count);
        numbers("x", x, count);
        for (long i = 0; i < count; i++) {
            Elements.setOrAdd(out, i, get(x, i), true);
        }
    }

    /** out (count) = x, rounded to out's type; equal types are copied bit by bit. */
    static void cast(Buffer out, Buffer x, long count) {
        numbers("out", out, count);
        numbers("x", x, count);
        if (out.type() == x.type()) {
            long bytes = count * x.type().bytes();
            MemorySegment.copy(x.segment(), 0, out.segment(), 0, bytes);
            return;
        }
        for (long i = 0; i < count; i++) {
            if (x.type() == DType.F32 && out.type() == DType.BF16) {
                out.segment().setAtIndex(JAVA_SHORT, i, Elements.round(getFloat(x, i)));
            } else if (x.type() == DType.BF16 && out.type() == DType.F32) {
                int bits = x.segment().getAtIndex(JAVA_SHORT, i) << 16;
                out.segment().setAtIndex(JAVA_INT, i, bits);
            } else if (x.type() == DType.F32 && out.type() == DType.F16) {
                out.segment().setAtIndex(JAVA_SHORT, i, Elements.roundHalf(getFloat(x, i)));
            } else if (x.type() == DType.F16 && out.type() == DType.F32) {
                int bits = Float.floatToRawIntBits(
                        Elements.widenHalf(x.segment().getAtIndex(JAVA_SHORT, i)));
                out.segment().setAtIndex(JAVA_INT, i, bits);
            } else {
                set(out, i, get(x, i));
            }
        }
    }

    static void zero(Buffer out, long count) {
        fill(out, 0, count);
    }

    static void fill(Buffer out, float value, long count) {
        numbers("out", out, count);
        for (long i = 0; i < count; i++) {
            set(out, i, value);
        }
    }
}
