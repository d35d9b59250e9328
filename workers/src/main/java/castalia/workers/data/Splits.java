package castalia.workers.data;

/**
 * GPT-NeoX's arithmetic around data sets: splitting one into train, validation and test parts, and
 * the number of samples it asks an order for.
 *
 * <p>Source: GPT-NeoX v1.0, {@code megatron/data/data_utils.py}.
 */
public final class Splits {
    /** GPT-NeoX asks for half a percent more samples where data sets are given as lists. */
    private static final double MARGIN = 1.005;

    private Splits() {}

    /** The parts of a split: documents [train, valid), and so on, half-open. */
    public record Parts(long valid, long test, long end) {
        public Parts {
            if (valid < 0 || test < valid || end < test) {
                throw new DataException("split boundaries 0, " + valid + ", " + test + ", " + end
                        + " run backwards; use other proportions or more documents");
            }
        }
    }

    /**
     * Splits {@code documents} by a string such as {@code "969, 30, 1"}: proportions of train,
     * validation and test, separated by commas or slashes; missing ones are 0.
     *
     * @throws DataException if the string is not a split
     */
    public static Parts parse(String split, long documents) {
        String separator = split.contains(",") ? "," : "/";
        String[] words = split.split(separator, -1);
        double[] weights = new double[3];
        double sum = 0;
        for (int i = 0; i < words.length; i++) {
            double weight = weight(split, words[i]);
            if (i < weights.length) {
                weights[i] = weight;
                sum += weight;
            }
        }
        if (!(sum > 0)) {
            throw new DataException("split '" + split + "': the proportions add up to nothing;"
                    + " write for example '969, 30, 1'");
        }
        long[] ends = new long[3];
        long at = 0;
        for (int i = 0; i < ends.length; i++) {
            at += (long) Math.rint(weights[i] / sum * documents);
            ends[i] = at;
        }
        long difference = at - documents;
        return new Parts(ends[0] - difference, ends[1] - difference, ends[2] - difference);
    }

    private static double weight(String split, String word) {
        try {
            double weight = Double.parseDouble(word.strip());
            if (weight >= 0 && Double.isFinite(weight)) {
                return weight;
            }
        } catch (NumberFormatException e) {
            throw new DataException("split '" + split + "': '" + word.strip() + "' is not a number;"
                    + " write for example '969, 30, 1'", e);
        }
        throw new DataException("split '" + split + "': '" + word.strip() + "' is not a"
                + " proportion; write for example '969, 30, 1'");
    }

    /** Training sequences of a run: one global batch per step. */
    public static long trainSequences(long steps, long globalBatch) {
        return Math.multiplyExact(steps, globalBatch);
    }

    /** Validation sequences of a run that validates every {@code interval} steps and at the end. */
    public static long validSequences(
            long steps, long interval, long batches, long globalBatch) {
        long times = steps / interval + 1;
        return Math.multiplyExact(Math.multiplyExact(times, batches), globalBatch);
    }

    /**
     * The samples to request for a data set given by path in a list ({@code train-data-paths});
     * with a single {@code data-path} and a split string the sequences are requested as they are.
     *
     * @param share the weight of this data set divided by the sum of all weights
     */
    public static long requested(long sequences, double share) {
        return (long) Math.ceil(sequences * share * MARGIN);
    }
}
