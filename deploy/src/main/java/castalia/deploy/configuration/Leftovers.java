package castalia.deploy.configuration;

import castalia.deploy.configuration.NeoxKeys.Fixed;
import castalia.deploy.configuration.YamlValue.Pair;
import castalia.deploy.configuration.YamlValue.Scalar;
import castalia.deploy.configuration.YamlValue.ScalarType;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;

/** Judges the keys that nothing reads: harmless, bound to one value, or refused by name. */
final class Leftovers {

    private static final int LONGEST_KEY = 64;

    /** Unknown keys beyond these are counted, not listed. */
    private static final int MOST = 100;

    private Leftovers() {}

    /** Refuses every key of a block that nothing looked up. */
    static void refuse(Settings settings) {
        unknown(settings, settings.unasked(), "is not a key of this block", settings.asked());
    }

    /** Judges the keys of the file's own level. */
    static void judge(Settings top) {
        List<Pair> unknown = new ArrayList<>();
        for (Pair entry : top.unasked()) {
            String key = Settings.canonical(entry.key());
            if (NeoxKeys.harmless(key).isPresent()) {
                continue;
            }
            Optional<Fixed> fixed = NeoxKeys.fixed(key);
            if (fixed.isPresent()) {
                requireAllowed(top, key, entry.value(), fixed.get());
            } else if (NeoxKeys.refused(key)) {
                top.error(key, "is a key of GPT-NeoX that is not supported; "
                        + NeoxKeys.instead(key).map(other -> "use " + other).orElse("remove it"));
            } else {
                unknown.add(entry);
            }
        }
        Set<String> known = new TreeSet<>(NeoxKeys.accepted());
        known.addAll(top.asked());
        unknown(top, unknown, "is unknown", known);
    }

    private static void unknown(
            Settings settings, List<Pair> entries, String verdict, Collection<String> known) {
        for (Pair entry : entries.subList(0, Math.min(entries.size(), MOST))) {
            String key = Settings.canonical(entry.key());
            settings.error(key, verdict + hint(key, known));
        }
        if (entries.size() > MOST) {
            settings.error(Settings.canonical(entries.get(MOST).key()), "and "
                    + (entries.size() - MOST - 1)
                    + " further keys are unknown; this does not seem to be a configuration");
        }
    }

    private static void requireAllowed(Settings top, String key, YamlValue value, Fixed fixed) {
        boolean none = value instanceof Scalar scalar && scalar.type() == ScalarType.NULL;
        boolean fits = value instanceof Scalar scalar
                && fixed.allowed().stream().anyMatch(allowed -> same(scalar, allowed));
        if (!none && !fits) {
            top.error(key, "must be " + String.join(" or ", fixed.allowed()) + ", not "
                    + value.words() + ": " + fixed.reason());
        }
    }

    private static boolean same(Scalar scalar, String allowed) {
        boolean number = scalar.type() == ScalarType.INTEGER || scalar.type() == ScalarType.NUMBER;
        if (number && allowed.matches("[0-9]+")) {
            try {
                return Double.parseDouble(scalar.text()) == Double.parseDouble(allowed);
            } catch (NumberFormatException e) {
                return false;
            }
        }
        return scalar.text().equalsIgnoreCase(allowed);
    }

    private static String hint(String key, Collection<String> known) {
        Optional<String> nearest =
                key.length() > LONGEST_KEY ? Optional.empty() : NearestKey.of(key, known);
        return nearest.map(near -> "; did you mean " + near + "?").orElse("; remove it");
    }
}
