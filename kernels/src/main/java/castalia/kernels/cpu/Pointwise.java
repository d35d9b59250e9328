package castalia.kernels.cpu;

import static castalia.kernels.cpu.Memory.ALL;
import static castalia.kernels.cpu.Memory.ORDER;
import static castalia.kernels.cpu.VectorMath.F;
import static castalia.kernels.cpu.VectorMath.L;
import static jdk.incubator.vector.FloatVector.fromMemorySegment;

import castalia.kernels.Buffer;
import castalia.kernels.DType;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.LongVector;
import org.jspecify.annotations.Nullable;

/** Sums, copies, fills and the residual addition. */
final class Pointwise {

    private Pointwise() {}

    static final class Add extends Elementwise {
        Add(Scratch scratch) {
            super(scratch);
        }

        @Override
        void piece(long to, long x, long y, long work, int elements) {
            addRows(to, x, y, elements);
        }
    }

    static final class Cast extends Elementwise {
        Cast(Scratch scratch) {
            super(scratch);
        }

        @Override
        void piece(long to, long x, long y, long work, int elements) {
            if (to != x) {
                Rows.copy(to, x, elements);
            }
        }
    }

    /** Fills bytes with a repeated pattern of 8 bytes. */
    static final class Fill extends WorkerPool.Task {
        private static final long BLOCK_BYTES = 1L << 18;
        private long to;
        private long bytes;
        private long pattern;

        void run(WorkerPool pool, Buffer buffer, float value, long count) {
            to = buffer.segment().address();
            bytes = count * buffer.type().bytes();
            if (Rows.numbers(buffer.type()) != DType.F32) {
                long bits = buffer.type() == DType.BF16
                        ? bf16Bits(value)
                        : Memory.f16Bits(value) & 0xffffL;
                pattern = bits | bits << 16 | bits << 32 | bits << 48;
            } else {
                long bits = Float.floatToRawIntBits(value) & 0xffffffffL;
                pattern = bits | bits << 32;
            }
            pool.run(this, Math.toIntExact((bytes + BLOCK_BYTES - 1) / BLOCK_BYTES));
        }

        private static long bf16Bits(float value) {
            int bits = Float.floatToRawIntBits(value);
            int rounded = Float.isNaN(value)
                    ? (bits >>> 16) | 0x40
                    : (bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16;
            return rounded & 0xffffL;
        }

        @Override
        void block(int block, int thread) {
            long from = block * BLOCK_BYTES;
            fill(to + from, Math.min(BLOCK_BYTES, bytes - from), pattern);
        }

        private static void fill(long to, long bytes, long pattern) {
            FloatVector values = LongVector.broadcast(VectorMath.J, pattern)
                    .reinterpretAsFloats();
            long at = 0;
            for (; at + VectorMath.VB <= bytes; at += VectorMath.VB) {
                values.intoMemorySegment(ALL, to + at, ORDER);
            }
            for (; at + 2 <= bytes; at += 2) {
                Memory.i16(to + at, (short) (pattern >>> ((at & 7) * 8)));
            }
        }
    }

    /** Sums T partial matrices by the canonical tree; the residual addition adds x and biases. */
    static final class Residual extends WorkerPool.Task {
        private static final int MAX_PARTIALS = 1024;
        private static final int FEW = 4;
        private static final int PIECE = Elementwise.PIECE;
        private static final long PIECE_BYTES = Elementwise.PIECE_BYTES;

        /** Working rows: x or bias, result, then two for each level of the tree. */
        private static final int ROWS = 4 + 2 * 12;

        private final Scratch scratch;
        private long[] partials = new long[1];
        private int count;
        private long out;
        private DType outType = DType.F32;
        private long x;
        private DType xType = DType.F32;
        private long bias1;
        private long bias2;
        private DType biasType = DType.F32;
        private float copies;
        private int columns;
        private long rowsOrElements;
        private boolean residual;
        private long rowsPerBlock;

