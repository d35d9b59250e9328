package castalia.kernels.cpu;

import static castalia.kernels.cpu.Memory.ALL;
import static castalia.kernels.cpu.Memory.ORDER;
import static castalia.kernels.cpu.VectorMath.F;
import static castalia.kernels.cpu.VectorMath.L;
import static castalia.kernels.cpu.VectorMath.VB;
import static jdk.incubator.vector.FloatVector.broadcast;
import static jdk.incubator.vector.FloatVector.fromMemorySegment;

import castalia.kernels.DType;
import castalia.kernels.MatmulShape;
import jdk.incubator.vector.FloatVector;

/**
 * The portable product: operands are packed into panels and widened to F32, a tile of 6 rows and
 * two vectors of columns stays in registers, and every element is one chain of fused
 * multiply-adds over ascending k. So its bits depend on the operands alone: not on vector width,
 * block or thread.
 */
final class JavaEngine implements ProductEngine {

    private static final int TILE_ROWS = 6;
    private static final int TILE_COLUMNS = 2 * L;
    private static final int BLOCK_ROWS = 258;
    private static final int BLOCK_COLUMNS = 256;
    private static final int BLOCK_DEPTH = 256;
    private static final long LEFT_BYTES = 4L * BLOCK_ROWS * BLOCK_DEPTH;
    private static final long RIGHT_BYTES = 4L * BLOCK_COLUMNS * BLOCK_DEPTH;
    private static final long SUM_BYTES = 4L * BLOCK_ROWS * BLOCK_COLUMNS;
    private static final long SUM_STRIDE = 4L * BLOCK_COLUMNS;

    private final Scratch scratch;

    JavaEngine(Scratch scratch) {
        this.scratch = scratch;
    }

    @Override
    public Product product(MatmulShape shape) {
        // Refuses other types.
        Rows.numbers(shape.input());
        Rows.numbers(shape.output());
        scratch.ensureProduct(LEFT_BYTES + RIGHT_BYTES + SUM_BYTES);
        return new Packed(shape, scratch);
    }

    @Override
    public void enterThread() {}

    @Override
    public String version() {
        return "java";
    }

    @Override
    public String instructionSet() {
        return "any";
    }

    @Override
    public void close() {}

    /** Adds F32 elements to others. */
    static void addTo(long to, long sum, int columns) {
        int j = 0;
        for (; j + L <= columns; j += L) {
            FloatVector old = fromMemorySegment(F, ALL, to + 4L * j, ORDER);
            FloatVector added = fromMemorySegment(F, ALL, sum + 4L * j, ORDER);
            old.add(added).intoMemorySegment(ALL, to + 4L * j, ORDER);
        }
        for (; j < columns; j++) {
            Memory.f32(to + 4L * j, Memory.f32(to + 4L * j) + Memory.f32(sum + 4L * j));
        }
    }

    private static final class Packed extends Product {
        private final MatmulShape shape;
        private final Scratch scratch;
        private final int inputBytes;
        private final DType input;

        Packed(MatmulShape shape, Scratch scratch) {
            this.shape = shape;
            this.scratch = scratch;
            inputBytes = shape.input().bytes();
            input = shape.input();
        }

        @Override
        void run(int thread, long out, long a, long b, long bias) {
            long left = scratch.product(thread);
            long right = left + LEFT_BYTES;
            long sums = right + RIGHT_BYTES;
            for (int j = 0; j < shape.n(); j += BLOCK_COLUMNS) {
                int columns = Math.min(BLOCK_COLUMNS, shape.n() - j);
                for (int i = 0; i < shape.m(); i += BLOCK_ROWS) {
                    int rows = Math.min(BLOCK_ROWS, shape.m() - i);
                    clear(sums, rows);
                    for (int k = 0; k < shape.k(); k += BLOCK_DEPTH) {
                        int depth = Math.min(BLOCK_DEPTH, shape.k() - k);
                        packLeft(left, a, i, k, rows, depth);
                        packRight(right, b, j, k, columns, depth);
                        tiles(sums, left, right, rows, columns, depth);
                    }
                    finish(out, sums, bias, i, j, rows, columns);
                }
            }
        }

