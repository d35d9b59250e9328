package castalia.kernels.cpu;

import static castalia.kernels.cpu.Memory.ALL;
import static castalia.kernels.cpu.Memory.ORDER;
import static castalia.kernels.cpu.VectorMath.F;
import static castalia.kernels.cpu.VectorMath.L;
import static jdk.incubator.vector.FloatVector.fromMemorySegment;

import castalia.kernels.Buffer;
import castalia.kernels.DType;
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
        private DType outType = DType.F32;
        private long x;
        private DType xType = DType.F32;
        private long mean;
        private long rstd;
        private long weight1;
        private long bias1;
        private long weight2;
        private long bias2;
        private DType parameterType = DType.F32;
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
            outType = Rows.numbers(to1.type());
            x = from.segment().address();
            xType = Rows.numbers(from.type());
            mean = means.segment().address();
            rstd = rstds.segment().address();
            weight1 = w1.segment().address();
            bias1 = b1.segment().address();
            weight2 = w2 == null ? 0 : w2.segment().address();
            bias2 = b2 == null ? 0 : b2.segment().address();
            parameterType = Rows.numbers(w1.type());
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
            long w1 = Rows.read(weight1, parameterType, columns, work);
            long b1 = Rows.read(bias1, parameterType, columns, work + step);
            long w2 = out2 == 0 ? 0 : Rows.read(weight2, parameterType, columns, work + 2 * step);
            long b2 = out2 == 0 ? 0 : Rows.read(bias2, parameterType, columns, work + 3 * step);
            int end = Math.min(rows, (block + 1) * ROWS_PER_BLOCK);
            for (int row = block * ROWS_PER_BLOCK; row < end; row++) {
                long at = (long) row * columns;
                long from = Rows.read(x + at * xType.bytes(), xType, columns, work + 4 * step);
                float m = sum(from, size, fold) / columns;
                float variance = squares(from, m, columns, fold) / columns;
                float r = 1f / (float) Math.sqrt(variance + epsilon);
                Memory.f32(mean + 4L * row, m);
                Memory.f32(rstd + 4L * row, r);
                apply(out1 + at * outType.bytes(), from, m, r, w1, b1, work + 5 * step);
                if (out2 != 0) {
                    apply(out2 + at * outType.bytes(), from, m, r, w2, b2, work + 5 * step);
                }
            }
        }

        private void apply(
                long target, long from, float m, float r, long weight, long bias, long work) {
            long to = Rows.write(target, outType, columns, work);
            normalize(to, from, m, r, weight, bias, Rows.padded(columns));
            Rows.written(target, outType, columns, work);
        }

        private static void normalize(
                long to, long x, float mean, float rstd, long weight, long bias, int elements) {
            for (int i = 0; i < elements; i += L) {
                FloatVector value = fromMemorySegment(F, ALL, x + 4L * i, ORDER);
                FloatVector w = fromMemorySegment(F, ALL, weight + 4L * i, ORDER);
                FloatVector b = fromMemorySegment(F, ALL, bias + 4L * i, ORDER);
                value.sub(mean).mul(rstd).fma(w, b).intoMemorySegment(ALL, to + 4L * i, ORDER);
            }
        }
    }

    /** Sum of a padded row in 16 lanes. */
    static float sum(long x, int elements, long work) {
        for (int lane = 0; lane < 16; lane += L) {
            FloatVector sum = FloatVector.zero(F);
            for (int i = lane; i < elements; i += 16) {
                sum = sum.add(fromMemorySegment(F, ALL, x + 4L * i, ORDER));
            }
            sum.intoMemorySegment(ALL, work + 4L * lane, ORDER);
        }
        return VectorMath.fold(work);
    }

    /** Sum of squared deviations of a row in 16 lanes; padding counts for nothing. */
    private static float squares(long x, float mean, int elements, long work) {
        int whole = elements & -16;
        for (int lane = 0; lane < 16; lane += L) {
            FloatVector sum = FloatVector.zero(F);
            for (int i = lane; i < whole; i += 16) {
                FloatVector d = fromMemorySegment(F, ALL, x + 4L * i, ORDER).sub(mean);
                sum = sum.add(d.mul(d));
            }
            sum.intoMemorySegment(ALL, work + 4L * lane, ORDER);
        }
        for (int i = whole; i < elements; i++) {
            float d = Memory.f32(x + 4L * i) - mean;
            long lane = work + 4L * (i - whole);
            Memory.f32(lane, Memory.f32(lane) + d * d);
        }
        return VectorMath.fold(work);
    }

    static final class Backward extends WorkerPool.Task {
        private static final int GROUP = Kernels.ROW_GROUP;

        private final Scratch scratch;
        private final GroupFold groupFold;
        private long dx;
        private DType dxType = DType.F32;
        private long residual;
        private DType residualType = DType.F32;
        private long gradient1;
        private long gradient2;
        private DType gradientType = DType.F32;
        private long x;
        private DType xType = DType.F32;
        private long mean;
        private long rstd;
        private long weight1;
        private long weight2;
        private DType weightType = DType.F32;
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
            dxType = Rows.numbers(to.type());
            residual = dResidual == null ? 0 : dResidual.segment().address();
            residualType = dResidual == null ? DType.F32 : Rows.numbers(dResidual.type());
            gradient1 = dOut1.segment().address();
            gradient2 = dOut2 == null ? 0 : dOut2.segment().address();
            gradientType = Rows.numbers(dOut1.type());
            x = from.segment().address();
            xType = Rows.numbers(from.type());
            mean = means.segment().address();
            rstd = rstds.segment().address();
            weight1 = w1.segment().address();
            weight2 = w2 == null ? 0 : w2.segment().address();
            weightType = Rows.numbers(w1.type());
            rows = rowCount;
            columns = columnCount;
            vectors = dOut2 == null ? 2 : 4;
            int groups = (rows + GROUP - 1) / GROUP;
            long row = 4L * Rows.padded(columns);
            scratch.ensureRows(64 + 8 * rowBytes(columns));
            scratch.ensureShared(row * groups * vectors);
            partials = scratch.shared();
            pool.run(this, groups);
            long stride = vectors * row;
            groupFold.run(pool, dWeight1, partials, groups, stride, columns, accumulate);
            groupFold.run(pool, dBias1, partials + row, groups, stride, columns, accumulate);
            if (dWeight2 != null && dBias2 != null) {
                groupFold.run(
                        pool, dWeight2, partials + 2 * row, groups, stride, columns, accumulate);
                groupFold.run(
                        pool, dBias2, partials + 3 * row, groups, stride, columns, accumulate);
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
            long w1 = Rows.read(weight1, weightType, columns, work);
            long w2 = weight2 == 0 ? 0 : Rows.read(weight2, weightType, columns, work + step);
            int end = Math.min(rows, (block + 1) * GROUP);
            for (int row = block * GROUP; row < end; row++) {
                long at = (long) row * columns;
                long from = Rows.read(x + at * xType.bytes(), xType, columns, work + 2 * step);
                long g1 = Rows.read(gradient1 + at * gradientType.bytes(), gradientType, columns,
                        work + 3 * step);
                float m = Memory.f32(mean + 4L * row);
                float r = Memory.f32(rstd + 4L * row);
                long g = work + 5 * step;
                long normal = work + 6 * step;
                normalAndParameters(normal, from, m, r, g1, sums, sums + row4, size);
                if (gradient2 == 0) {
                    weigh(g, g1, w1, size);
                } else {
                    long g2 = Rows.read(gradient2 + at * gradientType.bytes(), gradientType,
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
            long target = dx + at * dxType.bytes();
            long to = Rows.write(target, dxType, columns, work + 7 * step);
            if (residual == 0) {
                input(to, g, normal, r, s1, s2, size);
            } else {
                long before = Rows.read(residual + at * residualType.bytes(), residualType,
                        columns, work + 4 * step);
                inputAdd(to, before, g, normal, r, s1, s2, size);
            }
            Rows.written(target, dxType, columns, work + 7 * step);
        }

        private static void normalAndParameters(long normal, long x, float mean, float rstd,
                long g, long dWeight, long dBias, int elements) {
            for (int i = 0; i < elements; i += L) {
                FloatVector n = fromMemorySegment(F, ALL, x + 4L * i, ORDER).sub(mean).mul(rstd);
                FloatVector gradient = fromMemorySegment(F, ALL, g + 4L * i, ORDER);
                FloatVector w = fromMemorySegment(F, ALL, dWeight + 4L * i, ORDER);
                FloatVector b = fromMemorySegment(F, ALL, dBias + 4L * i, ORDER);
                n.intoMemorySegment(ALL, normal + 4L * i, ORDER);
                w.add(gradient.mul(n)).intoMemorySegment(ALL, dWeight + 4L * i, ORDER);
                b.add(gradient).intoMemorySegment(ALL, dBias + 4L * i, ORDER);
            }
        }

        private static void parameters(
                long normal, long g, long dWeight, long dBias, int elements) {
            for (int i = 0; i < elements; i += L) {
                FloatVector gradient = fromMemorySegment(F, ALL, g + 4L * i, ORDER);
                FloatVector n = fromMemorySegment(F, ALL, normal + 4L * i, ORDER);
                FloatVector w = fromMemorySegment(F, ALL, dWeight + 4L * i, ORDER);
                FloatVector b = fromMemorySegment(F, ALL, dBias + 4L * i, ORDER);
                w.add(gradient.mul(n)).intoMemorySegment(ALL, dWeight + 4L * i, ORDER);
                b.add(gradient).intoMemorySegment(ALL, dBias + 4L * i, ORDER);
            }
        }

        private static void weigh(long to, long g, long weight, int elements) {
            for (int i = 0; i < elements; i += L) {
                FloatVector gradient = fromMemorySegment(F, ALL, g + 4L * i, ORDER);
                FloatVector w = fromMemorySegment(F, ALL, weight + 4L * i, ORDER);
                gradient.mul(w).intoMemorySegment(ALL, to + 4L * i, ORDER);
            }
        }

        private static void weighBoth(
                long to, long g1, long weight1, long g2, long weight2, int elements) {
            for (int i = 0; i < elements; i += L) {
                FloatVector a = fromMemorySegment(F, ALL, g1 + 4L * i, ORDER);
                FloatVector w = fromMemorySegment(F, ALL, weight1 + 4L * i, ORDER);
                FloatVector b = fromMemorySegment(F, ALL, g2 + 4L * i, ORDER);
                FloatVector v = fromMemorySegment(F, ALL, weight2 + 4L * i, ORDER);
                a.mul(w).add(b.mul(v)).intoMemorySegment(ALL, to + 4L * i, ORDER);
            }
        }

        static float dot(long x, long y, int elements, long work) {
            for (int lane = 0; lane < 16; lane += L) {
                FloatVector sum = FloatVector.zero(F);
                for (int i = lane; i < elements; i += 16) {
                    FloatVector a = fromMemorySegment(F, ALL, x + 4L * i, ORDER);
                    FloatVector b = fromMemorySegment(F, ALL, y + 4L * i, ORDER);
                    sum = sum.add(a.mul(b));
                }
                sum.intoMemorySegment(ALL, work + 4L * lane, ORDER);
            }
            return VectorMath.fold(work);
        }

        private static void input(
                long to, long g, long normal, float rstd, float s1, float s2, int elements) {
            for (int i = 0; i < elements; i += L) {
                FloatVector gradient = fromMemorySegment(F, ALL, g + 4L * i, ORDER);
                FloatVector n = fromMemorySegment(F, ALL, normal + 4L * i, ORDER);
                FloatVector inner = gradient.sub(s1).sub(n.mul(s2));
                inner.mul(rstd).intoMemorySegment(ALL, to + 4L * i, ORDER);
            }
        }

        private static void inputAdd(long to, long before, long g, long normal, float rstd,
                float s1, float s2, int elements) {
            for (int i = 0; i < elements; i += L) {
                FloatVector gradient = fromMemorySegment(F, ALL, g + 4L * i, ORDER);
                FloatVector n = fromMemorySegment(F, ALL, normal + 4L * i, ORDER);
                FloatVector inner = gradient.sub(s1).sub(n.mul(s2));
                FloatVector old = fromMemorySegment(F, ALL, before + 4L * i, ORDER);
                old.add(inner.mul(rstd)).intoMemorySegment(ALL, to + 4L * i, ORDER);
            }
        }
    }
}
