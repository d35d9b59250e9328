package castalia.kernels.cpu;

import static castalia.kernels.cpu.VectorMath.L;
import static castalia.kernels.cpu.VectorMath.VB;
import static castalia.kernels.cpu.VectorMath.WIDE;
import static castalia.kernels.cpu.VectorMath.all;
import static castalia.kernels.cpu.VectorMath.load;
import static castalia.kernels.cpu.VectorMath.store;

import castalia.kernels.Buffer;
import castalia.kernels.Kernels;
import jdk.incubator.vector.FloatVector;
import org.jspecify.annotations.Nullable;

/**
 * Layer norm of one or two sets of parameters over the same input, forward and backward. Sums over
 * columns run in 16 lanes; parameter gradients sum rows in groups of 128, groups ascending.
 */
final class LayerNorm {

    private LayerNorm() {}

    private static long rowBytes(int columns) {
        return 4L * Rows.padded(columns) + 256;
    }

    static final class Forward extends WorkerPool.Task {
        private static final int ROWS_PER_BLOCK = 32;

        private final Scratch scratch;
        private long out1;
        private long out2;
        private boolean outBf16;
        private long x;
        private boolean xBf16;
        private long mean;
        private long rstd;
        private long weight1;
        private long bias1;
        private long weight2;
        private long bias2;
        private boolean parameterBf16;
        private float epsilon;
        private int rows;
        private int columns;

        Forward(Scratch scratch) {
            this.scratch = scratch;
        }

        void run(WorkerPool pool, Buffer to1, @Nullable Buffer to2, Buffer means, Buffer rstds,
                Buffer from, Buffer w1, Buffer b1, @Nullable Buffer w2, @Nullable Buffer b2,
                float eps, int rowCount, int columnCount) {
            out1 = to1.segment().address();
            out2 = to2 == null ? 0 : to2.segment().address();
            outBf16 = Rows.isBf16(to1.type());
            x = from.segment().address();
            xBf16 = Rows.isBf16(from.type());
            mean = means.segment().address();
            rstd = rstds.segment().address();
            weight1 = w1.segment().address();
            bias1 = b1.segment().address();
            weight2 = w2 == null ? 0 : w2.segment().address();
            bias2 = b2 == null ? 0 : b2.segment().address();
            parameterBf16 = Rows.isBf16(w1.type());
            epsilon = eps;
            rows = rowCount;
            columns = columnCount;
            scratch.ensureRows(64 + 6 * rowBytes(columns));
            pool.run(this, (rows + ROWS_PER_BLOCK - 1) / ROWS_PER_BLOCK);
        }

        @Override
        void block(int block, int thread) {
            long fold = scratch.rows(thread);
            long work = fold + 64;
            long step = rowBytes(columns);
            int size = Rows.padded(columns);
            long w1 = Rows.read(weight1, parameterBf16, columns, work);
            long b1 = Rows.read(bias1, parameterBf16, columns, work + step);
            long w2 = out2 == 0 ? 0 : Rows.read(weight2, parameterBf16, columns, work + 2 * step);
            long b2 = out2 == 0 ? 0 : Rows.read(bias2, parameterBf16, columns, work + 3 * step);
            int end = Math.min(rows, (block + 1) * ROWS_PER_BLOCK);
            for (int row = block * ROWS_PER_BLOCK; row < end; row++) {
                long at = (long) row * columns;
                long from = Rows.read(x + at * (xBf16 ? 2 : 4), xBf16, columns, work + 4 * step);
                float m = sum(from, size, fold) / columns;
                float variance = squares(from, m, columns, fold) / columns;
                float r = 1f / (float) Math.sqrt(variance + epsilon);
                Memory.f32(mean + 4L * row, m);
                Memory.f32(rstd + 4L * row, r);
                apply(out1 + at * (outBf16 ? 2 : 4), from, m, r, w1, b1, work + 5 * step);
                if (out2 != 0) {
                    apply(out2 + at * (outBf16 ? 2 : 4), from, m, r, w2, b2, work + 5 * step);
                }
            }
        }

        private void apply(
                long target, long from, float m, float r, long weight, long bias, long work) {
            long to = Rows.write(target, outBf16, columns, work);
            normalize(to, from, m, r, weight, bias, Rows.padded(columns));
            Rows.written(target, outBf16, columns, work);
        }

        private static void normalize(
                long to, long x, float mean, float rstd, long weight, long bias, int elements) {
            for (int i = 0; i < elements; i += L) {
                FloatVector normal = load(x + 4L * i).sub(mean).mul(rstd);
                store(to + 4L * i, normal.fma(load(weight + 4L * i), load(bias + 4L * i)));
            }
        }
    }

