package castalia.kernels.cpu;

import static castalia.kernels.cpu.Memory.ALL;
import static castalia.kernels.cpu.Memory.ORDER;
import static castalia.kernels.cpu.VectorMath.EXP_2;
import static castalia.kernels.cpu.VectorMath.EXP_3;
import static castalia.kernels.cpu.VectorMath.EXP_4;
import static castalia.kernels.cpu.VectorMath.EXP_5;
import static castalia.kernels.cpu.VectorMath.EXP_6;
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

import castalia.kernels.Buffer;
import castalia.kernels.DType;
import java.lang.foreign.ValueLayout;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;

/** Softmax cross-entropy over vocabulary slices: statistics, their join, the gradient. */
final class CrossEntropy {

    /** Elements of a block: rows are put together up to this. */
    private static final int BLOCK = 1 << 15;

    /** The same where a row's maximum is found beforehand, which a block's first row cannot have. */
    private static final int RUN = 1 << 18;

    private CrossEntropy() {}

    private static int rowsPerBlock(int vocabulary) {
        return Math.max(1, BLOCK / vocabulary);
    }

    private static int blocks(int rows, int vocabulary) {
        int each = rowsPerBlock(vocabulary);
        return (rows + each - 1) / each;
    }

    static final class Partial extends WorkerPool.Task {
        private final Scratch scratch;
        private long logits;
        private long max;
        private long sum;
        private long target;
        private long labels;
        private int first;
        private int rows;
        private int vocabulary;

        /** Rows of a block. */
        private int each;

        Partial(Scratch scratch) {
            this.scratch = scratch;
        }

        void run(WorkerPool pool, Buffer values, Buffer maxima, Buffer sums, Buffer targets,
                Buffer classes, int firstClass, int rowCount, int size) {
            logits = values.segment().address();
            max = maxima.segment().address();
            sum = sums.segment().address();
            target = targets.segment().address();
            labels = classes.segment().address();
            first = firstClass;
            rows = rowCount;
            vocabulary = size;
            each = Math.clamp(rowCount / (4L * pool.threads()), 1, Math.max(1, RUN / size));
            scratch.ensureRows(128);
            pool.run(this, (rowCount + each - 1) / each);
        }

        /** The maximum of a row is found while the exponentials of the row before it are computed. */
        @Override
        void block(int block, int thread) {
            int end = Math.min(rows, (block + 1) * each);
            int whole = vocabulary & -16;
            long work = scratch.rows(thread);
            float ahead = 0f;
            for (int row = block * each; row < end; row++) {
                long at = logits + 4L * row * vocabulary;
                long label = (long) Memory.i32(labels + 4L * row) - first;
                if (label >= 0 && label < vocabulary) {
                    Memory.f32(target + 4L * row, Memory.f32(at + 4 * label));
                }
                if (row == block * each) {
                    ahead = largestOfWhole(at, whole);
                }
                float largest = ahead;
                for (int i = whole; i < vocabulary; i++) {
                    largest = Math.max(largest, Memory.f32(at + 4L * i));
                }
                if (row + 1 < end && whole > 0) {
                    ahead = exponentialsAhead(at, largest, whole, work, at + 4L * vocabulary);
                } else {
                    VectorMath.exponentials(at, largest, 1f, whole, work);
                }
                Memory.f32(max + 4L * row, largest);
                Memory.f32(sum + 4L * row, rest(at, largest, vocabulary, work));
            }
        }
    }

    /** The largest of a row of whole groups; NaN if an element is not finite. */
    private static float largestOfWhole(long x, int elements) {
        return elements > 0 ? largestFinite(x, elements) : Float.NEGATIVE_INFINITY;
    }