        private static void clear(long sums, int rows) {
            long end = sums + SUM_STRIDE * TILE_ROWS * ((rows + TILE_ROWS - 1) / TILE_ROWS);
            FloatVector zero = FloatVector.zero(F);
            for (long at = sums; at < end; at += VB) {
                zero.intoMemorySegment(ALL, at, ORDER);
            }
        }

        private float element(long address) {
            if (input == DType.F32) {
                return Memory.f32(address);
            }
            return input == DType.BF16 ? Memory.bf16(address) : Memory.f16(address);
        }

        private void packLeft(long to, long a, int row, int k, int rows, int depth) {
            long stride = (long) shape.strideA() * inputBytes;
            long alongRow = shape.transposeA() ? stride : inputBytes;
            long alongColumn = shape.transposeA() ? inputBytes : stride;
            for (int i = 0; i < rows; i += TILE_ROWS) {
                long panel = to + 4L * i * depth;
                for (int r = 0; r < TILE_ROWS; r++) {
                    long from = a + (row + i + r) * alongColumn + k * alongRow;
                    packLine(panel + 4L * r, 4L * TILE_ROWS, from, alongRow,
                            i + r < rows ? depth : 0, depth);
                }
            }
        }

        private void packRight(long to, long b, int column, int k, int columns, int depth) {
            long stride = (long) shape.strideB() * inputBytes;
            long alongRow = shape.transposeB() ? stride : inputBytes;
            long alongDepth = shape.transposeB() ? inputBytes : stride;
            for (int j = 0; j < columns; j += TILE_COLUMNS) {
                long panel = to + 4L * j * depth;
                int width = Math.min(TILE_COLUMNS, columns - j);
                if (shape.transposeB()) {
                    for (int c = 0; c < TILE_COLUMNS; c++) {
                        packLine(panel + 4L * c, 4L * TILE_COLUMNS,
                                b + (column + j + c) * alongRow + k * alongDepth, alongDepth,
                                c < width ? depth : 0, depth);
                    }
                } else {
                    for (int d = 0; d < depth; d++) {
                        packLine(panel + 4L * TILE_COLUMNS * d, 4,
                                b + (column + j) * alongRow + (k + d) * alongDepth, alongRow,
                                width, TILE_COLUMNS);
                    }
                }
            }
        }

        private void packLine(long to, long step, long from, long stride, int count, int padded) {
            for (int i = 0; i < count; i++) {
                Memory.f32(to + i * step, element(from + i * stride));
            }
            for (int i = count; i < padded; i++) {
                Memory.f32(to + i * step, 0f);
            }
        }

        private static void tiles(
                long sums, long left, long right, int rows, int columns, int depth) {
            for (int j = 0; j < columns; j += TILE_COLUMNS) {
                for (int i = 0; i < rows; i += TILE_ROWS) {
                    tile(sums + i * SUM_STRIDE + 4L * j, left + 4L * i * depth,
                            right + 4L * j * depth, depth);
                }
            }
        }

