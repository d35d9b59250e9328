package castalia.kernels.reference;

import static castalia.kernels.reference.Elements.get;
import static castalia.kernels.reference.Elements.numbers;
import static castalia.kernels.reference.Elements.setOrAdd;
import static castalia.kernels.reference.Elements.token;
import static castalia.kernels.reference.Elements.tokens;

import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.MatmulShape;
import java.lang.foreign.MemorySegment;
import org.jspecify.annotations.Nullable;

/** Matrix products, sums over rows, and the table of tokens. */
final class Products {

    private Products() {}

    /** out (M, N) = a (M, K) * b (K, N) (+ bias (N)) (+ out). */
    static void matmul(
            MatmulShape shape, Buffer out, Buffer a, Buffer b, @Nullable Buffer bias) {
        int m = shape.m();
        int n = shape.n();
        int k = shape.k();
        numbers("out", out, extent(m, n, shape.strideOut()));
        int aRows = shape.transposeA() ? k : m;
        int bRows = shape.transposeB() ? n : k;
        numbers("a", a, extent(aRows, m + k - aRows, shape.strideA()));
        numbers("b", b, extent(bRows, k + n - bRows, shape.strideB()));
        typed("out", out, shape.output());
        typed("a", a, shape.input());
        typed("b", b, shape.input());
        Buffer added = shape.bias() ? required(bias) : null;
        if (added != null) {
            numbers("bias", added, n);
            typed("bias", added, shape.input());
        }
        // Element (i, l) of a lies at i * aRow + l * aColumn, stored transposed or not.
        long aRow = shape.transposeA() ? 1 : shape.strideA();
        long aColumn = shape.transposeA() ? shape.strideA() : 1;
        long bRow = shape.transposeB() ? 1 : shape.strideB();
        long bColumn = shape.transposeB() ? shape.strideB() : 1;
        for (int i = 0; i < m; i++) {
            for (int j = 0; j < n; j++) {
                double sum = 0;
                for (int l = 0; l < k; l++) {
                    sum += get(a, i * aRow + l * aColumn) * get(b, l * bRow + j * bColumn);
                }
                if (added != null) {
                    sum += get(added, j);
                }
                setOrAdd(out, (long) i * shape.strideOut() + j, sum, shape.accumulate());
            }
        }
    }

    private static Buffer required(@Nullable Buffer bias) {
        if (bias == null) {
            throw new IllegalArgumentException("matmul: the shape has a bias, none was given");
        }
        return bias;
    }

    /** Elements from the first to the last of a matrix whose rows are {@code stride} apart. */
    private static long extent(int rows, int columns, int stride) {
        return (rows - 1L) * stride + columns;
    }

    private static void typed(String name, Buffer buffer, DType type) {
        if (buffer.type() != type) {
            throw new IllegalArgumentException(
                    name + " is " + buffer.type() + " where the shape says " + type);
        }
    }

    /** dBias (C): column sums of dOut (R, C). */
    static void biasGradient(Buffer dBias, Buffer dOut, int rows, int columns, boolean accumulate) {
        numbers("dBias", dBias, columns);
        numbers("dOut", dOut, (long) rows * columns);
        for (int c = 0; c < columns; c++) {
            double sum = 0;
            for (int r = 0; r < rows; r++) {
                sum += get(dOut, (long) r * columns + c);
            }
            setOrAdd(dBias, c, sum, accumulate);
        }
    }

    /** out (R, C): rows of weight (V, C) by token, where the token belongs to this slice. */
    static void embedding(Buffer out, Buffer tokens, Buffer weight, int first, int rows,
            int columns,
            int vocabulary) {
        numbers("out", out, (long) rows * columns);
        tokens("tokens", tokens, rows);
        numbers("weight", weight, (long) vocabulary * columns);
        for (int r = 0; r < rows; r++) {
            long row = (long) token(tokens, r) - first;
            if (row < 0 || row >= vocabulary) {
                continue;
            }
            for (int c = 0; c < columns; c++) {
                double value = get(weight, row * columns + c) + 0.0; // -0 + 0 is +0
                Elements.set(out, (long) r * columns + c, value);
            }
        }
    }

    /** out (R, C): rows of x (R, C) whose token belongs to this slice, bit by bit. */
    static void selectRows(Buffer out, Buffer x, Buffer tokens, int first, int rows, int columns,
            int vocabulary) {
        numbers("out", out, (long) rows * columns);
        numbers("x", x, (long) rows * columns);
        tokens("tokens", tokens, rows);
        typed("x", x, out.type());
        long bytes = (long) columns * x.type().bytes();
        for (int r = 0; r < rows; r++) {
            long row = (long) token(tokens, r) - first;
            if (row >= 0 && row < vocabulary) {
                MemorySegment.copy(x.segment(), r * bytes, out.segment(), r * bytes, bytes);
            }
        }
    }

    /** dWeight (V, C): each row of dOut (R, C) is added to its token's, rows ascending. */
    static void embeddingBackward(Buffer dWeight, Buffer dOut, Buffer tokens, int first, int rows,
            int columns, int vocabulary, boolean accumulate) {
        numbers("dWeight", dWeight, (long) vocabulary * columns);
        numbers("dOut", dOut, (long) rows * columns);
        tokens("tokens", tokens, rows);
        if (!accumulate) {
            Pointwise.zero(dWeight, (long) vocabulary * columns);
        }
        for (int r = 0; r < rows; r++) {
            long row = (long) token(tokens, r) - first;
            if (row < 0 || row >= vocabulary) {
                continue;
            }
            for (int c = 0; c < columns; c++) {
                setOrAdd(dWeight, row * columns + c, get(dOut, (long) r * columns + c), true);
            }
        }
    }
}
