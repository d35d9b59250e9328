package castalia.kernels;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.kernels.Trial.Operand;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

/**
 * Matrix products and sums over rows. A sum of n F32 terms in any order is off by at most about
 * n times the unit roundoff times the sum of the terms' magnitudes.
 */
interface ProductContract extends KernelSubject {

    /** Rows, columns and length of the sums. */
    record Extents(int m, int n, int k) {}

    List<Extents> PRODUCTS = List.of(
            new Extents(1, 1, 1),
            new Extents(7, 3, 20),
            new Extents(300, 20, 3),
            new Extents(3, 131, 67),
            new Extents(1, 131, 20),
            new Extents(129, 1, 67));

    List<Extents> LARGE_PRODUCTS = List.of(
            new Extents(129, 67, 131),
            new Extents(64, 128, 32),
            new Extents(48, 272, 64),
            new Extents(33, 80, 257));

    @Test
    default void productsOfEveryLayoutAreRight() {
        for (Extents size : PRODUCTS) {
            for (int layout = 0; layout < 8; layout++) {
                for (int use = 0; use < 4; use++) {
                    products(size, layout, use);
                }
            }
        }
    }

    @Test
    default void largeProductsOfEveryLayoutAreRightInOneUseOfEach() {
        for (int size = 0; size < LARGE_PRODUCTS.size(); size++) {
            for (int layout = 0; layout < 8; layout++) {
                products(LARGE_PRODUCTS.get(size), layout, (layout + size) % 4);
            }
        }
    }

    @Tag("default")
    @Test
    default void largeProductsOfEveryLayoutAreRightInEveryUse() {
        for (Extents size : LARGE_PRODUCTS) {
            for (int layout = 0; layout < 8; layout++) {
                for (int use = 0; use < 4; use++) {
                    products(size, layout, use);
                }
            }
        }
    }

    /** All types. Layout: a transposed, b transposed, gaps; use: added, with bias; as bits. */
    private void products(Extents size, int layout, int use) {
        boolean transposeA = (layout & 1) != 0;
        boolean transposeB = (layout & 2) != 0;
        int gap = (layout & 4) != 0 ? 5 : 0;
        boolean accumulate = (use & 1) != 0;
        boolean bias = (use & 2) != 0;
        for (DType input : computeTypes()) {
            product(shape(size, transposeA, transposeB, gap, input, DType.F32, accumulate, bias));
            if (input != DType.F32 && !accumulate) {
                product(shape(size, transposeA, transposeB, gap, input, input, false, bias));
            }
        }
    }

    /** Weight gradients of small models: sums that a back end may compute in groups. */
    @Test
    default void longSumsOfSmallResultsAreRight() {
        for (DType input : computeTypes()) {
            for (boolean accumulate : new boolean[] {false, true}) {
                product(MatmulShape.weightGradient(4098, 17, 33, input, DType.F32, accumulate));
                product(MatmulShape.weightGradient(8192, 24, 40, input, DType.F32, accumulate));
            }
        }
    }

    @Test
    default void productsOfLargeAndTinyNumbersAreRight() {
        for (DType input : computeTypes()) {
            MatmulShape shape = MatmulShape.forward(7, 20, 67, input, DType.F32, true);
            // Binary16 ends at 65504; below 6e-5 it is subnormal.
            product(shape, input == DType.F16 ? 1e3 : 1e12);
            product(shape, input == DType.F16 ? 1e-5 : 1e-12);
        }
    }

    private static MatmulShape shape(Extents size, boolean transposeA, boolean transposeB, int gap,
            DType input, DType output, boolean accumulate, boolean bias) {
        int m = size.m();
        int n = size.n();
        int k = size.k();
        return new MatmulShape(m, n, k, transposeA, transposeB, (transposeA ? m : k) + gap,
                (transposeB ? k : n) + 2 * gap, n + 3 * gap, input, output, accumulate, bias);
    }

    private void product(MatmulShape shape) {
        product(shape, 1);
    }

