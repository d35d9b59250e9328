package castalia.kernels.cpu;

import static castalia.kernels.cpu.VectorMath.L;
import static castalia.kernels.cpu.VectorMath.all;
import static castalia.kernels.cpu.VectorMath.load;
import static castalia.kernels.cpu.VectorMath.store;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorOperators;

/**
 * GELU and its derivative in both forms. The erf form uses the tail of the normal distribution, so
 * that large negative inputs keep their relative precision; the tanh form is written as
 * {@code x / (1 + exp(-2u))}, which is the same function.
 */
final class Gelu {

    /** {@code 2 sqrt(2 / pi)}. */
    private static final float TWICE_ROOT = 1.5957692f;

    /** {@code 2 sqrt(2 / pi) * 0.044715}. */
    private static final float TWICE_CUBIC = 0.071354814f;

    /** {@code 3 * 2 sqrt(2 / pi) * 0.044715}. */
    private static final float CUBIC_SLOPE = 0.21406445f;

    /** {@code 1 / sqrt(2 pi)}. */
    private static final float DENSITY = 0.3989423f;

    /** The tail is 0 in F32 beyond this. */
    private static final float FAR = 14f;

    private Gelu() {}

    static final class ErfForward extends Elementwise {
        ErfForward(Scratch scratch) {
            super(scratch);
        }

        @Override
        void piece(long to, long x, long y, int elements) {
            erf(to, x, elements);
        }
    }

    static final class ErfBackward extends Elementwise {
        ErfBackward(Scratch scratch) {
            super(scratch);
        }

        @Override
        void piece(long to, long gradient, long x, int elements) {
            erfBackward(to, gradient, x, elements);
        }
    }

    static final class TanhForward extends Elementwise {
        TanhForward(Scratch scratch) {
            super(scratch);
        }

        @Override
        void piece(long to, long x, long y, int elements) {
            tanh(to, x, elements);
        }
    }

    static final class TanhBackward extends Elementwise {
        TanhBackward(Scratch scratch) {
            super(scratch);
        }

        @Override
        void piece(long to, long gradient, long x, int elements) {
            tanhBackward(to, gradient, x, elements);
        }
    }

    private static FloatVector exponential(FloatVector x) {
        return VectorMath.exp(x.mul(x).mul(-0.5f));
    }

    /** The normal distribution at x, given {@code exp(-x * x / 2)}. */
    private static FloatVector distribution(FloatVector x, FloatVector e) {
        FloatVector t = x.abs();
        FloatVector near = t.blend(FAR, t.compare(VectorOperators.GT, FAR));
        FloatVector tail = VectorMath.normalTail(near, e);
        return all(1f).sub(tail).blend(tail, x.compare(VectorOperators.LT, 0f));
    }

    private static void erf(long to, long from, int elements) {
        for (int i = 0; i < elements; i += L) {
            FloatVector x = load(from + 4L * i);
            store(to + 4L * i, x.mul(distribution(x, exponential(x))));
        }
    }

    private static void erfBackward(long to, long gradient, long from, int elements) {
        for (int i = 0; i < elements; i += L) {
            FloatVector x = load(from + 4L * i);
            FloatVector e = exponential(x);
            FloatVector slope = x.mul(e).fma(all(DENSITY), distribution(x, e));
            store(to + 4L * i, load(gradient + 4L * i).mul(slope));
        }
    }

    private static FloatVector sigmoid(FloatVector x) {
        return all(1f).div(VectorMath.exp(x.neg()).add(1f));
    }

    private static void tanh(long to, long from, int elements) {
        for (int i = 0; i < elements; i += L) {
            FloatVector x = load(from + 4L * i);
            FloatVector u = x.mul(x).fma(all(TWICE_CUBIC), all(TWICE_ROOT)).mul(x);
            store(to + 4L * i, x.mul(sigmoid(u)));
        }
    }

    private static void tanhBackward(long to, long gradient, long from, int elements) {
        for (int i = 0; i < elements; i += L) {
            FloatVector x = load(from + 4L * i);
            FloatVector square = x.mul(x);
            FloatVector s = sigmoid(square.fma(all(TWICE_CUBIC), all(TWICE_ROOT)).mul(x));
            FloatVector inner = square.fma(all(CUBIC_SLOPE), all(TWICE_ROOT));
            FloatVector slope = s.mul(all(1f).sub(s)).mul(x).fma(inner, s);
            store(to + 4L * i, load(gradient + 4L * i).mul(slope));
        }
    }
}
