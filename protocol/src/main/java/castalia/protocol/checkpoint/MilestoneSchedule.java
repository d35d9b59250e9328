package castalia.protocol.checkpoint;

import java.util.List;
import java.util.SortedSet;
import java.util.TreeSet;
import java.util.stream.LongStream;

/**
 * The steps whose checkpoints are kept for ever, as GPT-NeoX derives them: the extra steps, the
 * multiples of the factor below the end (0 is none of them), and the end.
 *
 * @param trainSteps steps of the run
 * @param factor distance of the regular milestones (checkpoint-factor), 0 for none
 * @param extra further steps (extra-save-iters); those after the end never come
 */
public record MilestoneSchedule(long trainSteps, long factor, SortedSet<Long> extra) {

    /** Most steps that {@link #steps} lists. */
    private static final long MOST = 10_000_000;

    public MilestoneSchedule {
        extra = new TreeSet<>(extra);
        if (trainSteps < 1) {
            throw new IllegalArgumentException("train-iters " + trainSteps + " must be at least 1");
        }
        if (factor < 0) {
            throw new IllegalArgumentException(
                    "checkpoint-factor " + factor + " must be at least 0 (0: none)");
        }
        if (!extra.isEmpty() && extra.first() < 0) {
            throw new IllegalArgumentException(
                    "extra-save-iters contains " + extra.first() + ", which is no step");
        }
    }

    /** A copy of the extra steps. */
    @Override
    public SortedSet<Long> extra() {
        return new TreeSet<>(extra);
    }

    /** The schedule of a run with these settings. */
    public static MilestoneSchedule of(long trainSteps, long factor, List<Long> extra) {
        return new MilestoneSchedule(trainSteps, factor, new TreeSet<>(extra));
    }

    /** The 154 steps of the published runs. */
    public static MilestoneSchedule published() {
        return of(143_000, 1000, List.of(0L, 1L, 2L, 4L, 8L, 16L, 32L, 64L, 128L, 256L, 512L));
    }

    /** Whether the state after {@code step} completed steps is a milestone. */
    public boolean due(long step) {
        if (step < 0 || step > trainSteps) {
            return false;
        }
        boolean regular = factor > 0 && step > 0 && step % factor == 0;
        return step == trainSteps || regular || extra.contains(step);
    }

    /**
     * All milestones, ascending.
     *
     * @throws IllegalStateException if there are more than ten million
     */
    public List<Long> steps() {
        long regular = factor == 0 ? 0 : (trainSteps - 1) / factor;
        if (regular > MOST) {
            throw new IllegalStateException(regular + " milestones are too many to list");
        }
        SortedSet<Long> steps = new TreeSet<>(extra.headSet(trainSteps));
        LongStream.rangeClosed(1, regular).forEach(k -> steps.add(k * factor));
        steps.add(trainSteps);
        return List.copyOf(steps);
    }
}