    /** Sum of a padded row in 16 lanes. */
    static float sum(long x, int elements, long fold) {
        FloatVector low = all(0f);
        FloatVector high = all(0f);
        for (int i = 0; i < elements; i += 16) {
            low = low.add(load(x + 4L * i));
            if (!WIDE) {
                high = high.add(load(x + 4L * i + VB));
            }
        }
        return VectorMath.fold(low, high, fold);
    }

    /** Sum of squared deviations of a row in 16 lanes; padding counts for nothing. */
    private static float squares(long x, float mean, int elements, long fold) {
        int whole = elements & -16;
        FloatVector low = all(0f);
        FloatVector high = all(0f);
        for (int i = 0; i < whole; i += 16) {
            FloatVector d = load(x + 4L * i).sub(mean);
            low = low.add(d.mul(d));
            if (!WIDE) {
                d = load(x + 4L * i + VB).sub(mean);
                high = high.add(d.mul(d));
            }
        }
        if (whole == elements) {
            return VectorMath.fold(low, high, fold);
        }
        store(fold, low);
        if (!WIDE) {
            store(fold + VB, high);
        }
        for (int i = whole; i < elements; i++) {
            float d = Memory.f32(x + 4L * i) - mean;
            long lane = fold + 4L * (i - whole);
            Memory.f32(lane, Memory.f32(lane) + d * d);
        }
        return VectorMath.fold(load(fold), WIDE ? low : load(fold + VB), fold);
    }

    static final class Backward extends WorkerPool.Task {
        private static final int GROUP = Kernels.ROW_GROUP;

        private final Scratch scratch;
        private final GroupFold groupFold;
        private long dx;
        private boolean dxBf16;
        private long residual;
        private boolean residualBf16;
        private long gradient1;
        private long gradient2;
        private boolean gradientBf16;
        private long x;
        private boolean xBf16;
        private long mean;
        private long rstd;
        private long weight1;
        private long weight2;
        private boolean weightBf16;
        private int rows;
        private int columns;
        private int vectors;
        private long partials;

        Backward(Scratch scratch, GroupFold groupFold) {
            this.scratch = scratch;
            this.groupFold = groupFold;
        }

        void run(WorkerPool pool, Buffer to, Buffer dWeight1, Buffer dBias1,
                @Nullable Buffer dWeight2, @Nullable Buffer dBias2, @Nullable Buffer dResidual,
                Buffer dOut1, @Nullable Buffer dOut2, Buffer from, Buffer means, Buffer rstds,
                Buffer w1, @Nullable Buffer w2, int rowCount, int columnCount,
                boolean accumulate) {
            dx = to.segment().address();
            dxBf16 = Rows.isBf16(to.type());
            residual = dResidual == null ? 0 : dResidual.segment().address();
            residualBf16 = dResidual != null && Rows.isBf16(dResidual.type());
            gradient1 = dOut1.segment().address();
            gradient2 = dOut2 == null ? 0 : dOut2.segment().address();
            gradientBf16 = Rows.isBf16(dOut1.type());
            x = from.segment().address();
            xBf16 = Rows.isBf16(from.type());
            mean = means.segment().address();
            rstd = rstds.segment().address();
            weight1 = w1.segment().address();
            weight2 = w2 == null ? 0 : w2.segment().address();
            weightBf16 = Rows.isBf16(w1.type());
            rows = rowCount;
            columns = columnCount;
            vectors = dOut2 == null ? 2 : 4;
            int groups = (rows + GROUP - 1) / GROUP;
            long row = 4L * Rows.padded(columns);
            scratch.ensureRows(64 + 8 * rowBytes(columns));
            scratch.ensureShared(row * groups * vectors);
            partials = scratch.shared();
            pool.run(this, groups);
            groupFold.run(pool, dWeight1, partials, groups, vectors * row, columns, accumulate);
            groupFold.run(pool, dBias1, partials + row, groups, vectors * row, columns, accumulate);
            if (dWeight2 != null && dBias2 != null) {
                groupFold.run(
                        pool, dWeight2, partials + 2 * row, groups, vectors * row, columns, accumulate);
                groupFold.run(
                        pool, dBias2, partials + 3 * row, groups, vectors * row, columns, accumulate);
            }
        }

