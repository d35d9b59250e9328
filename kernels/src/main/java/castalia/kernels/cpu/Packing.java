package castalia.kernels.cpu;

import static castalia.kernels.cpu.Memory.ALL;
import static castalia.kernels.cpu.Memory.ORDER;
import static castalia.kernels.cpu.VectorMath.I;
import static castalia.kernels.cpu.VectorMath.L;
import static castalia.kernels.cpu.VectorMath.S;

import castalia.kernels.DType;
import castalia.kernels.MatmulShape;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorOperators;

/**
 * Lays out the second operand of a product as its inner loops read it, once for all blocks of rows, each of
 * which makes a copy of its own otherwise. It then lies in panels of {@link #PANEL} columns: in each, line
 * after line, the terms of the sums, of BF16 in pairs; zeros end the last panel and the last lines. oneDNN
 * calls this BA16a64b, and of BF16 BA16a64b2a. Nothing is computed, so no bit depends on it.
 *
 * <p>Operands that lie transposed are not packed: turning them takes as long as the copies do.
 */
final class Packing extends WorkerPool.Task {

    /** Columns of a panel. */
    static final int PANEL = 64;

    /** Rows of a product from which packing takes less time than it saves. */
    static final int LEAST_ROWS = 1024;

    /** Most bytes of a block of columns; a larger one is not packed. */
    static final long MOST_BYTES = 24L << 20;

    /** The lines of a panel are a multiple of this. */
    private static final int LINES = 16;

    /** Bytes of a line: its entries are terms of 32 bits, or pairs of 16. */
    private static final long LINE_BYTES = (long) Integer.BYTES * PANEL;

    /** What a thread packs at once. */
    private static final int UNIT_LINES = 64;
    private static final int UNIT_COLUMNS = 8 * PANEL;

    private final boolean pairs;
    private final int terms;
    private final int lines;
    private final long stride;
    private long to;
    private long from;
    private int columns;

    /** For the second operand of a shape; all blocks of columns may share it. */
    Packing(MatmulShape shape) {
        pairs = shape.input() == DType.BF16;
        terms = shape.k();
        lines = lines(shape);
        stride = (long) shape.input().bytes() * shape.strideB();
    }

    /** Whether the operand of a shape, cut into blocks of so many columns, is worth packing. */
    static boolean pays(MatmulShape shape, int columns) {
        return VectorMath.WIDE && !shape.transposeB() && shape.m() >= LEAST_ROWS && shape.n() >= PANEL
                && (shape.input() == DType.F32 || shape.input() == DType.BF16)
                && bytes(shape, columns) <= MOST_BYTES;
    }

    /** Bytes of so many packed columns. */
    static long bytes(MatmulShape shape, int columns) {
        return (long) (columns + PANEL - 1) / PANEL * lines(shape) * LINE_BYTES;
    }

    private static int lines(MatmulShape shape) {
        int used = shape.input() == DType.BF16 ? (shape.k() + 1) / 2 : shape.k();
        return (used + LINES - 1) / LINES * LINES;
    }

    /** Packs {@code count} columns, the first of which begins at {@code first}. */
    void run(WorkerPool pool, long packed, long first, int count) {
        to = packed;
        from = first;
        columns = count;
        pool.run(this, across() * ((lines + UNIT_LINES - 1) / UNIT_LINES));
    }

    private int across() {
        return (columns + UNIT_COLUMNS - 1) / UNIT_COLUMNS;
    }

    @Override
    void block(int block, int thread) {
        int firstLine = block / across() * UNIT_LINES;
        int endLine = Math.min(lines, firstLine + UNIT_LINES);
        int column = block % across() * UNIT_COLUMNS;
        int end = Math.min(columns, column + UNIT_COLUMNS);
        for (int line = firstLine; line < endLine; line++) {
            for (int i = column; i < end; i += PANEL) {
                line(to + ((long) (i / PANEL) * lines + line) * LINE_BYTES, line, i,
                        Math.min(PANEL, end - i));
            }
        }
    }

    /** One line of a panel, of which {@code count} columns from {@code column} on exist. */
    private void line(long target, int line, int column, int count) {
        long written = (long) Integer.BYTES * count;
        if (!pairs && line < terms) {
            Rows.copy(target, from + (long) Float.BYTES * column + line * stride, count);
        } else if (pairs && 2 * line < terms) {
            long even = from + (long) Short.BYTES * column + 2L * line * stride;
            if (2 * line + 1 < terms) {
                pair(target, even, even + stride, count);
            } else {
                alone(target, even, count);
            }
        } else {
            written = 0;
        }
        Rows.zero(target + written, LINE_BYTES - written);
    }

    private static void pair(long target, long even, long odd, int count) {
        int i = 0;
        for (; i + L <= count; i += L) {
            ((IntVector) ShortVector.fromMemorySegment(S, ALL, odd + 2L * i, ORDER)
                            .convertShape(VectorOperators.ZERO_EXTEND_S2I, I, 0))
                    .lanewise(VectorOperators.LSHL, Short.SIZE)
                    .or(ShortVector.fromMemorySegment(S, ALL, even + 2L * i, ORDER)
                            .convertShape(VectorOperators.ZERO_EXTEND_S2I, I, 0))
                    .intoMemorySegment(ALL, target + 4L * i, ORDER);
        }
        for (; i < count; i++) {
            Memory.i16(target + 4L * i, Memory.i16(even + 2L * i));
            Memory.i16(target + 4L * i + 2, Memory.i16(odd + 2L * i));
        }
    }

    /** The last of an odd number of terms. */
    private static void alone(long target, long even, int count) {
        for (int i = 0; i < count; i++) {
            Memory.i32(target + 4L * i, Short.toUnsignedInt(Memory.i16(even + 2L * i)));
        }
    }
}
