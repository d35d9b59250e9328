package castalia.deploy.cluster;

import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * What a process must know to take part in a run; every path is absolute and the same on every
 * node.
 *
 * @param config the GPT-NeoX configuration
 * @param run the run's folder
 * @param initial folder of first weights
 * @param ranks ranks wanted at first
 * @param working folder that relative paths of the configuration start at
 */
public record RunJob(
        Path config, Path run, Optional<Path> initial, int ranks, Path working) {

    private static final String BETWEEN = "\n";

    /** As text for other processes: one {@code key=value} a line. */
    public String text() {
        Map<String, String> all = new LinkedHashMap<>();
        all.put("config", config.toString());
        all.put("run", run.toString());
        initial.ifPresent(folder -> all.put("init", folder.toString()));
        all.put("ranks", Integer.toString(ranks));
        all.put("working", working.toString());
        List<String> lines = new ArrayList<>();
        all.forEach((key, value) -> lines.add(key + "=" + value));
        return String.join(BETWEEN, lines);
    }

    /**
     * Reads what {@link #text} wrote.
     *
     * @throws IllegalArgumentException if it is anything else
     */
    public static RunJob parse(String text) {
        Map<String, String> all = new LinkedHashMap<>();
        for (String line : text.split(BETWEEN, -1)) {
            int equals = line.indexOf('=');
            if (equals < 1) {
                throw new IllegalArgumentException("'" + line + "' describes no job");
            }
            all.put(line.substring(0, equals), line.substring(equals + 1));
        }
        try {
            return new RunJob(Path.of(value(all, "config")), Path.of(value(all, "run")),
                    Optional.ofNullable(all.get("init")).map(Path::of),
                    Integer.parseInt(value(all, "ranks")), Path.of(value(all, "working")));
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("'" + text + "' describes no job", e);
        }
    }

    private static String value(Map<String, String> all, String key) {
        String value = all.get(key);
        if (value == null) {
            throw new IllegalArgumentException("a job without " + key);
        }
        return value;
    }
}
