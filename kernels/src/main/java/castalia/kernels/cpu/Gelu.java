package castalia.kernels.cpu;

import static castalia.kernels.cpu.Memory.ALL;
import static castalia.kernels.cpu.Memory.ORDER;
import static castalia.kernels.cpu.VectorMath.EXP_2;
import static castalia.kernels.cpu.VectorMath.EXP_3;
import static castalia.kernels.cpu.VectorMath.EXP_4;
import static castalia.kernels.cpu.VectorMath.EXP_5;
import static castalia.kernels.cpu.VectorMath.EXP_6;
import static castalia.kernels.cpu.VectorMath.EXP_MAX;
import static castalia.kernels.cpu.VectorMath.EXP_MIN;
import static castalia.kernels.cpu.VectorMath.F;
import static castalia.kernels.cpu.VectorMath.L;
import static castalia.kernels.cpu.VectorMath.LN2_HIGH;
import static castalia.kernels.cpu.VectorMath.LN2_LOW;
import static castalia.kernels.cpu.VectorMath.LOG2_E;
import static castalia.kernels.cpu.VectorMath.ONE_BITS;
import static castalia.kernels.cpu.VectorMath.ROUND;
import static jdk.incubator.vector.FloatVector.broadcast;
import static jdk.incubator.vector.FloatVector.fromMemorySegment;

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
        void piece(long to, long x, long y, long work, int elements) {
            bell(work, x, elements);
            distribution(work, work, x, elements);
            multiply(to, x, work, elements);
        }
    }

    static final class ErfBackward extends Elementwise {
        ErfBackward(Scratch scratch) {
            super(scratch);
        }

        @Override
        void piece(long to, long gradient, long x, long work, int elements) {
            bell(work, x, elements);
            distribution(work + PIECE_BYTES, work, x, elements);
            erfSlope(to, gradient, x, work, work + PIECE_BYTES, elements);
        }
    }

    static final class TanhForward extends Elementwise {
        TanhForward(Scratch scratch) {
            super(scratch);
        }

        @Override
        void piece(long to, long x, long y, long work, int elements) {
            sigmoid(work, x, elements);
            multiply(to, x, work, elements);
        }
    }

    static final class TanhBackward extends Elementwise {
        TanhBackward(Scratch scratch) {
            super(scratch);
        }

        @Override
        void piece(long to, long gradient, long x, long work, int elements) {
            sigmoid(work, x, elements);
            tanhSlope(to, gradient, x, work, elements);
        }
    }

    /** The bell {@code exp(-x * x / 2)} of a row. */
    private static void bell(long to, long from, int elements) {
        for (int i = 0; i < elements; i += L) {
            FloatVector x = fromMemorySegment(F, ALL, from + 4L * i, ORDER);
            FloatVector v = x.mul(x).mul(-0.5f);
            FloatVector shifted = v.fma(broadcast(F, LOG2_E), broadcast(F, ROUND));
            FloatVector n = shifted.sub(ROUND);
            FloatVector r = n.fma(broadcast(F, -LN2_HIGH), v);
            r = n.fma(broadcast(F, -LN2_LOW), r);
            FloatVector p = r.fma(broadcast(F, EXP_6), broadcast(F, EXP_5));
            p = p.fma(r, broadcast(F, EXP_4));
            p = p.fma(r, broadcast(F, EXP_3));
            p = p.fma(r, broadcast(F, EXP_2));
            p = p.fma(r.mul(r), r).add(1f);
            FloatVector power = shifted.reinterpretAsInts()
                    .lanewise(VectorOperators.LSHL, 23)
                    .add(ONE_BITS)
                    .reinterpretAsFloats();
            p.mul(power).blend(0f, v.compare(VectorOperators.LT, EXP_MIN))
                    .intoMemorySegment(ALL, to + 4L * i, ORDER);
        }
    }

    /**
     * The normal distribution of a row, given its bell. The tail beyond t = |x| is the bell times
     * P(t) / Q(t), relative error below 4e-7 plus that of the bell.
     */
    private static void distribution(long to, long bells, long from, int elements) {
        for (int i = 0; i < elements; i += L) {
            FloatVector x = fromMemorySegment(F, ALL, from + 4L * i, ORDER);
            FloatVector e = fromMemorySegment(F, ALL, bells + 4L * i, ORDER);
            FloatVector t = x.abs();
            t = t.blend(FAR, t.compare(VectorOperators.GT, FAR));
            FloatVector p = t.fma(broadcast(F, 0.004077594f), broadcast(F, 0.040372446f));
            p = p.fma(t, broadcast(F, 0.18246152f));
            p = p.fma(t, broadcast(F, 0.43725047f));
            p = p.fma(t, broadcast(F, 0.5f));
            FloatVector q = t.fma(broadcast(F, 0.010220883f), broadcast(F, 0.10120552f));
            q = q.fma(t, broadcast(F, 0.46742827f));
            q = q.fma(t, broadcast(F, 1.1992894f));
            q = q.fma(t, broadcast(F, 1.6723859f));
            q = q.fma(t, broadcast(F, 1f));
            FloatVector tail = e.mul(p).div(q);
            broadcast(F, 1f).sub(tail).blend(tail, x.compare(VectorOperators.LT, 0f))
                    .intoMemorySegment(ALL, to + 4L * i, ORDER);
        }
    }

    private static void multiply(long to, long x, long y, int elements) {
        for (int i = 0; i < elements; i += L) {
            FloatVector a = fromMemorySegment(F, ALL, x + 4L * i, ORDER);
            FloatVector b = fromMemorySegment(F, ALL, y + 4L * i, ORDER);
            a.mul(b).intoMemorySegment(ALL, to + 4L * i, ORDER);
        }
    }

    private static void erfSlope(
            long to, long gradient, long x, long bells, long distributions, int elements) {
        for (int i = 0; i < elements; i += L) {
            FloatVector value = fromMemorySegment(F, ALL, x + 4L * i, ORDER);
            FloatVector e = fromMemorySegment(F, ALL, bells + 4L * i, ORDER);
            FloatVector d = fromMemorySegment(F, ALL, distributions + 4L * i, ORDER);
            FloatVector g = fromMemorySegment(F, ALL, gradient + 4L * i, ORDER);
            g.mul(value.mul(e).fma(broadcast(F, DENSITY), d))
                    .intoMemorySegment(ALL, to + 4L * i, ORDER);
        }
    }

    /** {@code 1 / (1 + exp(-2u))} of a row, u the argument of the tanh form. */
    private static void sigmoid(long to, long from, int elements) {
        for (int i = 0; i < elements; i += L) {
            FloatVector x = fromMemorySegment(F, ALL, from + 4L * i, ORDER);
            FloatVector v = x.mul(x).fma(broadcast(F, -TWICE_CUBIC), broadcast(F, -TWICE_ROOT))
                    .mul(x);
            FloatVector y = v.blend(EXP_MAX, v.compare(VectorOperators.GT, EXP_MAX));
            FloatVector shifted = y.fma(broadcast(F, LOG2_E), broadcast(F, ROUND));
            FloatVector n = shifted.sub(ROUND);
            FloatVector r = n.fma(broadcast(F, -LN2_HIGH), y);
            r = n.fma(broadcast(F, -LN2_LOW), r);
            FloatVector p = r.fma(broadcast(F, EXP_6), broadcast(F, EXP_5));
            p = p.fma(r, broadcast(F, EXP_4));
            p = p.fma(r, broadcast(F, EXP_3));
            p = p.fma(r, broadcast(F, EXP_2));
            p = p.fma(r.mul(r), r).add(1f);
            FloatVector power = shifted.reinterpretAsInts()
                    .lanewise(VectorOperators.LSHL, 23)
                    .add(ONE_BITS)
                    .reinterpretAsFloats();
            FloatVector e = p.mul(power).blend(0f, v.compare(VectorOperators.LT, EXP_MIN));
            broadcast(F, 1f).div(e.add(1f)).intoMemorySegment(ALL, to + 4L * i, ORDER);
        }
    }

    private static void tanhSlope(
            long to, long gradient, long from, long sigmoids, int elements) {
        for (int i = 0; i < elements; i += L) {
            FloatVector x = fromMemorySegment(F, ALL, from + 4L * i, ORDER);
            FloatVector s = fromMemorySegment(F, ALL, sigmoids + 4L * i, ORDER);
            FloatVector g = fromMemorySegment(F, ALL, gradient + 4L * i, ORDER);
            FloatVector inner = x.mul(x).fma(broadcast(F, CUBIC_SLOPE), broadcast(F, TWICE_ROOT));
            FloatVector slope = s.mul(broadcast(F, 1f).sub(s)).mul(x).fma(inner, s);
            g.mul(slope).intoMemorySegment(ALL, to + 4L * i, ORDER);
        }
    }
}
