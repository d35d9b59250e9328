package castalia.kernels.cpu;

import castalia.kernels.DType;
import castalia.kernels.MatmulShape;
import java.util.function.Function;

/**
 * A product whose sums are computed in two parts, the second of which is added to the first: as many terms as
 * make whole tiles of matrix units (AMX), then the rest.
 */
final class SplitProduct extends Product {

    private final MatmulShape shape;
    private final int first;
    private final Product tiles;
    private final Product rest;

    /**
     * A product with F32 output.
     *
     * @param first terms of the first part
     * @param products prepares the parts
     */
    SplitProduct(MatmulShape shape, int first, Function<MatmulShape, Product> products) {
        if (shape.output() != DType.F32) {
            throw new IllegalArgumentException(shape + " would be rounded twice");
        }
        this.shape = shape;
        this.first = first;
        tiles = products.apply(part(first, shape.accumulate(), shape.bias()));
        rest = products.apply(part(shape.k() - first, true, false));
    }

    private MatmulShape part(int k, boolean accumulate, boolean bias) {
        return new MatmulShape(shape.m(), shape.n(), k, shape.transposeA(), shape.transposeB(),
                shape.strideA(), shape.strideB(), shape.strideOut(), shape.input(), DType.F32,
                accumulate, bias);
    }

    @Override
    void run(int thread, long out, long a, long b, long bias) {
        tiles.run(thread, out, a, b, bias);
        long skippedA = shape.transposeA() ? (long) first * shape.strideA() : first;
        long skippedB = shape.transposeB() ? first : (long) first * shape.strideB();
        int bytes = shape.input().bytes();
        rest.run(thread, out, a + bytes * skippedA, b + bytes * skippedB, 0);
    }
}
