package castalia.deploy.configuration;

import castalia.deploy.configuration.YamlValue.Pair;
import castalia.deploy.configuration.YamlValue.Mapping;
import castalia.deploy.configuration.YamlValue.Scalar;
import castalia.deploy.configuration.YamlValue.Sequence;
import castalia.deploy.configuration.YamlValue.ScalarType;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;

/**
 * One block of keys under reading. Keys are compared with {@code -} for {@code _}. A value of the
 * wrong type is recorded as an error and read as the fallback; {@code null} reads as absent.
 */
final class Settings {

    private final Findings findings;
    private final String prefix;
    private final Map<String, Pair> entries = new LinkedHashMap<>();
    private final Set<String> asked = new TreeSet<>();

    Settings(Findings findings, String prefix, Mapping mapping) {
        this.findings = findings;
        this.prefix = prefix;
        for (Pair entry : mapping.entries()) {
            Pair first = entries.putIfAbsent(canonical(entry.key()), entry);
            if (first != null) {
                findings.error(entry.line(), prefix + entry.key(),
                        "stands in line " + first.line() + " already; remove one of them");
            }
        }
    }

    /** The spelling under which a key is looked up. */
    static String canonical(String key) {
        return key.replace('_', '-');
    }

    /** Whether the key is there with a value. */
    boolean has(String key) {
        return entry(key).isPresent();
    }

    /** All keys that were looked up. */
    Set<String> asked() {
        return Set.copyOf(asked);
    }

    /** The entries nobody looked up, in the order of the file. */
    List<Pair> unasked() {
        return entries.entrySet().stream()
                .filter(entry -> !asked.contains(entry.getKey()))
                .map(Map.Entry::getValue)
                .toList();
    }

    void error(String key, String message) {
        findings.error(line(key), written(key), message);
    }

    void warning(String key, String message) {
        findings.warning(line(key), written(key), message);
    }

    private int line(String key) {
        Pair entry = entries.get(key);
        return entry == null ? Findings.NO_LINE : entry.line();
    }

    private String written(String key) {
        Pair entry = entries.get(key);
        return prefix + (entry == null ? key : entry.key());
    }

    private Optional<Pair> entry(String key) {
        asked.add(key);
        return Optional.ofNullable(entries.get(key)).filter(entry ->
                !(entry.value() instanceof Scalar scalar && scalar.type() == ScalarType.NULL));
    }

    private void missing(String key) {
        error(key, "is missing; add it");
    }

    /** A whole number; 1 with an error where it is missing or wrong. */
    int requiredInteger(String key) {
        if (!has(key)) {
            missing(key);
        }
        return integer(key, 1);
    }

    int integer(String key, int fallback) {
        long value = longInteger(key, fallback);
        if (value != (int) value) {
            error(key, value + " is too large");
            return fallback;
        }
        return (int) value;
    }

    long longInteger(String key, long fallback) {
        return scalar(key, "a whole number", Settings::parseInteger).orElse(fallback);
    }

    /** A finite number; 1 with an error where it is missing or wrong. */
    double requiredNumber(String key) {
        if (!has(key)) {
            missing(key);
        }
        return number(key, 1);
    }

    double number(String key, double fallback) {
        return scalar(key, "a number", Settings::parseNumber).orElse(fallback);
    }

    boolean flag(String key, boolean fallback) {
        return scalar(key, "true or false", scalar -> scalar.type() == ScalarType.BOOLEAN
                        ? Optional.of(Boolean.parseBoolean(scalar.text()))
                        : Optional.empty())
                .orElse(fallback);
    }

    Optional<String> text(String key) {
        return scalar(key, "text", Settings::parseText);
    }

    /** One of several words; the fallback, and an error, for any other. */
    String word(String key, String fallback, List<String> allowed) {
        Optional<String> value = text(key);
        if (value.isPresent() && !allowed.contains(value.get())) {
            error(key, "must be " + String.join(" or ", allowed) + ", not '" + value.get() + "'");
            return fallback;
        }
        return value.orElse(fallback);
    }

