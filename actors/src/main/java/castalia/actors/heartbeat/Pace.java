package castalia.actors.heartbeat;

import java.time.Duration;

/**
 * How soon a coordinator is taken for lost. Suspicion is cheap: it costs a new term and at most one
 * repeated step; a coordinator's end is noticed at once whatever the pace.
 *
 * @param interval between two questions
 * @param silence without an answer after which it is asked a last time; and how long one that claimed
 *     may take to lead
 * @param again how long that last answer is waited for; and how long one that led may say it does not
 * @param beat how long a coordinator may be busy with one message
 */
public record Pace(Duration interval, Duration silence, Duration again, Duration beat) {

    /** For real machines, which stall for a second now and then. */
    public static final Pace USUAL = new Pace(Duration.ofMillis(200), Duration.ofSeconds(3),
            Duration.ofSeconds(1), Duration.ofSeconds(5));
}
