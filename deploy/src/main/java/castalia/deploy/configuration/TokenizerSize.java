package castalia.deploy.configuration;

import java.util.Optional;

/** Finds out how many tokens a tokenizer has. */
@FunctionalInterface
public interface TokenizerSize {

    /**
     * The vocabulary before padding.
     *
     * @param tokenizerFile value of vocab-file, as written; empty if the configuration has none
     * @throws IllegalArgumentException with a line for the user, if it cannot be found out
     */
    int of(Optional<String> tokenizerFile);

    /** Knows no tokenizer: a configuration must then say {@code castalia: vocabulary}. */
    static TokenizerSize unknown() {
        return _ -> {
            throw new IllegalArgumentException("the size of the vocabulary is not known; add"
                    + " vocab-file (a tokenizer.json) or castalia: vocabulary");
        };
    }
}
