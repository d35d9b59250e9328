package castalia.kernels;

/**
 * How far attention may be off. A score of D products is off by (D + 6) U times the sum of their
 * magnitudes, and an exponential by that much relatively. Where operands of a product are rounded
 * to BF16 or F16 (probabilities and their gradients may be), that rounding counts too.
 */
final class AttentionBounds {

    private static final double U = KernelSubject.U;

    /** Exponentials of about the smallest normal number may be taken as zero. */
    private static final double VANISHING = 2 * Float.MIN_NORMAL;

    private final double operand;

    /** What the rounding of a subnormal operand may add. */
    private final double tiny;

    private final double[] qkv;
    private final int batch;
    private final int sequence;
    private final int heads;
    private final int dimension;

    final double[] out;
    final double[] lse;

    AttentionBounds(DType type, double[] qkv, int batch, int sequence, int heads, int dimension) {
        this.operand = type.bytes() == 2 ? Values.roundoff(type) : 0;
        this.tiny = type == DType.F16 ? Values.subnormal(type) : 0;
        this.qkv = qkv;
        this.batch = batch;
        this.sequence = sequence;
        this.heads = heads;
        this.dimension = dimension;
        out = new double[batch * sequence * heads * dimension];
        lse = new double[batch * heads * sequence];
    }

    void forward() {
        double[] score = new double[sequence];
        for (int b = 0; b < batch; b++) {
            for (int h = 0; h < heads; h++) {
                for (int i = 0; i < sequence; i++) {
                    double worst = 0;
                    double max = Double.NEGATIVE_INFINITY;
                    for (int j = 0; j <= i; j++) {
                        score[j] = dot(qkv, at(b, i, h, 0), qkv, at(b, j, h, 1), false) * scale();
                        max = Math.max(max, score[j]);
                        worst = Math.max(worst, scoreError(b, i, j, h));
                    }
                    double sum = 0;
                    for (int j = 0; j <= i; j++) {
                        sum += Math.exp(score[j] - max);
                    }
                    double log = max + Math.log(sum);
                    lse[(b * heads + h) * sequence + i] = worst + (i + 8) * U + U * Math.abs(log);
                    double relative = Math.expm1(2 * worst) + (2 * i + 16) * U + operand;
                    for (int j = 0; j <= i; j++) {
                        double probability = Math.exp(score[j] - log);
                        for (int d = 0; d < dimension; d++) {
                            out[((b * sequence + i) * heads + h) * dimension + d] +=
                                    (relative * probability + tiny)
                                            * Math.abs(qkv[at(b, j, h, 2) + d]);
                        }
                    }
                }
            }
        }
    }

    /** Errors of dQkv, given the output and the logarithms of the sums it was computed with. */
    double[] backward(double[] dOut, double[] given, double[] lse) {
        double[] error = new double[qkv.length];
        for (int b = 0; b < batch; b++) {
            for (int h = 0; h < heads; h++) {
                for (int i = 0; i < sequence; i++) {
                    int output = ((b * sequence + i) * heads + h) * dimension;
                    double log = lse[(b * heads + h) * sequence + i];
                    double row = dot(dOut, output, given, output, true);
                    for (int j = 0; j <= i; j++) {
                        pair(error, dOut, output, log, row, b, h, i, j);
                    }
                }
            }
        }
        return error;
    }

    private void pair(double[] error, double[] dOut, int output, double log, double row, int b,
            int h, int i, int j) {
        int query = at(b, i, h, 0);
        int key = at(b, j, h, 1);
        int value = at(b, j, h, 2);
        double score = dot(qkv, query, qkv, key, false) * scale();
        double probability = Math.exp(score - log);
        double relative = Math.expm1(scoreError(b, i, j, h) + 2 * U * Math.abs(log)) + 8 * U;
        double gradient = dot(dOut, output, qkv, value, true);
        double magnitude = gradient + row;
        double off = (probability * (relative + (dimension + 8) * U + 2 * operand + sequence * U)
                + VANISHING) * magnitude * scale() + tiny * (magnitude + 1) * scale();
        double offValue = probability * (relative + operand + (sequence + 4) * U) + VANISHING + tiny;
        for (int d = 0; d < dimension; d++) {
            error[query + d] += off * Math.abs(qkv[key + d]);
            error[key + d] += off * Math.abs(qkv[query + d]);
            error[value + d] += offValue * Math.abs(dOut[output + d]);
        }
    }

    private double scoreError(int b, int i, int j, int h) {
        return (dimension + 6) * U * scale()
                * dot(qkv, at(b, i, h, 0), qkv, at(b, j, h, 1), true);
    }

    private double scale() {
        return 1 / Math.sqrt(dimension);
    }

    private double dot(double[] x, int from, double[] y, int other, boolean magnitudes) {
        double sum = 0;
        for (int d = 0; d < dimension; d++) {
            double product = x[from + d] * y[other + d];
            sum += magnitudes ? Math.abs(product) : product;
        }
        return sum;
    }

    private int at(int b, int position, int h, int part) {
        return (((b * sequence + position) * heads + h) * 3 + part) * dimension;
    }
}
