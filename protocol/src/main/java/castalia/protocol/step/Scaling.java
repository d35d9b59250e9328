package castalia.protocol.step;

/**
 * What loss scaling did in a step.
 *
 * @param lossScale scale the step used
 * @param skipped whether its gradient overflowed, so that its update was skipped
 * @param skippedSteps steps of the run skipped so far, this one included
 */
public record Scaling(double lossScale, boolean skipped, long skippedSteps) {}
