package castalia.kernels.cpu;

import static castalia.kernels.cpu.Memory.ALL;
import static castalia.kernels.cpu.Memory.ORDER;
import static castalia.kernels.cpu.VectorMath.F;
import static castalia.kernels.cpu.VectorMath.J;
import static castalia.kernels.cpu.VectorMath.L;
import static jdk.incubator.vector.FloatVector.broadcast;
import static jdk.incubator.vector.FloatVector.fromMemorySegment;

import castalia.kernels.AdamW;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.DigestSum;
import castalia.kernels.InverseNormal;
import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.LongVector;
import jdk.incubator.vector.VectorOperators;

/** The update with its digest, the digest alone, the sum of squares, and initial values. */
final class Optimizer {

    private static final long T_FACTOR = 0x9E3779B97F4A7C15L;
    private static final long S_FACTOR = 0xBF58476D1CE4E5B9L;
    private static final long WEIGHT_FACTOR = 0x9E3779B97F4A7C15L;
    private static final long FIRST_FACTOR = 0xC2B2AE3D27D4EB4FL;
    private static final long SECOND_FACTOR = 0x165667B19E3779F9L;

    private Optimizer() {}

    /** Sums of a digest, one pair per thread, a cache line apart; addition commutes. */
    abstract static class Digesting extends WorkerPool.Task {
        private static final int LINE = 8;
        private final long[] sums;

        Digesting(int threads) {
            sums = new long[threads * LINE];
        }

        final void clear() {
            Arrays.fill(sums, 0);
        }

        final void add(int thread, long a, long b) {
            sums[thread * LINE] += a;
            sums[thread * LINE + 1] += b;
        }

        final void into(DigestSum digest) {
            for (int i = 0; i < sums.length; i += LINE) {
                digest.a += sums[i];
                digest.b += sums[i + 1];
            }
        }

        /** Adds the digest of {@code count} elements at an even flat position. */
        final void digest(
                int thread, long weight, long first, long second, long position, int count) {
            int whole = count & -L;
            LongVector a = LongVector.zero(J);
            LongVector b = LongVector.zero(J);
            LongVector t = LongVector.zero(J).addIndex(1).add(position / 2 + 1)
                    .mul(T_FACTOR);
            LongVector s = t.mul(S_FACTOR);
            long step = T_FACTOR * (L / 2);
            for (int i = 0; i < whole; i += L) {
                LongVector x = LongVector.fromMemorySegment(J, ALL, weight + 4L * i, ORDER);
                LongVector y = LongVector.fromMemorySegment(J, ALL, first + 4L * i, ORDER);
                LongVector z = LongVector.fromMemorySegment(J, ALL, second + 4L * i, ORDER);
                LongVector u = x.mul(WEIGHT_FACTOR).add(y.mul(FIRST_FACTOR))
                        .add(z.mul(SECOND_FACTOR));
                LongVector key1 = t.lanewise(VectorOperators.XOR,
                        t.lanewise(VectorOperators.LSHR, 29)).lanewise(VectorOperators.OR, 1L);
                LongVector key2 = s.lanewise(VectorOperators.XOR,
                        s.lanewise(VectorOperators.LSHR, 32)).lanewise(VectorOperators.OR, 1L);
                LongVector mixed = u.lanewise(VectorOperators.XOR,
                        u.lanewise(VectorOperators.LSHR, 32));
                a = a.add(u.mul(key1));
                b = b.add(mixed.mul(key2));
                t = t.add(step);
                s = s.add(step * S_FACTOR);
            }
            long sumA = a.reduceLanes(VectorOperators.ADD);
            long sumB = b.reduceLanes(VectorOperators.ADD);
            for (int i = whole; i < count; i += 2) {
                boolean both = i + 1 < count;
                long u = word(weight + 4L * i, both) * WEIGHT_FACTOR
                        + word(first + 4L * i, both) * FIRST_FACTOR
                        + word(second + 4L * i, both) * SECOND_FACTOR;
                long tail = ((position + i) / 2 + 1) * T_FACTOR;
                long tailS = tail * S_FACTOR;
                sumA += u * ((tail ^ (tail >>> 29)) | 1);
                sumB += (u ^ (u >>> 32)) * ((tailS ^ (tailS >>> 32)) | 1);
            }
            add(thread, sumA, sumB);
        }

