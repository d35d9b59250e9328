package castalia.deploy.configuration;

import java.util.List;

/** A YAML document as a tree whose nodes know their lines. */
sealed interface YamlValue {

    /** Line in the file, from 1. */
    int line();

    /** The value in words, for error messages. */
    String words();

    /** Type of a scalar by YAML's core schema. */
    enum ScalarType {
        TEXT,
        INTEGER,
        NUMBER,
        BOOLEAN,
        NULL
    }

    /**
     * A single value.
     *
     * @param text as written, without quotes
     */
    record Scalar(ScalarType type, String text, int line) implements YamlValue {
        @Override
        public String words() {
            return type == ScalarType.TEXT ? "'" + shortened(text) + "'" : shortened(text);
        }
    }

    /** A list. */
    record Sequence(List<YamlValue> items, int line) implements YamlValue {
        public Sequence {
            items = List.copyOf(items);
        }

        @Override
        public String words() {
            return "a list";
        }
    }

    /** Keys and values in the order of the file; keys may repeat. */
    record Mapping(List<Pair> entries, int line) implements YamlValue {
        public Mapping {
            entries = List.copyOf(entries);
        }

        @Override
        public String words() {
            return "a block of keys";
        }
    }

    /** One key, as written, with its line. */
    record Pair(String key, int line, YamlValue value) {}

    private static String shortened(String text) {
        return text.length() <= 60 ? text : text.substring(0, 57) + "...";
    }
}
