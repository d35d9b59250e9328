package castalia.protocol.planner;

import castalia.protocol.model.ModelShape;
import castalia.protocol.specification.TrainingPlan;

/**
 * Bytes that one rank of a replica gives another in the passes over one micro-batch. Where slices
 * meet, a rank gives each other rank that one's rows of its fp32 partial sum, and then its own rows of
 * the finished, rounded sum.
 */
final class SliceTraffic {

    private static final long F32 = Float.BYTES;

    private final Workload work;
    private final int ranks;

    /** Among {@code ranks} ranks that share a replica. */
    SliceTraffic(Workload work, int ranks) {
        this.work = work;
        this.ranks = ranks;
    }

    /** From one position of the replica to another. */
    long bytes(int from, int to) {
        ModelShape shape = work.shape();
        long partial = F32 * rows(to) * shape.hidden();
        long rounded = (long) work.computeBytes() * rows(from) * shape.hidden();
        long embedding = (long) work.computeBytes() * rows(to) * shape.hidden() + rounded;
        int layers = shape.layers();
        // forward, backward of the two normed inputs, and what is computed again of a sequential block
        int sums = layers * (shape.parallelResidual() ? 3 : 4)
                + (work.recomputation() == Recomputation.BLOCK && !shape.parallelResidual()
                        ? layers - 1 : 0);
        long head = partial + rounded + statistics();
        return embedding + sums * (partial + rounded) + head;
    }

    private long rows(int position) {
        long rows = work.rows();
        return rows * (position + 1) / ranks - rows * position / ranks;
    }

    /** Of every row and part of a slice maximum and sum, and of every row and rank the target. */
    private long statistics() {
        TrainingPlan plan = work.plan();
        return F32 * work.rows() * (2L * work.headParts() * plan.tensorSlices() / ranks + 1);
    }
}
