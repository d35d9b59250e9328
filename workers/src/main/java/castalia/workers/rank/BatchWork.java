package castalia.workers.rank;

import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.VirtualRanks;
import castalia.workers.data.BatchShape;
import castalia.workers.data.BatchSource;
import castalia.workers.model.FlatViews;
import castalia.workers.model.NeoxModel;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.function.IntConsumer;

/** Computes virtual ranks, micro-batch by micro-batch, and counts what it does. */
final class BatchWork {

    private final TrainingPlan plan;
    private final RankModel model;
    private final MemorySegment inputs;
    private final MemorySegment labels;
    private long dataNanos;
    private long sequences;

    /**
     * Work of one rank.
     *
     * @param host gives the token buffers
     */
    BatchWork(TrainingPlan plan, RankModel model, Arena host) {
        this.plan = plan;
        this.model = model;
        this.inputs = host.allocate(4L * plan.tokensPerMicroBatch(), 64);
        this.labels = host.allocate(4L * plan.tokensPerMicroBatch(), 64);
    }

    /** Micro-batches of a virtual rank. */
    int passes() {
        return plan.microBatchesPerVirtualRank();
    }

    /** Refuses batches that are cut otherwise than the plan says. */
    void requireShape(BatchSource source) {
        BatchShape expected = new BatchShape(
                plan.globalBatch(), plan.virtualRanks(), plan.microBatch(), plan.sequence());
        if (!source.shape().equals(expected)) {
            throw new IllegalArgumentException(
                    "batches of " + source.shape() + " for a plan of " + expected);
        }
    }

    /**
     * Writes the gradient of a virtual rank and, on the device, its losses.
     *
     * @param followed whether another virtual rank's follows in the step
     * @param requireCurrent called before every micro-batch; ends the work by throwing
     * @param layerDone told when the gradient of a layer will not change any more
     */
    void gradient(
            BatchSource source, long step, int virtualRank, boolean followed, FlatViews into,
            float scale, Runnable requireCurrent, IntConsumer layerDone) {
        NeoxModel computing = model.model();
        int last = plan.microBatchesPerVirtualRank() - 1;
        for (int m = 0; m < plan.microBatchesPerVirtualRank(); m++) {
            requireCurrent.run();
            model.followed(followed || m < last);
            long start = System.nanoTime();
            source.fill(step, virtualRank, m, inputs, labels);
            dataNanos += System.nanoTime() - start;
            computing.onLayerDone(m == last ? layerDone : NeoxModel.NOBODY);
            computing.lossAndGradient(into, inputs, labels, scale, m > 0, model.losses(),
                    pass(virtualRank, m));
            sequences += plan.microBatch();
        }
    }

    private int pass(int virtualRank, int microBatch) {
        return virtualRank * passes() + microBatch;
    }

    /** Waits for all passes so far, and makes their losses known. */
    void readLosses() {
        model.losses().read();
    }

    /** The loss sum of a virtual rank, as of the last {@link #readLosses}. */
    double lossSum(int virtualRank) {
        double sum = 0;
        for (int m = 0; m < passes(); m++) {
            sum += model.losses().sum(pass(virtualRank, m));
        }
        return sum;
    }

    /** Sums the losses of one batch per virtual rank of a block; V sums, zero for the others. */
    double[] losses(
            BatchSource source, long batch, VirtualRanks.Block block, Runnable requireCurrent) {
        requireShape(source);
        double[] sums = new double[plan.virtualRanks()];
        for (int i = 0; i < block.count(); i++) {
            int v = block.at(i);
            for (int m = 0; m < plan.microBatchesPerVirtualRank(); m++) {
                requireCurrent.run();
                model.followed(false);
                source.fill(batch, v, m, inputs, labels);
                model.model().loss(inputs, labels, model.losses(), pass(v, m));
            }
        }
        if (block.count() > 0) {
            readLosses();
        }
        for (int i = 0; i < block.count(); i++) {
            sums[block.at(i)] = lossSum(block.at(i));
        }
        return sums;
    }

    /** Sequences whose gradients were computed. */
    long sequences() {
        return sequences;
    }

    /** Starts the clocks of a step anew. */
    void startClocks() {
        dataNanos = 0;
        takeForwardNanos();
        takeBackwardNanos();
    }

    /** See {@link NeoxModel#takeForwardNanos}; 0 for a rank that computes nothing. */
    long takeForwardNanos() {
        NeoxModel computing = model.orNull();
        return computing == null ? 0 : computing.takeForwardNanos();
    }

    /** See {@link NeoxModel#takeBackwardNanos}; 0 for a rank that computes nothing. */
    long takeBackwardNanos() {
        NeoxModel computing = model.orNull();
        return computing == null ? 0 : computing.takeBackwardNanos();
    }

    /** Time spent waiting for data since {@link #startClocks}, nanoseconds. */
    long dataNanos() {
        return dataNanos;
    }
}