    private void product(MatmulShape shape, double scale) {
        try (Trial trial = Trial.inDouble(this, "%s", shape)) {
            int m = shape.m();
            int n = shape.n();
            int k = shape.k();
            double[] aValues = shape.transposeA()
                    ? strided(1, k, m, shape.strideA(), scale)
                    : strided(1, m, k, shape.strideA(), scale);
            double[] bValues = shape.transposeB()
                    ? strided(2, n, k, shape.strideB(), scale)
                    : strided(2, k, n, shape.strideB(), scale);
            double[] outValues = shape.accumulate()
                    ? strided(3, m, n, shape.strideOut(), scale * scale)
                    : Values.filled((m - 1L) * shape.strideOut() + n, Double.NaN);
            Operand a = trial.input("a", shape.input(), aValues);
            Operand b = trial.input("b", shape.input(), bValues);
            Operand bias = trial.input("bias", shape.input(), Values.normal(4, n, scale * scale));
            Operand out = trial.inout("out", shape.output(), outValues);
            trial.run((kernels, on) -> kernels.matmul(
                    on.tested() ? shape : inDouble(shape), on.of(out), on.of(a), on.of(b),
                    shape.bias() ? on.of(bias) : null));
            trial.near(out, errors(shape, a.before(), b.before(), bias.before(), out.before()));
        }
    }

    static MatmulShape inDouble(MatmulShape s) {
        return new MatmulShape(s.m(), s.n(), s.k(), s.transposeA(), s.transposeB(), s.strideA(),
                s.strideB(), s.strideOut(), DType.F64, DType.F64, s.accumulate(), s.bias());
    }

    /** Rows that are {@code stride} apart, with NaN between them. */
    private static double[] strided(long seed, int rows, int columns, int stride, double scale) {
        double[] matrix = Values.filled((rows - 1L) * stride + columns, Double.NaN);
        double[] values = Values.normal(seed, (long) rows * columns, scale);
        for (int r = 0; r < rows; r++) {
            System.arraycopy(values, r * columns, matrix, r * stride, columns);
        }
        return matrix;
    }

    /** (k + 2) U times the sum of the magnitudes, bias and old value included. */
    static double[] errors(MatmulShape shape, double[] a, double[] b, double[] bias,
            double[] out) {
        double[] errors = new double[out.length];
        for (int i = 0; i < shape.m(); i++) {
            for (int j = 0; j < shape.n(); j++) {
                double sum = shape.bias() ? Math.abs(bias[j]) : 0;
                for (int l = 0; l < shape.k(); l++) {
                    int left = shape.transposeA()
                            ? l * shape.strideA() + i
                            : i * shape.strideA() + l;
                    int right = shape.transposeB()
                            ? j * shape.strideB() + l
                            : l * shape.strideB() + j;
                    sum += Math.abs(a[left] * b[right]);
                }
                int element = i * shape.strideOut() + j;
                sum += shape.accumulate() ? Math.abs(out[element]) : 0;
                errors[element] = (shape.k() + 2) * U * sum;
            }
        }
        return errors;
    }

    @Test
    default void anAccumulatedProductIsOneAdditionOfTheFinishedSum() {
        for (DType input : computeTypes()) {
            for (int rows : new int[] {7, 130, 1000}) {
                MatmulShape shape =
                        MatmulShape.weightGradient(rows, 20, 67, input, DType.F32, false);
                try (Trial trial = Trial.inDouble(this, "%s", shape)) {
                    Operand dy = trial.input("dy", input, Values.normal(1, rows * 20L, 1));
                    Operand x = trial.input("x", input, Values.normal(2, rows * 67L, 1));
                    Operand written = trial.output("dw", DType.F32, 20 * 67);
                    Operand added = trial.inout("dw added", DType.F32,
                            Values.normal(3, 20 * 67, 9));
                    trial.run((kernels, b) -> {
                        MatmulShape s = b.tested() ? shape : inDouble(shape);
                        kernels.matmul(s, b.of(written), b.of(dy), b.of(x), null);
                        kernels.matmul(s.accumulating(), b.of(added), b.of(dy), b.of(x), null);
                    });
                    isOneAddition(added, written);
                }
            }
        }
    }

    /** Law of accumulation: the new value is the old one plus the finished sum, in F32. */
    static void isOneAddition(Operand added, Operand written) {
        double[] old = added.before();
        double[] sum = written.actual();
        double[] result = added.actual();
        for (int i = 0; i < sum.length; i++) {
            assertThat((float) result[i])
                    .as("element %s: %s plus %s", i, old[i], sum[i])
                    .isEqualTo((float) old[i] + (float) sum[i]);
        }
    }

    @Test
    default void preparedProductsGiveTheSame() {
        MatmulShape shape = MatmulShape.forward(19, 23, 29, DType.F32, DType.F32, true);
        device().kernels().prepare(List.of(shape, shape.accumulating()));
        product(shape);
        product(shape.accumulating());
    }

