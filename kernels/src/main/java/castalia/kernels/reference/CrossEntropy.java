package castalia.kernels.reference;

import static castalia.kernels.reference.Elements.get;
import static castalia.kernels.reference.Elements.numbers;
import static castalia.kernels.reference.Elements.set;
import static castalia.kernels.reference.Elements.token;
import static castalia.kernels.reference.Elements.tokens;

import castalia.kernels.Buffer;

/** Softmax cross-entropy of logits (R, V) that may be cut into slices of the vocabulary. */
final class CrossEntropy {

    private CrossEntropy() {}

    /** logits (R, V) become exp(logit - max); max, sum and, of labels in this slice, target (R). */
    static void softmaxPartial(Buffer logits, Buffer max, Buffer sum, Buffer target, Buffer labels,
            int first, int rows, int vocabulary) {
        numbers("logits", logits, (long) rows * vocabulary);
        numbers("max", max, rows);
        numbers("sum", sum, rows);
        numbers("target", target, rows);
        tokens("labels", labels, rows);
        for (int r = 0; r < rows; r++) {
            long row = (long) r * vocabulary;
            long label = (long) token(labels, r) - first;
            if (label >= 0 && label < vocabulary) {
                set(target, r, get(logits, row + label));
            }
            double largest = Double.NEGATIVE_INFINITY;
            for (int v = 0; v < vocabulary; v++) {
                largest = Math.max(largest, get(logits, row + v));
            }
            double total = 0;
            for (int v = 0; v < vocabulary; v++) {
                double exponential = StrictMath.exp(get(logits, row + v) - largest);
                total += exponential;
                set(logits, row + v, exponential);
            }
            set(max, r, largest);
            set(sum, r, total);
        }
    }

    /** factor[s] (R) = exp(max_s - max) / sum over all slices; loss (1) is the sum of row losses. */
    static void softmaxJoin(Buffer loss, Buffer[] factor, Buffer[] max, Buffer[] sum,
            Buffer target, int rows) {
        int slices = max.length;
        if (slices == 0 || factor.length != slices || sum.length != slices) {
            throw new IllegalArgumentException("slices: " + factor.length + " factors, " + slices
                    + " maxima, " + sum.length + " sums");
        }
        for (int s = 0; s < slices; s++) {
            numbers("factor " + s, factor[s], rows);
            numbers("max " + s, max[s], rows);
            numbers("sum " + s, sum[s], rows);
        }
        numbers("target", target, rows);
        numbers("loss", loss, 1);
        double all = 0;
        for (int r = 0; r < rows; r++) {
            double largest = Double.NEGATIVE_INFINITY;
            for (int s = 0; s < slices; s++) {
                largest = Math.max(largest, get(max[s], r));
            }
            double total = 0;
            for (int s = 0; s < slices; s++) {
                total += StrictMath.exp(get(max[s], r) - largest) * get(sum[s], r);
            }
            for (int s = 0; s < slices; s++) {
                set(factor[s], r, StrictMath.exp(get(max[s], r) - largest) / total);
            }
            all += StrictMath.log(total) + largest - get(target, r);
        }
        set(loss, 0, all);
    }

    /** dLogits (R, V) = (exponentials * factor - [column is the label]) * scale. */
    static void softmaxGradient(Buffer dLogits, Buffer exponentials, Buffer max, Buffer factor,
            Buffer labels, float scale, int first, int rows, int vocabulary) {
        numbers("dLogits", dLogits, (long) rows * vocabulary);
        numbers("exponentials", exponentials, (long) rows * vocabulary);
        numbers("max", max, rows);
        numbers("factor", factor, rows);
        tokens("labels", labels, rows);
        for (int r = 0; r < rows; r++) {
            long label = (long) token(labels, r) - first;
            for (int v = 0; v < vocabulary; v++) {
                long i = (long) r * vocabulary + v;
                double probability = get(exponentials, i) * get(factor, r);
                set(dLogits, i, (probability - (v == label ? 1 : 0)) * scale);
            }
        }
    }
}
