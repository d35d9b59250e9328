package castalia.workers.generation;

/**
 * How the next token is chosen. The same settings, weights and prompt give the same text.
 *
 * @param temperature divides the logits; 0 takes the most likely token
 * @param topK only the k most likely tokens are considered; 0 for all
 * @param seed of the draws
 */
public record Sampling(double temperature, int topK, long seed) {

    public Sampling {
        if (!(temperature >= 0) || !Double.isFinite(temperature)) {
            throw new IllegalArgumentException(
                    "temperature " + temperature + " must be 0 or more");
        }
        if (topK < 0) {
            throw new IllegalArgumentException("top-k " + topK + " must be 0 or more");
        }
    }

    /** Always the most likely token. */
    public static Sampling greedy() {
        return new Sampling(0, 0, 0);
    }

    /**
     * Chooses a token.
     *
     * @param logits one per token
     * @param allowed tokens considered are below this id: rows behind it pad the vocabulary
     * @param position number of the draw
     */
    int choose(float[] logits, int allowed, long position) {
        if (temperature == 0) {
            return best(logits, allowed);
        }
        float least = topK == 0 || topK >= allowed
                ? Float.NEGATIVE_INFINITY
                : kthLargest(logits, allowed);
        double max = logits[best(logits, allowed)];
        double[] weights = new double[allowed];
        double total = 0;
        for (int i = 0; i < allowed; i++) {
            weights[i] =
                    logits[i] >= least ? StrictMath.exp((logits[i] - max) / temperature) : 0;
            total += weights[i];
        }
        double left = uniform(position) * total;
        int last = 0;
        for (int i = 0; i < allowed; i++) {
            if (weights[i] > 0) {
                last = i;
                left -= weights[i];
                if (left < 0) {
                    return i;
                }
            }
        }
        return last;
    }

    private static int best(float[] logits, int allowed) {
        int best = 0;
        for (int i = 1; i < allowed; i++) {
            if (logits[i] > logits[best]) {
                best = i;
            }
        }
        return best;
    }

    private float kthLargest(float[] logits, int allowed) {
        float[] sorted = java.util.Arrays.copyOf(logits, allowed);
        java.util.Arrays.sort(sorted);
        return sorted[allowed - topK];
    }

    private double uniform(long position) {
        long z = seed + 0x9E3779B97F4A7C15L * (position + 1);
        z = (z ^ (z >>> 30)) * 0xBF58476D1CE4E5B9L;
        z = (z ^ (z >>> 27)) * 0x94D049BB133111EBL;
        return ((z ^ (z >>> 31)) >>> 11) * 0x1p-53;
    }
}