    /**
     * The largest of all elements, or NaN. A NaN fails every comparison, so what is not finite is
     * looked for by itself: 0 times it is NaN. Two chains of each hide the latency.
     */
    private static float largestFinite(long x, int elements) {
        FloatVector a = fromMemorySegment(F, ALL, x, ORDER);
        FloatVector b = a;
        FloatVector badA = FloatVector.zero(F);
        FloatVector badB = badA;
        int whole = elements / (2 * L) * (2 * L);
        for (int i = 0; i < whole; i += 2 * L) {
            FloatVector v = fromMemorySegment(F, ALL, x + 4L * i, ORDER);
            a = a.blend(v, v.compare(VectorOperators.GT, a));
            badA = v.fma(FloatVector.zero(F), badA);
            v = fromMemorySegment(F, ALL, x + 4L * i + VectorMath.VB, ORDER);
            b = b.blend(v, v.compare(VectorOperators.GT, b));
            badB = v.fma(FloatVector.zero(F), badB);
        }
        for (int i = whole; i < elements; i += L) {
            FloatVector v = fromMemorySegment(F, ALL, x + 4L * i, ORDER);
            a = a.blend(v, v.compare(VectorOperators.GT, a));
            badA = v.fma(FloatVector.zero(F), badA);
        }
        a = a.blend(b, b.compare(VectorOperators.GT, a));
        FloatVector bad = badA.add(badB);
        IntVector bits = a.blend(Float.NaN, bad.compare(VectorOperators.NE, bad))
                .reinterpretAsInts();
        return VectorMath.fromOrdered(bits.lanewise(VectorOperators.XOR,
                        bits.lanewise(VectorOperators.ASHR, 31).and(Integer.MAX_VALUE))
                .reduceLanes(VectorOperators.MAX));
    }

    /**
     * Does what {@link VectorMath#exponentials} does and returns the largest of another row, as
     * {@link #largestFinite} would: one waits for memory and the other computes.
     */
    private static float exponentialsAhead(long x, float max, int elements, long lanes, long next) {
        FloatVector a = fromMemorySegment(F, ALL, next, ORDER);
        FloatVector bad = FloatVector.zero(F);
        for (int lane = 0; lane < 16; lane += L) {
            FloatVector sum = FloatVector.zero(F);
            for (int i = lane; i < elements; i += 16) {
                FloatVector y = fromMemorySegment(F, ALL, next + 4L * i, ORDER);
                FloatVector v = fromMemorySegment(F, ALL, x + 4L * i, ORDER).sub(max);
                a = a.blend(y, y.compare(VectorOperators.GT, a));
                bad = y.fma(FloatVector.zero(F), bad);
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
                FloatVector e = p.mul(power)
                        .blend(0f, v.compare(VectorOperators.LT, EXP_MIN));
                e.intoMemorySegment(ALL, x + 4L * i, ORDER);
                sum = sum.add(e);
            }
            sum.intoMemorySegment(ALL, lanes + 4L * lane, ORDER);
        }
        IntVector bits = a.blend(Float.NaN, bad.compare(VectorOperators.NE, bad))
                .reinterpretAsInts();
        return VectorMath.fromOrdered(bits.lanewise(VectorOperators.XOR,
                        bits.lanewise(VectorOperators.ASHR, 31).and(Integer.MAX_VALUE))
                .reduceLanes(VectorOperators.MAX));
    }

    /** Ends a row whose whole groups are done: its last elements, and the sum over 16 lanes. */
    private static float rest(long x, float max, int elements, long work) {
        int whole = elements & -16;
        for (int i = whole; i < elements; i++) {
            float e = VectorMath.exp(Memory.f32(x + 4L * i) - max);
            Memory.f32(x + 4L * i, e);
            long lane = work + 4L * (i - whole);
            Memory.f32(lane, Memory.f32(lane) + e);
        }
        return VectorMath.fold(work);
    }

    /** Joins the statistics of T slices by the canonical tree; on the calling thread. */
    static final class Join {
        private long[] factors = new long[1];
        private long[] maxima = new long[1];
        private long[] sums = new long[1];

        void run(Buffer to, Buffer[] factor, Buffer[] max, Buffer[] sum, Buffer target,
                int rows) {
            int slices = factor.length;
            if (slices > factors.length) {
                factors = new long[slices];
                maxima = new long[slices];
                sums = new long[slices];
            }
            for (int s = 0; s < slices; s++) {
                factors[s] = factor[s].segment().address();
                maxima[s] = max[s].segment().address();
                sums[s] = sum[s].segment().address();
            }
            long targets = target.segment().address();
            double loss = 0;
            for (int row = 0; row < rows; row++) {
                float largest = Memory.f32(maxima[0] + 4L * row);
                for (int s = 1; s < slices; s++) {
                    largest = Math.max(largest, Memory.f32(maxima[s] + 4L * row));
                }
                for (int s = 0; s < slices; s++) {
                    Memory.f32(factors[s] + 4L * row,
                            VectorMath.exp(Memory.f32(maxima[s] + 4L * row) - largest));
                }
                float total = tree(row, 0, slices);
                for (int s = 0; s < slices; s++) {
                    Memory.f32(factors[s] + 4L * row, Memory.f32(factors[s] + 4L * row) / total);
                }
                loss += StrictMath.log(total) + largest - Memory.f32(targets + 4L * row);
            }
            to.segment().set(ValueLayout.JAVA_DOUBLE, 0, loss);
        }

