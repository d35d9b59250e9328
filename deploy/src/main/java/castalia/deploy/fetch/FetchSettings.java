package castalia.deploy.fetch;

import java.time.Duration;

/**
 * How patient a download is.
 *
 * @param parallel files at a time
 * @param tries tries in a row that bring a file no further, before it is given up
 * @param connect longest wait for a connection
 * @param stall longest wait for an answer, and for the next {@link #LEAST_BYTES} of one
 * @param firstPause wait before the second try; it doubles
 * @param longestPause longest wait before a try, also if the server asks for more
 */
public record FetchSettings(
        int parallel,
        int tries,
        Duration connect,
        Duration stall,
        Duration firstPause,
        Duration longestPause) {
    /** What must come within each {@code stall}: a server that drips is as good as none. */
    public static final int LEAST_BYTES = 64 << 10;

    public FetchSettings {
        if (parallel < 1 || parallel > 64 || tries < 1) {
            throw new IllegalArgumentException(
                    "1 to 64 files at a time and at least one try are possible");
        }
    }

    /** For a network as it is. */
    public static FetchSettings usual(int parallel) {
        return new FetchSettings(parallel, 6, Duration.ofSeconds(15), Duration.ofSeconds(45),
                Duration.ofSeconds(1), Duration.ofSeconds(60));
    }

    Duration pause(int failures, long askedMillis) {
        long doubled = firstPause.toMillis() << Math.min(failures - 1, 20);
        return Duration.ofMillis(
                Math.min(longestPause.toMillis(), Math.max(doubled, askedMillis)));
    }
}