        Residual(Scratch scratch) {
            this.scratch = scratch;
        }

        void residual(WorkerPool pool, Buffer to, Buffer from, Buffer[] parts, Buffer first,
                @Nullable Buffer second, int biasCopies, int rows, int width) {
            residual = true;
            partials(parts);
            out = to.segment().address();
            outType = Rows.numbers(to.type());
            x = from.segment().address();
            xType = Rows.numbers(from.type());
            bias1 = first.segment().address();
            bias2 = second == null ? 0 : second.segment().address();
            biasType = Rows.numbers(first.type());
            copies = biasCopies;
            columns = width;
            rowsOrElements = rows;
            rowsPerBlock = Math.max(1, Elementwise.BLOCK / width);
            pool.run(this, Math.toIntExact((rows + rowsPerBlock - 1) / rowsPerBlock));
        }

        void sum(WorkerPool pool, Buffer to, Buffer[] parts, long elements) {
            residual = false;
            partials(parts);
            out = to.segment().address();
            outType = Rows.numbers(to.type());
            rowsOrElements = elements;
            pool.run(this, Elementwise.blocks(elements));
        }

        private void partials(Buffer[] parts) {
            if (parts.length < 1 || parts.length > MAX_PARTIALS) {
                throw new IllegalArgumentException(
                        "a sum of " + parts.length + " partials; 1 to " + MAX_PARTIALS);
            }
            if (parts.length > partials.length) {
                partials = new long[parts.length];
            }
            count = parts.length;
            for (int i = 0; i < count; i++) {
                partials[i] = parts[i].segment().address();
            }
            scratch.ensureRows(ROWS * PIECE_BYTES);
        }

        @Override
        void block(int block, int thread) {
            long work = scratch.rows(thread);
            if (residual) {
                long end = Math.min(rowsOrElements, (block + 1) * rowsPerBlock);
                for (long row = block * rowsPerBlock; row < end; row++) {
                    for (int column = 0; column < columns; column += PIECE) {
                        residualPiece(row * columns + column, column,
                                Math.min(PIECE, columns - column), work);
                    }
                }
            } else {
                long end = Math.min(rowsOrElements, (block + 1L) * Elementwise.BLOCK);
                for (long at = (long) block * Elementwise.BLOCK; at < end; at += PIECE) {
                    sumPiece(at, (int) Math.min(PIECE, end - at), work);
                }
            }
        }

        private void sumPiece(long at, int n, long work) {
            long target = out + at * outType.bytes();
            if (count <= FEW && outType == DType.F32 && Rows.direct(DType.F32, n)) {
                sumOfFew(target, at, n);
                return;
            }
            long sum = tree(at, n, 0, count, work + 4 * PIECE_BYTES);
            Rows.round(outType, target, sum, n);
        }

        /** The tree over at most four partials in one pass. */
        private void sumOfFew(long target, long at, int n) {
            long a = partials[0] + 4 * at;
            long b = partials[Math.min(1, count - 1)] + 4 * at;
            long c = partials[Math.min(2, count - 1)] + 4 * at;
            switch (count) {
                case 1 -> Rows.copy(target, a, n);
                case 2 -> addRows(target, a, b, n);
                case 3 -> sumOfThree(target, a, b, c, n);
                default -> sumOfFour(target, a, b, c, partials[3] + 4 * at, n);
            }
        }

        private static void sumOfThree(long to, long a, long b, long c, int elements) {
            for (int i = 0; i < elements; i += L) {
                fromMemorySegment(F, ALL, a + 4L * i, ORDER)
                        .add(fromMemorySegment(F, ALL, b + 4L * i, ORDER))
                        .add(fromMemorySegment(F, ALL, c + 4L * i, ORDER))
                        .intoMemorySegment(ALL, to + 4L * i, ORDER);
            }
        }

