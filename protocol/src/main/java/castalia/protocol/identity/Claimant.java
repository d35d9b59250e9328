package castalia.protocol.identity;

import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Who claims a term: what its record says, for people and for the other candidates.
 *
 * @param incarnation the process's life
 * @param node name of its node
 * @param host address at which it answers heartbeats
 * @param port port at which it answers heartbeats
 * @param process its operating system process, in the words of the run folder's lock
 */
public record Claimant(
        Incarnation incarnation, String node, String host, int port, String process) {

    private static final int LONGEST = 255;
    private static final int LAST_PORT = 65_535;

    public Claimant {
        for (String text : List.of(node, host, process)) {
            if (text.isBlank() || text.length() > LONGEST || text.contains("\n")) {
                throw new IllegalArgumentException("'" + text + "' in a claim");
            }
        }
        if (port < 1 || port > LAST_PORT) {
            throw new IllegalArgumentException("port " + port);
        }
    }

    /** As text, one {@code key=value} a line. */
    public String text() {
        return "node=" + node + "\nincarnation=" + incarnation + "\nhost=" + host + "\nport="
                + port + "\nprocess=" + process + "\n";
    }

    /** Reads what {@link #text} wrote; empty if it is anything else. */
    public static Optional<Claimant> parse(String text) {
        Map<String, String> all = new HashMap<>();
        text.lines().forEach(line -> {
            int equals = line.indexOf('=');
            if (equals > 0) {
                all.put(line.substring(0, equals), line.substring(equals + 1));
            }
        });
        try {
            return Optional.of(new Claimant(
                    new Incarnation(Long.parseUnsignedLong(all.getOrDefault("incarnation", ""), 16)),
                    all.getOrDefault("node", ""), all.getOrDefault("host", ""),
                    Integer.parseInt(all.getOrDefault("port", "")),
                    all.getOrDefault("process", "")));
        } catch (IllegalArgumentException e) {
            return Optional.empty();
        }
    }
}
