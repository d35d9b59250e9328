package castalia.protocol.specification;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * What the training data is, as ordered pairs: its kind, the SHA-256 and token count of each file,
 * the seed and kind of its order. Two runs with equal manifests read equal tokens in equal order.
 */
public record DataManifest(List<Entry> entries) {

    /** Most pairs of a manifest. */
    public static final int LARGEST = 1024;

    /** Most characters of a name or a value. */
    public static final int LONGEST = 256;

    public DataManifest {
        entries = List.copyOf(entries);
        if (entries.isEmpty() || entries.size() > LARGEST) {
            throw new IllegalArgumentException("a data manifest of " + entries.size()
                    + " entries; it must have 1 to " + LARGEST);
        }
        Set<String> names = new HashSet<>();
        for (Entry entry : entries) {
            if (!names.add(entry.name())) {
                throw new IllegalArgumentException(
                        "the data manifest names '" + entry.name() + "' twice");
            }
        }
    }

    /**
     * One fact.
     *
     * @param name what, for example {@code train.0.bin.sha256}; no {@code =}
     * @param value its value
     */
    public record Entry(String name, String value) {
        public Entry {
            Checks.text("a name in the data manifest", name, LONGEST);
            Checks.text("the value of " + name + " in the data manifest", value, LONGEST);
            if (name.indexOf('=') >= 0) {
                throw new IllegalArgumentException(
                        "the name '" + name + "' in the data manifest contains '='");
            }
        }

        @Override
        public String toString() {
            return name + "=" + value;
        }
    }

    /** A manifest of one kind without further facts, to be extended by {@link #with}. */
    public static DataManifest ofKind(String kind) {
        return new DataManifest(List.of(new Entry("kind", kind)));
    }

    /** This manifest with one more pair at its end. */
    public DataManifest with(String name, String value) {
        List<Entry> longer = new ArrayList<>(entries);
        longer.add(new Entry(name, value));
        return new DataManifest(longer);
    }

    /** The value of {@code name}. */
    public Optional<String> value(String name) {
        return entries.stream().filter(e -> e.name().equals(name)).map(Entry::value).findFirst();
    }
}
