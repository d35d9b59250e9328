package castalia.deploy.configuration;

import java.util.List;
import java.util.Optional;

/** Where training data comes from, as the configuration says it. Paths are as written there. */
public sealed interface DataSource {

    /**
     * Token files by purpose (train-data-paths and so on), each named without its .bin or .idx.
     *
     * @param train files to train on; at least one
     * @param valid files to validate on; may be empty
     * @param test files to test on; may be empty
     */
    record Files(List<Weighted> train, List<Weighted> valid, List<Weighted> test)
            implements DataSource {
        public Files {
            train = List.copyOf(train);
            valid = List.copyOf(valid);
            test = List.copyOf(test);
            if (train.isEmpty()) {
                throw new IllegalArgumentException("train-data-paths is empty");
            }
        }
    }

    /** One token file and its share in a blend. */
    record Weighted(String path, double weight) {
        public Weighted {
            if (path.isBlank()) {
                throw new IllegalArgumentException("a data path is empty");
            }
            if (!(weight > 0) || !Double.isFinite(weight)) {
                throw new IllegalArgumentException(
                        "the weight " + weight + " of " + path + " must exceed 0");
            }
        }
    }

    /**
     * One token file, cut by documents (data-path and split).
     *
     * @param split proportions of training, validation and test, for example "969, 30, 1"
     */
    record Split(String path, String split) implements DataSource {}

    /**
     * Token files whose sequences are the samples, in the order in which they are trained on
     * (castalia: data-order: preshuffled).
     *
     * @param train file to train on
     * @param valid file to validate on
     */
    record Preshuffled(String train, Optional<String> valid) implements DataSource {}

    /** Tokens made up from the seed: for measurements, not for models. */
    record Synthetic() implements DataSource {}

    /** The configuration names none; whoever needs data has to refuse it. */
    record Unspecified() implements DataSource {}
}
