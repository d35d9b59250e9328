package castalia.kernels;

/**
 * One matrix product {@code out (M, N) = a (M, K) * b (K, N)}, row-major: a function of the run's
 * specification alone. Back ends cache what they prepare for a shape.
 *
 * @param m rows of the result
 * @param n columns of the result
 * @param k length of the sums
 * @param transposeA a is stored (K, M)
 * @param transposeB b is stored (N, K), as weights are in a forward product
 * @param strideA elements between stored rows of a
 * @param strideB elements between stored rows of b
 * @param strideOut elements between rows of the result
 * @param input type of a and b
 * @param output type of the result; sums are fp32 (fp64 for F64), rounded once
 * @param accumulate the product is added to the result (output F32 or F64 only): one addition of
 *     the finished sum
 * @param bias a vector (N) of type {@code input} is added to every row before rounding
 */
public record MatmulShape(
        int m,
        int n,
        int k,
        boolean transposeA,
        boolean transposeB,
        int strideA,
        int strideB,
        int strideOut,
        DType input,
        DType output,
        boolean accumulate,
        boolean bias) {

    public MatmulShape {
        if (m < 1 || n < 1 || k < 1) {
            throw new IllegalArgumentException("product of " + m + " x " + n + " x " + k);
        }
        if (strideA < (transposeA ? m : k) || strideB < (transposeB ? k : n) || strideOut < n) {
            throw new IllegalArgumentException("strides " + strideA + ", " + strideB + ", "
                    + strideOut + " are shorter than the rows of " + m + " x " + n + " x " + k);
        }
        if (accumulate && output.bytes() == 2) {
            throw new IllegalArgumentException(
                    "a product accumulates into fp32, not into " + output);
        }
    }

    /** {@code out (M, N) = x (M, K) * weight (N, K)^T}: a linear layer's forward product. */
    public static MatmulShape forward(int m, int n, int k, DType input, DType output, boolean bias) {
        return new MatmulShape(m, n, k, false, true, k, k, n, input, output, false, bias);
    }

    /** {@code dx (M, K) = dy (M, N) * weight (N, K)}: the gradient of a layer's input. */
    public static MatmulShape inputGradient(int m, int n, int k, DType input, DType output) {
        return new MatmulShape(m, k, n, false, false, n, k, k, input, output, false, false);
    }

    /** {@code dw (N, K) = dy (M, N)^T * x (M, K)}: the gradient of a layer's weight, over M tokens. */
    public static MatmulShape weightGradient(
            int m, int n, int k, DType input, DType output, boolean accumulate) {
        return new MatmulShape(n, k, m, true, false, n, k, k, input, output, accumulate, false);
    }

    /** The same product, added to the result. */
    public MatmulShape accumulating() {
        return new MatmulShape(m, n, k, transposeA, transposeB, strideA, strideB, strideOut, input,
                output, true, bias);
    }

    /** All that the shape is, for people and for lists: equal for equal shapes alone. */
    public String inWords() {
        StringBuilder text = new StringBuilder();
        text.append(m).append(" x ").append(n).append(" x ").append(k);
        text.append(transposeA ? ", a transposed" : "").append(transposeB ? ", b transposed" : "");
        if (strideA != (transposeA ? m : k) || strideB != (transposeB ? k : n) || strideOut != n) {
            text.append(", rows of ").append(strideA).append(", ").append(strideB)
                    .append(" and ").append(strideOut);
        }
        text.append(", ").append(input).append(" to ").append(output);
        return text.append(accumulate ? ", added" : "").append(bias ? ", with bias" : "").toString();
    }

    /** Multiplications and additions. */
    public long flops() {
        return 2L * m * n * k;
    }
}
