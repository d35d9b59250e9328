package castalia.actors;

import castalia.actors.tls.Credential;
import java.util.List;
import java.util.function.Supplier;

/**
 * What one process is in the cluster.
 *
 * @param name for people; a node's name is unique in the cluster
 * @param kind what it does there
 * @param listen where it listens; port 0 for any that is free
 * @param seeds processes to join; empty to begin a cluster
 * @param eligible how many processes of the cluster may coordinate, which decides who goes on when
 *     the network is cut
 * @param build fingerprint of the program
 * @param patience how soon silence is taken for loss
 * @param credential what all processes of the run show each other; asked once, when a connection is made
 */
public record ProcessSettings(
        String name,
        Kind kind,
        NodeAddress listen,
        List<NodeAddress> seeds,
        int eligible,
        String build,
        Patience patience,
        Supplier<Credential> credential) {

    /** What a process does. */
    public enum Kind {
        /** Agent of a node that may also coordinate. */
        CANDIDATE("coordinator-eligible"),
        /** Agent of a node that never coordinates. */
        AGENT("agent"),
        /** Worker. */
        WORKER("worker");

        private final String role;

        Kind(String role) {
            this.role = role;
        }

        /** Its role in the cluster. */
        public String role() {
            return role;
        }
    }

    /** Profiles of the failure detector. */
    public enum Patience {
        /** Unreachable after about 1.2 s, removed after about 3 s. */
        FAST,
        /**
         * Unreachable after about 10 s: for machines that stall, as all do where several Java
         * processes start at once. Recovery does not wait for it.
         */
        STEADY
    }

    public ProcessSettings {
        seeds = List.copyOf(seeds);
        if (!name.matches("[A-Za-z0-9_.-]{1,64}")) {
            throw new IllegalArgumentException("the name '" + name
                    + "' must have 1 to 64 letters, digits, dots, dashes or underscores");
        }
        if (eligible < 1) {
            throw new IllegalArgumentException(eligible + " processes that may coordinate");
        }
    }

    boolean node() {
        return kind != Kind.WORKER;
    }
}
