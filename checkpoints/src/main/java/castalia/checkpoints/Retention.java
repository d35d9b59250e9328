package castalia.checkpoints;

import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.SortedSet;
import java.util.function.LongPredicate;

/** Which checkpoints may go. */
public final class Retention {

    /** Newest checkpoints that are never removed, so that there is one to fall back to. */
    public static final int ALWAYS_KEPT = 2;

    private Retention() {}

    /**
     * The steps to remove, ascending: all but milestones, the newest {@code keepLast} others, and
     * the newest {@link #ALWAYS_KEPT} of all.
     *
     * @param steps the steps that have a checkpoint
     * @param milestone whether a step is kept for ever
     * @param keepLast how many of the others stay, at least 1
     */
    public static List<Long> superseded(
            SortedSet<Long> steps, LongPredicate milestone, int keepLast) {
        if (keepLast < 1) {
            throw new IllegalArgumentException("keep-last-n-checkpoints " + keepLast
                    + " must be at least 1");
        }
        List<Long> all = List.copyOf(steps);
        List<Long> others = all.stream().filter(s -> !milestone.test(s)).toList();
        Set<Long> kept = new HashSet<>(all.subList(Math.max(0, all.size() - ALWAYS_KEPT),
                all.size()));
        kept.addAll(others.subList(Math.max(0, others.size() - keepLast), others.size()));
        List<Long> superseded = new ArrayList<>(others);
        superseded.removeAll(kept);
        return superseded;
    }
}
