package castalia.workers.runtime;

import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;

/** How long a peer may be waited for, from how long steps take. Safe from several threads. */
final class StepTimes {

    private static final int KEPT = 16;
    private static final Duration UNKNOWN = Duration.ofSeconds(60);
    private static final int MOST_DOUBLINGS = 6;
    private static final int FIRST_STEP = 4;

    private final Duration least;
    private final Deque<Long> last = new ArrayDeque<>();
    private int doublings;
    private boolean first = true;

    /** @param least patience once a step was done */
    StepTimes(Duration least) {
        this.least = least;
    }

    /** A step took so long: one of the suspicions that preceded it was false. */
    synchronized void took(long nanos) {
        first = false;
        doublings = Math.max(0, doublings - 1);
        last.addLast(nanos);
        if (last.size() > KEPT) {
            last.removeFirst();
        }
    }

    /** A suspicion was uttered; if it leads to nothing the next one takes longer. */
    synchronized void suspected() {
        doublings = Math.min(doublings + 1, MOST_DOUBLINGS);
    }

    /**
     * A generation begins. Suspicions of former ones still count, or steps that always take longer
     * than the patience would end generation after generation.
     */
    synchronized void newGeneration() {
        first = true;
    }

    /**
     * Four times the median of the last steps, and again four times that until the generation's
     * first step is done, which is slow where a member's program has just begun.
     */
    synchronized Duration patience() {
        Duration once = UNKNOWN;
        if (!last.isEmpty()) {
            long median = last.stream().sorted().skip(last.size() / 2).findFirst().orElseThrow();
            Duration four = Duration.ofNanos(4 * median);
            once = (four.compareTo(least) > 0 ? four : least).multipliedBy(first ? FIRST_STEP : 1);
        }
        return once.multipliedBy(1L << doublings);
    }
}
