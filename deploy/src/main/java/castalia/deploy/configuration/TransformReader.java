package castalia.deploy.configuration;

import castalia.deploy.configuration.YamlValue.Mapping;
import castalia.deploy.configuration.YamlValue.Pair;
import castalia.deploy.configuration.YamlValue.Scalar;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Reads {@code castalia: transforms}: a list of blocks, each with {@code from-step}, {@code
 * to-step} (default: the end of the run) and either {@code words} or {@code tokens}, a block of
 * what is replaced by what.
 */
final class TransformReader {
    static final String KEY = "transforms";

    private static final int MOST = 16;
    private static final int MOST_PAIRS = 10_000;

    private final Settings castalia;
    private final long trainSteps;
    private final boolean tokenizerKnown;

    TransformReader(Settings castalia, long trainSteps, boolean tokenizerKnown) {
        this.castalia = castalia;
        this.trainSteps = trainSteps;
        this.tokenizerKnown = tokenizerKnown;
    }

    /** The transforms in their order; what is wrong is recorded, and left out. */
    List<DataTransform> read() {
        List<DataTransform> transforms = new ArrayList<>();
        List<Settings> blocks = castalia.sections(KEY);
        if (blocks.size() > MOST) {
            castalia.error(KEY, "has " + blocks.size() + " blocks; at most " + MOST);
            return List.of();
        }
        for (int b = 0; b < blocks.size(); b++) {
            Settings block = blocks.get(b);
            if (!block.has("from-step")) {
                castalia.error(KEY, "block " + (b + 1) + " has no from-step, the first step whose"
                        + " batch is changed; add it");
            }
            if (!block.has("words") && !block.has("tokens")) {
                castalia.error(KEY, "block " + (b + 1) + " has neither words nor tokens; add what"
                        + " is replaced by what");
            } else {
                one(block).ifPresent(transforms::add);
            }
            Leftovers.refuse(block);
        }
        return transforms;
    }

    private Optional<DataTransform> one(Settings block) {
        long from = block.longInteger("from-step", 0);
        long to = block.longInteger("to-step", trainSteps);
        boolean words = block.has("words");
        if (words && block.has("tokens")) {
            block.error("tokens", "stands beside words; use one or the other");
            return Optional.empty();
        }
        if (from < 0 || to > trainSteps || from >= to) {
            block.error("from-step", "steps from " + from + " to " + to
                    + " are none of the run's " + trainSteps);
            return Optional.empty();
        }
        if (!words) {
            return tokens(block).map(map -> new DataTransform.Tokens(from, to, map));
        }
        if (!tokenizerKnown) {
            block.error("words", "needs vocab-file, the tokenizer the data was made with");
        }
        return texts(block, "words").map(map -> new DataTransform.Words(from, to, map));
    }

    private static Optional<Map<Integer, Integer>> tokens(Settings block) {
        Optional<Map<String, String>> texts = texts(block, "tokens");
        if (texts.isEmpty()) {
            return Optional.empty();
        }
        Map<Integer, Integer> tokens = new LinkedHashMap<>();
        for (Map.Entry<String, String> pair : texts.get().entrySet()) {
            if (!pair.getKey().matches("\\d{1,9}") || !pair.getValue().matches("\\d{1,9}")) {
                block.error("tokens", "must replace ids by ids, not '" + pair.getKey() + "' by '"
                        + pair.getValue() + "'");
                return Optional.empty();
            }
            if (tokens.put(Integer.valueOf(pair.getKey()), Integer.valueOf(pair.getValue()))
                    != null) {
                block.error("tokens", "replaces " + pair.getKey() + " twice");
                return Optional.empty();
            }
        }
        return Optional.of(tokens);
    }

    private static Optional<Map<String, String>> texts(Settings block, String key) {
        Optional<YamlValue> value = block.value(key);
        if (!(value.orElse(null) instanceof Mapping mapping) || mapping.entries().isEmpty()
                || mapping.entries().size() > MOST_PAIRS) {
            block.error(key, "must be a block of what is replaced by what, 1 to " + MOST_PAIRS
                    + " pairs");
            return Optional.empty();
        }
        Map<String, String> texts = new LinkedHashMap<>();
        for (Pair pair : mapping.entries()) {
            if (!(pair.value() instanceof Scalar scalar)) {
                block.error(key, "replaces " + pair.key() + " by " + pair.value().words());
                return Optional.empty();
            }
            if (texts.put(pair.key(), scalar.text()) != null) {
                block.error(key, "replaces " + pair.key() + " twice");
                return Optional.empty();
            }
        }
        return Optional.of(texts);
    }
}
