package castalia.protocol.planner;

import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.model.ModelShape;
import castalia.protocol.specification.HeadSweep;
import castalia.protocol.specification.TrainingPlan;

/**
 * What is to be computed, whatever the layout.
 *
 * @param plan the training plan
 * @param grid the chunk grid of its layout
 * @param recomputation what the backward pass computes again instead of keeping
 * @param head how the head sweeps the rows
 */
public record Workload(
        TrainingPlan plan, ChunkGrid grid, Recomputation recomputation, HeadSweep head) {

    /** The workload of a plan on CPUs. */
    public static Workload of(TrainingPlan plan, Recomputation recomputation) {
        return of(plan, recomputation, HeadSweep.OF_CPU);
    }

    /** The workload of a plan. */
    public static Workload of(TrainingPlan plan, Recomputation recomputation, HeadSweep head) {
        return new Workload(plan, ChunkGrid.of(FlatLayout.of(plan.model(), plan.tensorSlices())),
                recomputation, head);
    }

    ModelShape shape() {
        return plan.model();
    }

    /** Bytes of an element of the compute type. */
    int computeBytes() {
        return plan.precision().bytes();
    }

    /** Tokens of a micro-batch. */
    int rows() {
        return plan.tokensPerMicroBatch();
    }

    /** Elements of the longest chunk. */
    int longestChunk() {
        return grid.chunks().stream().mapToInt(c -> c.length()).max().orElse(0);
    }

    /** Floating-point operations of all ranks of a replica for one micro-batch. */
    double flopsPerMicroBatch() {
        double all = shape().trainingFlops(rows(), plan.sequence());
        return all + recomputedFlops();
    }

    /** Up to the inputs of the last products; the last block's are there still. */
    private double recomputedFlops() {
        ModelShape s = shape();
        double attention = 3.0 * s.hidden() + plan.sequence();
        double again = switch (recomputation) {
            case NONE -> 0;
            case ATTENTION -> attention;
            case BLOCK -> attention + s.intermediate();
        };
        return 2.0 * rows() * (s.layers() - 1) * s.hidden() * again;
    }

    /** Parts in which the head sweeps the vocabulary of a slice. */
    int headParts() {
        return head.parts(shape().vocabulary() / plan.tensorSlices());
    }

    /** Those of the backward pass of one micro-batch, in which gradients may leave. */
    double backwardFlopsPerMicroBatch() {
        return flopsPerMicroBatch() - shape().trainingFlops(rows(), plan.sequence()) / 3.0;
    }
}
