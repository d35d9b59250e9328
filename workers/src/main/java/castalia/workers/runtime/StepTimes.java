package castalia.workers.runtime;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;

/** How long a peer may be waited for, from how long steps take. Safe from several threads. */
final class StepTimes {

    private static final int KEPT = 16;
    private static final Duration LEAST = Duration.ofMillis(1500);
    private static final Duration UNKNOWN = Duration.ofSeconds(60);
    private static final int MOST_DOUBLINGS = 6;

    private final Deque<Long> last = new ArrayDeque<>();
    private int doublings;

    /** A step took so long. */
    synchronized void took(long nanos) {
        last.addLast(nanos);
        if (last.size() > KEPT) {
            last.removeFirst();
        }
    }

    /** A suspicion was uttered; if it leads to nothing the next one takes longer. */
    synchronized void suspected() {
        doublings = Math.min(doublings + 1, MOST_DOUBLINGS);
    }

    /** A generation begins: suspicions of former ones do not count. */
    synchronized void newGeneration() {
        doublings = 0;
    }

    /** Four times the median of the last steps. */
    synchronized Duration patience() {
        Duration once = UNKNOWN;
        if (!last.isEmpty()) {
            long median = last.stream().sorted().skip(last.size() / 2).findFirst().orElseThrow();
            Duration four = Duration.ofNanos(4 * median);
            once = four.compareTo(LEAST) > 0 ? four : LEAST;
        }
        return once.multipliedBy(1L << doublings);
    }
}