    @Test
    default void biasGradientsAreColumnSums() {
        for (DType type : computeTypes()) {
            for (int rows : new int[] {1, 7, 128, 129, 300}) {
                for (int columns : new int[] {1, 3, 20, 67, 131}) {
                    try (Trial trial = Trial.inDouble(this, "%s, %s x %s", type, rows, columns)) {
                        Operand dOut = trial.input("dOut", type,
                                Values.normal(1, (long) rows * columns, 1));
                        Operand written = trial.output("dBias", DType.F32, columns);
                        Operand added = trial.inout("dBias added", DType.F32,
                                Values.normal(2, columns, 1));
                        trial.run((kernels, b) -> {
                            kernels.biasGradient(b.of(written), b.of(dOut), rows, columns, false);
                            kernels.biasGradient(b.of(added), b.of(dOut), rows, columns, true);
                        });
                        double[] error = new double[columns];
                        double[] values = dOut.before();
                        for (int i = 0; i < values.length; i++) {
                            error[i % columns] += rows * U * Math.abs(values[i]);
                        }
                        trial.near(written, error);
                        isOneAddition(added, written);
                    }
                }
            }
        }
    }

    @Test
    default void embeddingsAreLookedUpInTheirSlice() {
        for (DType type : computeTypes()) {
            for (int columns : new int[] {1, 3, 20, 67, 131}) {
                for (int rows : new int[] {1, 7, 129}) {
                    try (Trial trial = Trial.bitwise(this, "%s, %s x %s", type, rows, columns)) {
                        double[] table = Values.normal(1, 11L * columns, 1);
                        table[0] = -0.0;
                        table[table.length - 1] = -0.0;
                        Operand weight = trial.input("weight", type, table);
                        Operand tokens = trial.input("tokens", DType.I32,
                                Values.integers(2, rows, 0, 30));
                        Operand whole = trial.inout("out", type,
                                Values.normal(3, (long) rows * columns, 1));
                        Operand first = trial.inout("first slice", type,
                                Values.normal(3, (long) rows * columns, 1));
                        trial.run((kernels, b) -> {
                            kernels.embedding(b.of(whole), b.of(tokens), b.of(weight), 9, rows,
                                    columns, 11);
                            kernels.embedding(b.of(first), b.of(tokens), b.of(weight), 0, rows,
                                    columns, 11);
                        });
                        trial.same(whole);
                        trial.same(first);
                    }
                }
            }
        }
    }

    @Test
    default void rowsOfASliceAreCopiedBitForBit() {
        for (DType type : computeTypes()) {
            for (int columns : new int[] {1, 3, 20, 67, 131}) {
                for (int rows : new int[] {1, 7, 129, 600}) {
                    try (Trial trial = Trial.bitwise(this, "%s, %s x %s", type, rows, columns)) {
                        byte[] bits = new byte[rows * columns * type.bytes()];
                        new Random(rows).nextBytes(bits); // NaNs and negative zeros among them
                        Operand x = trial.raw("x", type, bits, false);
                        Operand tokens = trial.input("tokens", DType.I32,
                                Values.integers(2, rows, 0, 30));
                        Operand out = trial.inout("out", type,
                                Values.normal(3, (long) rows * columns, 1));
                        trial.run((kernels, b) -> kernels.selectRows(
                                b.of(out), b.of(x), b.of(tokens), 9, rows, columns, 11));
                        trial.same(out);
                    }
                }
            }
        }
    }

    @Test
    default void embeddingGradientsAddRowsInOrder() {
        for (DType type : computeTypes()) {
            for (int columns : new int[] {1, 3, 20, 67, 131, 600}) {
                int vocabulary = columns < 600 ? 13 : 700; // large ones may be cut both ways
                for (int rows : new int[] {1, 7, 300}) {
                    try (Trial trial = Trial.bitwise(this, "%s, %s x %s", type, rows, columns)) {
                        Operand dOut = trial.input("dOut", type,
                                Values.normal(1, (long) rows * columns, 1));
                        Operand tokens = trial.input("tokens", DType.I32,
                                Values.integers(2, rows, 0, vocabulary + 7));
                        long sums = (long) vocabulary * columns;
                        Operand written = trial.output("dWeight", DType.F32, sums);
                        Operand added = trial.inout("dWeight added", DType.F32,
                                Values.normal(3, sums, 1));
                        trial.run((kernels, b) -> {
                            kernels.embeddingBackward(b.of(written), b.of(dOut), b.of(tokens), 5,
                                    rows, columns, vocabulary, false);
                            kernels.embeddingBackward(b.of(added), b.of(dOut), b.of(tokens), 5,
                                    rows, columns, vocabulary, true);
                        });
                        trial.same(written);
                        trial.same(added);
                    }
                }
            }
        }
    }
}
