package castalia.deploy.configuration;

import java.util.Map;

/** A change of the training data on a range of steps, as the configuration says it. */
public sealed interface DataTransform {
    /** First step whose batch is changed. */
    long fromStep();

    /** The step after the last one. */
    long toStep();

    /**
     * Whole words are replaced.
     *
     * @param words word to word
     */
    record Words(long fromStep, long toStep, Map<String, String> words) implements DataTransform {
        public Words {
            words = Map.copyOf(words);
        }
    }

    /**
     * Token ids are replaced.
     *
     * @param tokens id to id
     */
    record Tokens(long fromStep, long toStep, Map<Integer, Integer> tokens)
            implements DataTransform {
        public Tokens {
            tokens = Map.copyOf(tokens);
        }
    }
}