        private static long word(long address, boolean both) {
            return both ? Memory.i64(address) : Memory.i32(address) & 0xffffffffL;
        }
    }

    static final class Digest extends Digesting {
        private static final int BLOCK = 1 << 16;
        private long weight;
        private long first;
        private long second;
        private long position;
        private long count;

        Digest(int threads) {
            super(threads);
        }

        void run(WorkerPool pool, Buffer w, Buffer m, Buffer v, long at, long elements,
                DigestSum digest) {
            weight = w.segment().address();
            first = m.segment().address();
            second = v.segment().address();
            position = at;
            count = elements;
            clear();
            pool.run(this, Math.toIntExact((elements + BLOCK - 1) / BLOCK));
            into(digest);
        }

        @Override
        void block(int block, int thread) {
            long from = (long) block * BLOCK;
            digest(thread, weight + 4 * from, first + 4 * from, second + 4 * from, position + from,
                    (int) Math.min(BLOCK, count - from));
        }
    }

    static final class Update extends Digesting {
        /** Elements updated before they are digested: they are still in the first-level cache. */
        private static final int PIECE = 1024;

        private static final int BLOCK = 1 << 14;

        private long weight;
        private long first;
        private long second;
        private long compute;
        private DType computeType = DType.F32;
        private long gradient;
        private long position;
        private long count;
        private float factor;
        private float negativeRate;
        private float beta1;
        private float rest1;
        private float beta2;
        private float rest2;
        private float epsilon;
        private float decay;
        private float correction1;
        private float correction2;

        Update(int threads) {
            super(threads);
        }

        void run(WorkerPool pool, Buffer w, Buffer m, Buffer v, Buffer rounded, Buffer g,
                AdamW scalars, long at, long elements, DigestSum digest) {
            weight = w.segment().address();
            first = m.segment().address();
            second = v.segment().address();
            compute = rounded.segment().address();
            computeType = Rows.numbers(rounded.type());
            gradient = g.segment().address();
            position = at;
            count = elements;
            factor = scalars.gradientFactor();
            negativeRate = -scalars.learningRate();
            beta1 = scalars.beta1();
            rest1 = 1f - beta1;
            beta2 = scalars.beta2();
            rest2 = 1f - beta2;
            epsilon = scalars.epsilon();
            decay = scalars.weightDecay();
            correction1 = scalars.inverseCorrection1();
            correction2 = scalars.inverseCorrection2();
            clear();
            pool.run(this, Math.toIntExact((elements + BLOCK - 1) / BLOCK));
            into(digest);
        }

        @Override
        void block(int block, int thread) {
            long end = Math.min(count, (block + 1L) * BLOCK);
            for (long at = (long) block * BLOCK; at < end; at += PIECE) {
                int n = (int) Math.min(PIECE, end - at);
                int whole = n & -L;
                long w = weight + 4 * at;
                moments(first + 4 * at, second + 4 * at, gradient + 4 * at, whole);
                weights(w, first + 4 * at, second + 4 * at, whole);
                for (int i = whole; i < n; i++) {
                    element(at + i);
                }
                digest(thread, w, first + 4 * at, second + 4 * at, position + at, n);
                if (compute != weight) {
                    Rows.round(computeType, compute + at * computeType.bytes(), w, n);
                }
            }
        }

        private void moments(long m, long v, long g, int elements) {
            FloatVector scale = broadcast(F, factor);
            FloatVector b1 = broadcast(F, beta1);
            FloatVector b2 = broadcast(F, beta2);
            FloatVector r1 = broadcast(F, rest1);
            FloatVector r2 = broadcast(F, rest2);
            for (int i = 0; i < elements; i += L) {
                FloatVector x = fromMemorySegment(F, ALL, g + 4L * i, ORDER).mul(scale);
                FloatVector first = fromMemorySegment(F, ALL, m + 4L * i, ORDER);
                FloatVector second = fromMemorySegment(F, ALL, v + 4L * i, ORDER);
                b1.fma(first, r1.mul(x)).intoMemorySegment(ALL, m + 4L * i, ORDER);
                b2.fma(second, r2.mul(x).mul(x)).intoMemorySegment(ALL, v + 4L * i, ORDER);
            }
        }

