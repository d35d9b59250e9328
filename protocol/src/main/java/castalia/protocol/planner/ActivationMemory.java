package castalia.protocol.planner;

import castalia.protocol.model.ModelShape;
import castalia.protocol.specification.TrainingPlan;

/**
 * Bytes that a model's passes over one micro-batch need on one rank. R rows (tokens), C hidden width,
 * F feed-forward width, H heads, V vocabulary, T tensor slices, of which the rank computes n = T/t; e
 * bytes of the compute type.
 */
final class ActivationMemory {

    private static final long F32 = Float.BYTES;

    private final Workload work;
    private final ModelShape shape;
    private final long rows;
    private final long full;
    private final long type;
    private final int slices;
    private final int ranks;
    private final int count;

    /** On one of {@code ranks} ranks that share a replica. */
    ActivationMemory(Workload work, int ranks) {
        TrainingPlan plan = work.plan();
        this.work = work;
        this.shape = plan.model();
        this.rows = work.rows();
        this.full = rows * shape.hidden();
        this.type = work.computeBytes();
        this.slices = plan.tensorSlices();
        this.ranks = ranks;
        this.count = slices / ranks;
    }

    /** All of it, at a position of the replica. */
    long bytes(int position) {
        return blocks() + stream() + scratch(position) + head() + losses() + rotaryTable();
    }

    /** What blocks keep for their backward passes; what they compute again is there once. */
    private long blocks() {
        boolean parallel = shape.parallelResidual();
        long feedForward = type * rows * shape.intermediate() / slices * count;
        // gradients inside a block lie there too
        long attentionGradients = type * rows * 4L * shape.hidden() / slices;
        long again = 2 * type * full + feedForward
                + Math.max(0, attentionGradients - feedForward / count);
        long attention = (type * rows * 4L * shape.hidden() + F32 * rows * shape.heads())
                / slices * count;
        long kept = (parallel ? 2 : 4) * F32 * rows + (parallel ? 0 : type * full) + feedForward;
        long layers = shape.layers();
        return again + switch (work.recomputation()) {
            case NONE -> layers * (kept + attention);
            case ATTENTION -> layers * kept + attention;
            case BLOCK -> kept + attention;
        };
    }

    /**
     * The residual stream between blocks, its gradient, the final norm, its gradient where that is
     * exchanged, tokens and labels.
     */
    private long stream() {
        return (shape.layers() + 1 + (ranks == 1 ? 2 : 3)) * type * full + 4 * F32 * rows;
    }

    /** What blocks share: partial sums over slices, and gradients of their norms that are exchanged. */
    private long scratch(int position) {
        long partial = count * F32 * full;
        long received = (ranks - 1) * F32 * ownRows(position) * shape.hidden();
        long inputGradients = slices == 1 ? 0 : 2 * partial + received;
        return partial + received + inputGradients + (ranks == 1 ? 0 : 2 * type * full);
    }

    private long ownRows(int position) {
        return rows * (position + 1) / ranks - rows * position / ranks;
    }

    /** The sweep over rows that computes logits, loss and their gradients. */
    private long head() {
        long swept = Math.min(work.head().rows(), rows);
        long parts = work.headParts();
        long wide = swept * shape.vocabulary() / slices;
        long logits = F32 * count * wide + (type == F32 ? 0 : type * wide / parts);
        boolean apart = slices > 1 ? ranks == 1 || count > 1 : parts > 1 && type != F32;
        long partial = apart ? count * F32 * swept * shape.hidden() : 0;
        long statistics = F32 * swept
                * (ranks * (2L * parts * count + 1) + parts * slices + (ranks > 1 ? 1 : 0));
        return logits + partial + statistics;
    }

    /** The loss of every sweep of a step. */
    private long losses() {
        return (long) Double.BYTES * work.head().sweeps(work.rows()) * work.plan().microBatches();
    }

    private long rotaryTable() {
        return F32 * Math.max(1, (long) work.plan().sequence() * shape.rotaryDimensions());
    }
}
