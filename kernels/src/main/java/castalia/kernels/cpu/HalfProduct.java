package castalia.kernels.cpu;

import castalia.kernels.DType;
import castalia.kernels.MatmulShape;
import java.util.function.Function;

/**
 * A product of F16 operands where the library's own would differ from machine to machine: panels of
 * the operands are widened to F32, which is exact, multiplied in F32, and summed over panels of k
 * ascending. Bias and accumulation are added to the finished F32 sum, which is rounded once.
 */
final class HalfProduct extends Product {

    /** Rows, columns and depth of a panel: what is widened at once stays in the cache. */
    static final int ROWS = 256;

    static final int COLUMNS = 512;
    static final int DEPTH = 1024;

    /** Elements between the ends of widened rows, so that rows do not collide in the cache. */
    private static final int GAP = 16;

    private final MatmulShape shape;
    private final Scratch scratch;

    /** By last rows, last columns, last depth, and whether depths before it were summed. */
    private final Product[] panels = new Product[16];

    private final boolean direct;
    private final long rightOffset;
    private final long sumOffset;
    private final long biasOffset;
    private final int sumStride;

    /**
     * @param products prepares products of F32
     */
    HalfProduct(MatmulShape shape, Function<MatmulShape, Product> products, Scratch scratch) {
        this.shape = shape;
        this.scratch = scratch;
        direct = shape.k() <= DEPTH && shape.output() == DType.F32 && !shape.bias();
        int rows = Math.min(ROWS, shape.m());
        int columns = Math.min(COLUMNS, shape.n());
        int depth = Math.min(DEPTH, shape.k());
        sumStride = Rows.padded(columns);
        rightOffset = line(4L * (rows + GAP) * (depth + GAP));
        sumOffset = rightOffset + line(4L * (columns + GAP) * (depth + GAP));
        biasOffset = sumOffset + (direct ? 0 : line(4L * rows * sumStride));
        scratch.ensureOperands(biasOffset + 4L * sumStride);
        for (int i = 0; i < shape.m(); i += ROWS) {
            for (int j = 0; j < shape.n(); j += COLUMNS) {
                for (int k = 0; k < shape.k(); k += DEPTH) {
                    int panel = panel(i, j, k);
                    if (panels[panel] == null) {
                        panels[panel] = products.apply(panelShape(i, j, k));
                    }
                }
            }
        }
    }

    private static long line(long bytes) {
        return (bytes + 63) / 64 * 64;
    }

    private int panel(int i, int j, int k) {
        return (i + ROWS < shape.m() ? 0 : 8) + (j + COLUMNS < shape.n() ? 0 : 4)
                + (k + DEPTH < shape.k() ? 0 : 2) + (k > 0 ? 1 : 0);
    }

    private int rows(int i) {
        return Math.min(ROWS, shape.m() - i);
    }

    private int columns(int j) {
        return Math.min(COLUMNS, shape.n() - j);
    }

    private int depth(int k) {
        return Math.min(DEPTH, shape.k() - k);
    }

    private MatmulShape panelShape(int i, int j, int k) {
        return new MatmulShape(rows(i), columns(j), depth(k), shape.transposeA(),
                shape.transposeB(), (shape.transposeA() ? rows(i) : depth(k)) + GAP,
                (shape.transposeB() ? depth(k) : columns(j)) + GAP,
                direct ? shape.strideOut() : sumStride, DType.F32, DType.F32,
                direct ? shape.accumulate() : k > 0, false);
    }

    @Override
    void run(int thread, long out, long a, long b, long bias) {
        long left = scratch.operands(thread);
        long right = left + rightOffset;
        long sums = left + sumOffset;
        for (int j = 0; j < shape.n(); j += COLUMNS) {
            for (int i = 0; i < shape.m(); i += ROWS) {
                long to = out + ((long) i * shape.strideOut() + j) * shape.output().bytes();
                for (int k = 0; k < shape.k(); k += DEPTH) {
                    widen(left, a, shape.transposeA(), shape.strideA(), i, rows(i), k);
                    widen(right, b, !shape.transposeB(), shape.strideB(), j, columns(j), k);
                    panels[panel(i, j, k)].run(thread, direct ? to : sums, left, right, 0);
                }
                if (!direct) {
                    finish(to, sums, bias + 2L * j, left + biasOffset, rows(i), columns(j));
                }
            }
        }
    }

    /** Widens {@code size} rows or columns from {@code first}, of the depths from {@code k}. */
    private void widen(
            long to, long from, boolean depthMajor, int stride, int first, int size, int k) {
        int lines = depthMajor ? depth(k) : size;
        int length = depthMajor ? size : depth(k);
        long line = depthMajor ? (long) k * stride + first : (long) first * stride + k;
        for (int l = 0; l < lines; l++) {
            Rows.widenHalf(to + 4L * l * (length + GAP), from + 2 * (line + (long) l * stride),
                    length);
        }
    }

    private void finish(long out, long sums, long bias, long work, int rows, int columns) {
        if (shape.bias()) {
            Rows.widenHalf(work, bias, columns);
            Rows.pad(work, columns);
        }
        for (int row = 0; row < rows; row++) {
            long sum = sums + 4L * row * sumStride;
            if (shape.bias()) {
                Pointwise.addRows(sum, sum, work, Rows.padded(columns));
            }
            long to = out + (long) row * shape.strideOut() * shape.output().bytes();
            if (shape.accumulate()) {
                JavaEngine.addTo(to, sum, columns);
            } else {
                Rows.round(shape.output(), to, sum, columns);
            }
        }
    }
}
