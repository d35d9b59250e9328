package castalia.kernels.reference;

import static castalia.kernels.reference.Elements.get;
import static castalia.kernels.reference.Elements.getFloat;
import static castalia.kernels.reference.Elements.numbers;
import static castalia.kernels.reference.Elements.set;

import castalia.kernels.Buffer;
import castalia.kernels.DType;
import java.util.Arrays;

/**
 * Rotary positions and causal attention over qkv (B, S, H, 3, D). Holds the sums of one head, grown
 * to the largest shape seen.
 */
final class Attention {

    private double[] scores = new double[0];
    private double[] sums = new double[0];

    /**
     * Rotates the pairs (i, i + rotary/2) of Q and K by their position's angle. F32 throughout,
     * each product rounded, then the sum; F64 for F64 buffers.
     */
    static void rotary(Buffer qkv, Buffer table, boolean inverse, int batch, int sequence,
            int heads, int dimension, int rotary) {
        numbers("qkv", qkv, 3L * batch * sequence * heads * dimension);
        numbers("table", table, (long) sequence * rotary);
        if (rotary < 0 || rotary > dimension || rotary % 2 != 0) {
            throw new IllegalArgumentException(
                    "rotary " + rotary + " is not an even part of dimension " + dimension);
        }
        int half = rotary / 2;
        for (long token = 0; token < (long) batch * sequence; token++) {
            long position = token % sequence;
            for (int h = 0; h < heads; h++) {
                for (int part = 0; part < 2; part++) { // 0 is Q, 1 is K
                    long vector = ((token * heads + h) * 3 + part) * dimension;
                    for (int i = 0; i < half; i++) {
                        double cos = get(table, position * rotary + i);
                        double sin = get(table, position * rotary + half + i);
                        rotate(qkv, vector + i, vector + i + half, cos, inverse ? -sin : sin);
                    }
                }
            }
        }
    }

    private static void rotate(Buffer qkv, long first, long second, double cos, double sin) {
        if (qkv.type() == DType.F64) {
            double x1 = get(qkv, first);
            double x2 = get(qkv, second);
            set(qkv, first, x1 * cos - x2 * sin);
            set(qkv, second, x2 * cos + x1 * sin);
        } else {
            float x1 = getFloat(qkv, first);
            float x2 = getFloat(qkv, second);
            set(qkv, first, x1 * (float) cos - x2 * (float) sin);
            set(qkv, second, x2 * (float) cos + x1 * (float) sin);
        }
    }

    /** out (B, S, H, D) and lse (B, H, S): softmax(Q K^T / sqrt(D)) V up to the own position. */
    void attention(Buffer out, Buffer lse, Buffer qkv, int batch, int sequence, int heads,
            int dimension) {
        long vectors = (long) batch * sequence * heads;
        numbers("out", out, vectors * dimension);
        numbers("lse", lse, vectors);
        numbers("qkv", qkv, 3 * vectors * dimension);
        reserve(sequence, 0);
        for (int b = 0; b < batch; b++) {
            for (int h = 0; h < heads; h++) {
                for (int i = 0; i < sequence; i++) {
                    long query = vector(b, i, h, sequence, heads) * 3 * dimension;
                    double max = Double.NEGATIVE_INFINITY;
                    for (int j = 0; j <= i; j++) {
                        scores[j] = score(qkv, query, b, j, h, sequence, heads, dimension);
                        max = Math.max(max, scores[j]);
                    }
                    double sum = 0;
                    for (int j = 0; j <= i; j++) {
                        scores[j] = StrictMath.exp(scores[j] - max);
                        sum += scores[j];
                    }
                    for (int d = 0; d < dimension; d++) {
                        double mixed = 0;
                        for (int j = 0; j <= i; j++) {
                            long value = (vector(b, j, h, sequence, heads) * 3 + 2) * dimension;
                            mixed += scores[j] * get(qkv, value + d);
                        }
                        set(out, vector(b, i, h, sequence, heads) * dimension + d, mixed / sum);
                    }
                    set(lse, ((long) b * heads + h) * sequence + i, max + StrictMath.log(sum));
                }
            }
        }
    }

    /** dQkv (B, S, H, 3, D): head by head, summed in F64 and rounded at the end. */
    void attentionBackward(Buffer dQkv, Buffer dOut, Buffer out, Buffer lse, Buffer qkv, int batch,
            int sequence, int heads, int dimension) {
        long vectors = (long) batch * sequence * heads;
        numbers("dQkv", dQkv, 3 * vectors * dimension);
        numbers("dOut", dOut, vectors * dimension);
        numbers("out", out, vectors * dimension);
        numbers("lse", lse, vectors);
        numbers("qkv", qkv, 3 * vectors * dimension);
        reserve(sequence, 3 * sequence * dimension);
        for (int b = 0; b < batch; b++) {
            for (int h = 0; h < heads; h++) {
                Arrays.fill(sums, 0, 3 * sequence * dimension, 0);
                for (int i = 0; i < sequence; i++) {
                    double logSum = get(lse, ((long) b * heads + h) * sequence + i);
                    queryBackward(dOut, out, logSum, qkv, b, i, h, sequence, heads, dimension);
                }
                for (int i = 0; i < sequence; i++) {
                    long first = vector(b, i, h, sequence, heads) * 3 * dimension;
                    for (int d = 0; d < 3 * dimension; d++) {
                        set(dQkv, first + d, sums[i * 3 * dimension + d]);
                    }
                }
            }
        }
    }

    /** Adds what query i contributes to the sums (S, 3, D) of its head. */
    private void queryBackward(Buffer dOut, Buffer out, double logSum, Buffer qkv, int b, int i,
            int h, int sequence, int heads, int dimension) {
        double scale = 1 / Math.sqrt(dimension);
        long query = vector(b, i, h, sequence, heads) * 3 * dimension;
        long output = vector(b, i, h, sequence, heads) * dimension;
        double correction = 0;
        for (int d = 0; d < dimension; d++) {
            correction += get(dOut, output + d) * get(out, output + d);
        }
        for (int j = 0; j <= i; j++) {
            long key = (vector(b, j, h, sequence, heads) * 3 + 1) * dimension;
            long value = key + dimension;
            double score = score(qkv, query, b, j, h, sequence, heads, dimension);
            double probability = StrictMath.exp(score - logSum);
            double dProbability = 0;
            for (int d = 0; d < dimension; d++) {
                dProbability += get(dOut, output + d) * get(qkv, value + d);
            }
            double dScore = probability * (dProbability - correction) * scale;
            int own = i * 3 * dimension;
            int other = j * 3 * dimension;
            for (int d = 0; d < dimension; d++) {
                sums[own + d] += dScore * get(qkv, key + d);
                sums[other + dimension + d] += dScore * get(qkv, query + d);
                sums[other + 2 * dimension + d] += probability * get(dOut, output + d);
            }
        }
    }

    private static double score(Buffer qkv, long query, int b, int j, int h, int sequence,
            int heads, int dimension) {
        long key = (vector(b, j, h, sequence, heads) * 3 + 1) * dimension;
        double sum = 0;
        for (int d = 0; d < dimension; d++) {
            sum += get(qkv, query + d) * get(qkv, key + d);
        }
        return sum / Math.sqrt(dimension);
    }

    /** Index of (b, position, h) in (B, S, H). */
    private static long vector(int b, int position, int h, int sequence, int heads) {
        return ((long) b * sequence + position) * heads + h;
    }

    private void reserve(int forScores, int forSums) {
        if (scores.length < forScores) {
            scores = new double[forScores];
        }
        if (sums.length < forSums) {
            sums = new double[forSums];
        }
    }
}