        private static void sumOfFour(long to, long a, long b, long c, long d, int elements) {
            for (int i = 0; i < elements; i += L) {
                FloatVector left = fromMemorySegment(F, ALL, a + 4L * i, ORDER)
                        .add(fromMemorySegment(F, ALL, b + 4L * i, ORDER));
                FloatVector right = fromMemorySegment(F, ALL, c + 4L * i, ORDER)
                        .add(fromMemorySegment(F, ALL, d + 4L * i, ORDER));
                left.add(right).intoMemorySegment(ALL, to + 4L * i, ORDER);
            }
        }

        private void residualPiece(long at, int column, int n, long work) {
            int size = Rows.padded(n);
            long bias = work + PIECE_BYTES;
            long biasRow1 = Rows.read(
                    bias1 + (long) column * biasType.bytes(), biasType, n, work);
            scale(bias, biasRow1, copies, size);
            if (bias2 != 0) {
                long biasRow2 = Rows.read(
                        bias2 + (long) column * biasType.bytes(), biasType, n, work);
                addScaled(bias, biasRow2, copies, size);
            }
            long sum = tree(at, n, 0, count, work + 4 * PIECE_BYTES);
            long target = out + at * outType.bytes();
            long input = Rows.read(x + at * xType.bytes(), xType, n, work);
            long result = Rows.write(target, outType, n, work + 2 * PIECE_BYTES);
            addThree(result, input, sum, bias, size);
            Rows.written(target, outType, n, work + 2 * PIECE_BYTES);
        }

        /** Address of a padded row with the sum of a node of the tree. */
        private long tree(long at, int n, int first, int leaves, long work) {
            if (leaves == 1) {
                return Rows.read(partials[first] + 4 * at, DType.F32, n, work);
            }
            int left = Integer.highestOneBit(leaves - 1);
            long a = tree(at, n, first, left, work + 2 * PIECE_BYTES);
            if (left > 1 || !Rows.direct(DType.F32, n)) {
                Rows.copy(work + PIECE_BYTES, a, Rows.padded(n));
                a = work + PIECE_BYTES;
            }
            long b = tree(at, n, first + left, leaves - left, work + 2 * PIECE_BYTES);
            addRows(work, a, b, Rows.padded(n));
            return work;
        }

        private static void scale(long to, long from, float factor, int elements) {
            for (int i = 0; i < elements; i += L) {
                fromMemorySegment(F, ALL, from + 4L * i, ORDER).mul(factor)
                        .intoMemorySegment(ALL, to + 4L * i, ORDER);
            }
        }

        private static void addScaled(long to, long from, float factor, int elements) {
            for (int i = 0; i < elements; i += L) {
                FloatVector old = fromMemorySegment(F, ALL, to + 4L * i, ORDER);
                FloatVector x = fromMemorySegment(F, ALL, from + 4L * i, ORDER);
                old.add(x.mul(factor)).intoMemorySegment(ALL, to + 4L * i, ORDER);
            }
        }

        private static void addThree(long to, long x, long sum, long bias, int elements) {
            for (int i = 0; i < elements; i += L) {
                FloatVector value = fromMemorySegment(F, ALL, x + 4L * i, ORDER);
                FloatVector s = fromMemorySegment(F, ALL, sum + 4L * i, ORDER);
                FloatVector b = fromMemorySegment(F, ALL, bias + 4L * i, ORDER);
                value.add(s.add(b)).intoMemorySegment(ALL, to + 4L * i, ORDER);
            }
        }
    }

    static void addRows(long to, long x, long y, int elements) {
        for (int i = 0; i < elements; i += L) {
            FloatVector a = fromMemorySegment(F, ALL, x + 4L * i, ORDER);
            FloatVector b = fromMemorySegment(F, ALL, y + 4L * i, ORDER);
            a.add(b).intoMemorySegment(ALL, to + 4L * i, ORDER);
        }
    }
}
