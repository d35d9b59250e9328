package castalia.actors.message;

import java.nio.charset.StandardCharsets;

/** What a process that wants to take part in a run hears. */
public sealed interface JobTraffic extends Traffic {

    /** Most bytes of a job's description. */
    int MOST_BYTES = 64 << 10;

    /**
     * What the run is and where.
     *
     * @param build fingerprint of the coordinator's program
     * @param text as whoever began the run described it; at most {@link #MOST_BYTES} in UTF-8
     */
    record Job(String build, String text) implements JobTraffic {
        public Job {
            int bytes = text.getBytes(StandardCharsets.UTF_8).length;
            if (bytes > MOST_BYTES) {
                throw new IllegalArgumentException("a job of " + bytes + " bytes; at most "
                        + MOST_BYTES + " are allowed");
            }
        }
    }
}
