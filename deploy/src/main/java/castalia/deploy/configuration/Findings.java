package castalia.deploy.configuration;

import castalia.protocol.specification.Problems;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.Set;

/** Collects findings about one file, each once, and hands them on in the order of its lines. */
final class Findings {

    /** Stands for "the file as a whole"; sorted after the lines. */
    static final int NO_LINE = Integer.MAX_VALUE;

    private final String file;
    private final Set<Finding> findings = new LinkedHashSet<>();
    private int errors;

    private record Finding(int line, String where, String message, boolean error) {}

    Findings(String file) {
        this.file = file;
    }

    void error(int line, String key, String message) {
        errors++;
        findings.add(new Finding(line, where(line, key), message, true));
    }

    void warning(int line, String key, String message) {
        findings.add(new Finding(line, where(line, key), message, false));
    }

    /** Number of errors so far. */
    int errors() {
        return errors;
    }

    void handOver(Problems problems) {
        findings.stream().sorted(Comparator.comparingInt(Finding::line)).forEach(f -> {
            if (f.error()) {
                problems.error(f.where(), f.message());
            } else {
                problems.warning(f.where(), f.message());
            }
        });
    }

    private String where(int line, String key) {
        String place = line == NO_LINE ? file : file + ":" + line;
        return key.isEmpty() ? place : place + ": " + key;
    }
}
