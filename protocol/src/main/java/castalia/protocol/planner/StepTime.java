package castalia.protocol.planner;

/**
 * The estimated time of a step, seconds. Communication is of the busiest rank, kind by kind; what can
 * happen while a rank computes is exposed only as far as it takes longer.
 *
 * @param compute forward and backward passes of the rank with the most micro-batches
 * @param communication all communication, hidden or not
 * @param exposed communication for which ranks wait
 */
public record StepTime(double compute, double communication, double exposed) {

    /** From one step to the next. */
    public double total() {
        return compute + exposed;
    }
}