        private void weights(long w, long m, long v, int elements) {
            FloatVector c1 = broadcast(F, correction1);
            FloatVector c2 = broadcast(F, correction2);
            FloatVector eps = broadcast(F, epsilon);
            FloatVector lambda = broadcast(F, decay);
            FloatVector rate = broadcast(F, negativeRate);
            for (int i = 0; i < elements; i += L) {
                FloatVector x = fromMemorySegment(F, ALL, w + 4L * i, ORDER);
                FloatVector u = fromMemorySegment(F, ALL, m + 4L * i, ORDER).mul(c1)
                        .div(fromMemorySegment(F, ALL, v + 4L * i, ORDER).mul(c2).sqrt().add(eps));
                rate.fma(lambda.fma(x, u), x).intoMemorySegment(ALL, w + 4L * i, ORDER);
            }
        }

        /** The same update of one element, the same bits. */
        private void element(long at) {
            float g = Memory.f32(gradient + 4 * at) * factor;
            float m = Math.fma(beta1, Memory.f32(first + 4 * at), rest1 * g);
            float v = Math.fma(beta2, Memory.f32(second + 4 * at), rest2 * g * g);
            Memory.f32(first + 4 * at, m);
            Memory.f32(second + 4 * at, v);
            float w = Memory.f32(weight + 4 * at);
            float u = (m * correction1) / ((float) Math.sqrt(v * correction2) + epsilon);
            Memory.f32(weight + 4 * at, Math.fma(negativeRate, Math.fma(decay, w, u), w));
        }
    }

    /** Squares in fp64 over 16 lanes; a buffer's sum has one order, so one thread computes it. */
    static final class Squares extends WorkerPool.Task {
        private final double[][] lanes;
        private double[] sums = new double[0];
        private Buffer[] buffers = new Buffer[0];

        Squares(int threads) {
            lanes = new double[threads][16];
        }

        void run(WorkerPool pool, double[] to, Buffer[] x) {
            sums = to;
            buffers = x;
            pool.run(this, x.length);
        }

        @Override
        void block(int block, int thread) {
            Buffer x = buffers[block];
            sums[block] = sum(x.segment().address(), x.elements(), lanes[thread]);
        }

        private static double sum(long from, long count, double[] lanes) {
            long whole = count & -16L;
            DoubleLanes.squares(from, whole, lanes);
            for (long i = whole; i < count; i++) {
                double value = Memory.f32(from + 4 * i);
                lanes[(int) (i - whole)] += value * value;
            }
            for (int width = 1; width < 16; width *= 2) {
                for (int i = 0; i < 16; i += 2 * width) {
                    lanes[i] += lanes[i + width];
                }
            }
            return lanes[0];
        }
    }

    /** Initial weights: element by element from (seed, tensor, index), rows in parallel. */
    static final class Normal extends WorkerPool.Task {
        private long out;
        private DType type = DType.F32;
        private double std;
        private long stream;
        private int firstRow;
        private int firstColumn;
        private int tensorColumns;
        private int columns;

        void run(WorkerPool pool, Buffer to, double deviation, long seed, int tensor, int row0,
                int column0, int width, int rowCount, int columnCount) {
            out = to.segment().address();
            type = Rows.numbers(to.type());
            std = deviation;
            stream = InverseNormal.stream(seed, tensor);
            firstRow = row0;
            firstColumn = column0;
            tensorColumns = width;
            columns = columnCount;
            pool.run(this, rowCount);
        }

        @Override
        void block(int row, int thread) {
            long index = (long) (firstRow + row) * tensorColumns + firstColumn;
            long at = (long) row * columns;
            for (int column = 0; column < columns; column++) {
                float value = (float) (std * InverseNormal.value(stream, index + column));
                Memory.number(type, out + (at + column) * type.bytes(), value);
            }
        }
    }
}