        @Override
        void block(int block, int thread) {
            long fold = scratch.rows(thread);
            long work = fold + 64;
            long step = rowBytes(columns);
            int size = Rows.padded(columns);
            long row4 = 4L * size;
            long sums = partials + row4 * block * vectors;
            Rows.zero(sums, vectors * row4);
            long w1 = Rows.read(weight1, weightBf16, columns, work);
            long w2 = weight2 == 0 ? 0 : Rows.read(weight2, weightBf16, columns, work + step);
            int end = Math.min(rows, (block + 1) * GROUP);
            for (int row = block * GROUP; row < end; row++) {
                long at = (long) row * columns;
                long from = Rows.read(x + at * (xBf16 ? 2 : 4), xBf16, columns, work + 2 * step);
                long g1 = Rows.read(gradient1 + at * (gradientBf16 ? 2 : 4), gradientBf16, columns,
                        work + 3 * step);
                float m = Memory.f32(mean + 4L * row);
                float r = Memory.f32(rstd + 4L * row);
                long g = work + 5 * step;
                long normal = work + 6 * step;
                normalAndParameters(normal, from, m, r, g1, sums, sums + row4, size);
                if (gradient2 == 0) {
                    weigh(g, g1, w1, size);
                } else {
                    long g2 = Rows.read(gradient2 + at * (gradientBf16 ? 2 : 4), gradientBf16,
                            columns, work + 4 * step);
                    parameters(normal, g2, sums + 2 * row4, sums + 3 * row4, size);
                    weighBoth(g, g1, w1, g2, w2, size);
                }
                float s1 = sum(g, size, fold) / columns;
                float s2 = dot(g, normal, size, fold) / columns;
                inputGradient(at, g, normal, r, s1, s2, work, step);
            }
        }

        private void inputGradient(
                long at, long g, long normal, float r, float s1, float s2, long work, long step) {
            int size = Rows.padded(columns);
            long target = dx + at * (dxBf16 ? 2 : 4);
            long to = Rows.write(target, dxBf16, columns, work + 7 * step);
            if (residual == 0) {
                input(to, g, normal, r, s1, s2, size);
            } else {
                long before = Rows.read(residual + at * (residualBf16 ? 2 : 4), residualBf16,
                        columns, work + 4 * step);
                inputAdd(to, before, g, normal, r, s1, s2, size);
            }
            Rows.written(target, dxBf16, columns, work + 7 * step);
        }

        private static void normalAndParameters(long normal, long x, float mean, float rstd,
                long g, long dWeight, long dBias, int elements) {
            for (int i = 0; i < elements; i += L) {
                FloatVector n = load(x + 4L * i).sub(mean).mul(rstd);
                FloatVector gradient = load(g + 4L * i);
                store(normal + 4L * i, n);
                store(dWeight + 4L * i, load(dWeight + 4L * i).add(gradient.mul(n)));
                store(dBias + 4L * i, load(dBias + 4L * i).add(gradient));
            }
        }

        private static void parameters(
                long normal, long g, long dWeight, long dBias, int elements) {
            for (int i = 0; i < elements; i += L) {
                FloatVector gradient = load(g + 4L * i);
                store(dWeight + 4L * i,
                        load(dWeight + 4L * i).add(gradient.mul(load(normal + 4L * i))));
                store(dBias + 4L * i, load(dBias + 4L * i).add(gradient));
            }
        }

        private static void weigh(long to, long g, long weight, int elements) {
            for (int i = 0; i < elements; i += L) {
                store(to + 4L * i, load(g + 4L * i).mul(load(weight + 4L * i)));
            }
        }

        private static void weighBoth(
                long to, long g1, long weight1, long g2, long weight2, int elements) {
            for (int i = 0; i < elements; i += L) {
                store(to + 4L * i, load(g1 + 4L * i).mul(load(weight1 + 4L * i))
                        .add(load(g2 + 4L * i).mul(load(weight2 + 4L * i))));
            }
        }

        static float dot(long x, long y, int elements, long fold) {
            FloatVector low = all(0f);
            FloatVector high = all(0f);
            for (int i = 0; i < elements; i += 16) {
                low = low.add(load(x + 4L * i).mul(load(y + 4L * i)));
                if (!WIDE) {
                    high = high.add(load(x + 4L * i + VB).mul(load(y + 4L * i + VB)));
                }
            }
            return VectorMath.fold(low, high, fold);
        }

        private static void input(
                long to, long g, long normal, float rstd, float s1, float s2, int elements) {
            for (int i = 0; i < elements; i += L) {
                FloatVector inner = load(g + 4L * i).sub(s1).sub(load(normal + 4L * i).mul(s2));
                store(to + 4L * i, inner.mul(rstd));
            }
        }

        private static void inputAdd(long to, long before, long g, long normal, float rstd,
                float s1, float s2, int elements) {
            for (int i = 0; i < elements; i += L) {
                FloatVector inner = load(g + 4L * i).sub(s1).sub(load(normal + 4L * i).mul(s2));
                store(to + 4L * i, load(before + 4L * i).add(inner.mul(rstd)));
            }
        }
    }
}