        private float tree(int row, int first, int leaves) {
            if (leaves == 1) {
                return Memory.f32(sums[first] + 4L * row) * Memory.f32(factors[first] + 4L * row);
            }
            int left = Integer.highestOneBit(leaves - 1);
            return tree(row, first, left) + tree(row, first + left, leaves - left);
        }
    }

    static final class Gradient extends WorkerPool.Task {
        private static final int PIECE = Elementwise.PIECE;

        private final Scratch scratch;
        private long out;
        private DType outType = DType.F32;
        private long exponentials;
        private long factors;
        private long labels;
        private float scale;
        private int first;
        private int rows;
        private int vocabulary;

        Gradient(Scratch scratch) {
            this.scratch = scratch;
        }

        void run(WorkerPool pool, Buffer to, Buffer values, Buffer factor, Buffer classes,
                float scaling, int firstClass, int rowCount, int size) {
            out = to.segment().address();
            outType = Rows.numbers(to.type());
            exponentials = values.segment().address();
            factors = factor.segment().address();
            labels = classes.segment().address();
            scale = scaling;
            first = firstClass;
            rows = rowCount;
            vocabulary = size;
            scratch.ensureRows(2 * Elementwise.PIECE_BYTES);
            pool.run(this, blocks(rows, size));
        }

        @Override
        void block(int block, int thread) {
            int each = rowsPerBlock(vocabulary);
            int end = Math.min(rows, (block + 1) * each);
            int bytes = outType.bytes();
            long work = scratch.rows(thread);
            for (int row = block * each; row < end; row++) {
                long from = exponentials + 4L * row * vocabulary;
                long to = out + (long) bytes * row * vocabulary;
                float factor = Memory.f32(factors + 4L * row);
                long label = (long) Memory.i32(labels + 4L * row) - first;
                boolean here = label >= 0 && label < vocabulary;
                float atLabel = here ? (Memory.f32(from + 4 * label) * factor - 1f) * scale : 0f;
                for (int at = 0; at < vocabulary; at += PIECE) {
                    piece(to + (long) bytes * at, from + 4L * at, factor,
                            Math.min(PIECE, vocabulary - at), work);
                }
                if (here) {
                    Memory.number(outType, to + bytes * label, atLabel);
                }
            }
        }

        private void piece(long to, long from, float factor, int elements, long work) {
            if (outType == DType.BF16) {
                int whole = elements & -16;
                toBf16(to, from, factor, scale, whole);
                for (int i = whole; i < elements; i++) {
                    Memory.bf16(to + 2L * i, Memory.f32(from + 4L * i) * factor * scale);
                }
                return;
            }
            long x = Rows.read(from, DType.F32, elements, work);
            long y = Rows.write(to, outType, elements, work + Elementwise.PIECE_BYTES);
            toF32(y, x, factor, scale, Rows.padded(elements));
            Rows.written(to, outType, elements, work + Elementwise.PIECE_BYTES);
        }

        private static void toF32(long to, long from, float factor, float scale, int elements) {
            for (int i = 0; i < elements; i += L) {
                fromMemorySegment(F, ALL, from + 4L * i, ORDER).mul(factor).mul(scale)
                        .intoMemorySegment(ALL, to + 4L * i, ORDER);
            }
        }

        private static void toBf16(long to, long from, float factor, float scale, int elements) {
            for (int i = 0; i < elements; i += L) {
                IntVector bits = fromMemorySegment(F, ALL, from + 4L * i, ORDER).mul(factor)
                        .mul(scale).reinterpretAsInts();
                IntVector upper = bits.lanewise(VectorOperators.LSHR, 16);
                IntVector rounded = bits.add(upper.and(1)).add(0x7fff)
                        .lanewise(VectorOperators.LSHR, 16)
                        .blend(upper.or(0x40),
                                bits.and(0x7fffffff).compare(VectorOperators.GT, 0x7f800000));
                ((ShortVector) rounded.convertShape(VectorOperators.I2S, VectorMath.S, 0))
                        .intoMemorySegment(ALL, to + 2L * i, ORDER);
            }
        }
    }
}
