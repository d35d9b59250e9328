package castalia.protocol.planner;

import castalia.protocol.layout.ParallelLayout;

/**
 * What a layout costs.
 *
 * @param layout the layout
 * @param memory of the rank that needs most
 * @param sent of the rank that sends most
 * @param received of the rank that receives most
 * @param time of a step
 * @param excessBytes memory by which that rank exceeds its device; negative where something is left
 */
public record LayoutEstimate(
        ParallelLayout layout,
        RankMemory memory,
        Traffic sent,
        Traffic received,
        StepTime time,
        long excessBytes) {

    /** Whether every rank fits its device. */
    public boolean fits() {
        return excessBytes <= 0;
    }
}