    List<String> texts(String key) {
        return list(key, "texts", Settings::parseText);
    }

    List<Long> integers(String key) {
        return list(key, "whole numbers", Settings::parseInteger);
    }

    List<Double> numbers(String key) {
        return list(key, "numbers", Settings::parseNumber);
    }

    /** The value as it stands in the file. */
    Optional<YamlValue> value(String key) {
        return entry(key).map(Pair::value);
    }

    /** A block of keys inside this one. */
    Optional<Settings> section(String key) {
        Optional<YamlValue> value = value(key);
        if (value.isEmpty()) {
            return Optional.empty();
        }
        if (value.get() instanceof Mapping mapping) {
            return Optional.of(new Settings(findings, written(key) + ": ", mapping));
        }
        error(key, "must be a block of keys, not " + value.get().words());
        return Optional.empty();
    }

    /** A list of blocks of keys; none where it is absent, or wrong. */
    List<Settings> sections(String key) {
        Optional<YamlValue> value = value(key);
        if (value.isEmpty()) {
            return List.of();
        }
        if (!(value.get() instanceof Sequence sequence)
                || !sequence.items().stream().allMatch(Mapping.class::isInstance)) {
            error(key, "must be a list of blocks of keys, not " + value.get().words());
            return List.of();
        }
        List<Settings> blocks = new ArrayList<>();
        for (YamlValue item : sequence.items()) {
            blocks.add(new Settings(findings, written(key) + " " + (blocks.size() + 1) + ": ",
                    (Mapping) item));
        }
        return blocks;
    }

    private <T> Optional<T> scalar(
            String key, String what, Function<Scalar, Optional<T>> parse) {
        Optional<Pair> entry = entry(key);
        if (entry.isEmpty()) {
            return Optional.empty();
        }
        Optional<T> value = entry.get().value() instanceof Scalar scalar
                ? parse.apply(scalar)
                : Optional.empty();
        if (value.isEmpty()) {
            error(key, "must be " + what + ", not " + entry.get().value().words());
        }
        return value;
    }

    private <T> List<T> list(String key, String what, Function<Scalar, Optional<T>> parse) {
        Optional<Pair> entry = entry(key);
        if (entry.isEmpty()) {
            return List.of();
        }
        if (!(entry.get().value() instanceof Sequence sequence)) {
            error(key, "must be a list of " + what + ", not " + entry.get().value().words());
            return List.of();
        }
        List<T> values = new ArrayList<>();
        for (YamlValue item : sequence.items()) {
            Optional<T> value =
                    item instanceof Scalar scalar ? parse.apply(scalar) : Optional.empty();
            if (value.isEmpty()) {
                error(key, "must be a list of " + what + "; it contains " + item.words());
                return List.of();
            }
            values.add(value.get());
        }
        return values;
    }

    private static Optional<Long> parseInteger(Scalar scalar) {
        try {
            return scalar.type() == ScalarType.INTEGER
                    ? Optional.of(Long.parseLong(scalar.text()))
                    : Optional.empty();
        } catch (NumberFormatException e) {
            return Optional.empty();
        }
    }

    private static Optional<Double> parseNumber(Scalar scalar) {
        if (scalar.type() != ScalarType.INTEGER && scalar.type() != ScalarType.NUMBER) {
            return Optional.empty();
        }
        try {
            double value = Double.parseDouble(scalar.text());
            return Double.isFinite(value) ? Optional.of(value) : Optional.empty();
        } catch (NumberFormatException e) {
            return Optional.empty();
        }
    }

    private static Optional<String> parseText(Scalar scalar) {
        return scalar.type() == ScalarType.TEXT && !scalar.text().isBlank()
                ? Optional.of(scalar.text())
                : Optional.empty();
    }
}