        private static void tile(long sum, long left, long right, int depth) {
            FloatVector a0 = fromMemorySegment(F, ALL, sum, ORDER);
            FloatVector a1 = fromMemorySegment(F, ALL, sum + VB, ORDER);
            FloatVector b0 = fromMemorySegment(F, ALL, sum + SUM_STRIDE, ORDER);
            FloatVector b1 = fromMemorySegment(F, ALL, sum + SUM_STRIDE + VB, ORDER);
            FloatVector c0 = fromMemorySegment(F, ALL, sum + 2 * SUM_STRIDE, ORDER);
            FloatVector c1 = fromMemorySegment(F, ALL, sum + 2 * SUM_STRIDE + VB, ORDER);
            FloatVector d0 = fromMemorySegment(F, ALL, sum + 3 * SUM_STRIDE, ORDER);
            FloatVector d1 = fromMemorySegment(F, ALL, sum + 3 * SUM_STRIDE + VB, ORDER);
            FloatVector e0 = fromMemorySegment(F, ALL, sum + 4 * SUM_STRIDE, ORDER);
            FloatVector e1 = fromMemorySegment(F, ALL, sum + 4 * SUM_STRIDE + VB, ORDER);
            FloatVector f0 = fromMemorySegment(F, ALL, sum + 5 * SUM_STRIDE, ORDER);
            FloatVector f1 = fromMemorySegment(F, ALL, sum + 5 * SUM_STRIDE + VB, ORDER);
            for (int k = 0; k < depth; k++) {
                long l = left + 4L * TILE_ROWS * k;
                long r = right + 4L * TILE_COLUMNS * k;
                FloatVector r0 = fromMemorySegment(F, ALL, r, ORDER);
                FloatVector r1 = fromMemorySegment(F, ALL, r + VB, ORDER);
                FloatVector x = broadcast(F, Memory.f32(l));
                a0 = x.fma(r0, a0);
                a1 = x.fma(r1, a1);
                x = broadcast(F, Memory.f32(l + 4));
                b0 = x.fma(r0, b0);
                b1 = x.fma(r1, b1);
                x = broadcast(F, Memory.f32(l + 8));
                c0 = x.fma(r0, c0);
                c1 = x.fma(r1, c1);
                x = broadcast(F, Memory.f32(l + 12));
                d0 = x.fma(r0, d0);
                d1 = x.fma(r1, d1);
                x = broadcast(F, Memory.f32(l + 16));
                e0 = x.fma(r0, e0);
                e1 = x.fma(r1, e1);
                x = broadcast(F, Memory.f32(l + 20));
                f0 = x.fma(r0, f0);
                f1 = x.fma(r1, f1);
            }
            a0.intoMemorySegment(ALL, sum, ORDER);
            a1.intoMemorySegment(ALL, sum + VB, ORDER);
            b0.intoMemorySegment(ALL, sum + SUM_STRIDE, ORDER);
            b1.intoMemorySegment(ALL, sum + SUM_STRIDE + VB, ORDER);
            c0.intoMemorySegment(ALL, sum + 2 * SUM_STRIDE, ORDER);
            c1.intoMemorySegment(ALL, sum + 2 * SUM_STRIDE + VB, ORDER);
            d0.intoMemorySegment(ALL, sum + 3 * SUM_STRIDE, ORDER);
            d1.intoMemorySegment(ALL, sum + 3 * SUM_STRIDE + VB, ORDER);
            e0.intoMemorySegment(ALL, sum + 4 * SUM_STRIDE, ORDER);
            e1.intoMemorySegment(ALL, sum + 4 * SUM_STRIDE + VB, ORDER);
            f0.intoMemorySegment(ALL, sum + 5 * SUM_STRIDE, ORDER);
            f1.intoMemorySegment(ALL, sum + 5 * SUM_STRIDE + VB, ORDER);
        }

        private void finish(
                long out, long sums, long bias, int row, int column, int rows, int columns) {
            int outBytes = shape.output().bytes();
            for (int i = 0; i < rows; i++) {
                long sum = sums + i * SUM_STRIDE;
                long to = out + ((long) (row + i) * shape.strideOut() + column) * outBytes;
                if (shape.bias()) {
                    addBias(sum, bias + (long) column * inputBytes, columns);
                }
                if (shape.accumulate()) {
                    addTo(to, sum, columns);
                } else {
                    Rows.round(shape.output(), to, sum, columns);
                }
            }
        }

        private void addBias(long sum, long bias, int columns) {
            for (int j = 0; j < columns; j++) {
                Memory.f32(sum + 4L * j, Memory.f32(sum + 4L * j)
                        + element(bias + (long) j * inputBytes));
            }
        }
    }
}
