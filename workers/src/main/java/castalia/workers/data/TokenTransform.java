package castalia.workers.data;

import java.util.List;

/**
 * A change of the tokens of some steps, between reading and training: the same steps in the same
 * order, of the same data with other words.
 *
 * <p>A function of one row alone, so that every worker makes the same of it, however the batch is
 * cut. Implementations may be called by several threads.
 */
public interface TokenTransform {
    /** First step that is changed: the first one after the checkpoint of that number. */
    long fromStep();

    /** The step after the last one that is changed. */
    long toStep();

    /**
     * Changes a row in place.
     *
     * @param row S + 1 ids: inputs, and one more, the last label
     * @return whether anything changed
     */
    boolean apply(int[] row);

    /**
     * What a transform does to a row.
     *
     * @param kind words or tokens
     * @param replaced how many of them
     * @param padding tokens that fill the row's end; the loss counts them like any others
     * @param cut tokens that had no room any more
     */
    record Effect(String kind, int replaced, int padding, int cut) {}

    /** Changes a row as {@link #apply} and says how. For looking at data: it may take its time. */
    Effect explain(int[] row);

    /**
     * What it does, as {@code name=value} lines in a fixed order for the specification's hash,
     * without the step range.
     */
    List<String> description();

    /** Whether a step is changed. */
    default boolean covers(long step) {
        return step >= fromStep() && step < toStep();
    }

    /** Refuses a range that holds no step. */
    static void checkRange(long fromStep, long toStep) {
        if (fromStep < 0 || toStep <= fromStep) {
            throw new IllegalArgumentException(
                    "steps from " + fromStep + " to " + toStep + " are none");
        }
    }
}
