package castalia.protocol.specification;

import castalia.protocol.model.ModelShape;
import castalia.protocol.schedule.LearningRateSchedule;
import castalia.protocol.schedule.LossScaler;

/**
 * Everything the state of a run is a function of, and nothing else: not the ranks, their threads,
 * recomputation, checkpoint times or folders. Its hash is the run's identity; see
 * {@code castalia.protocol.wire.RunIdentity}.
 *
 * @param plan what the user asked for
 * @param data the training data and its order
 * @param numericVersion names the arithmetic: kernels and their flags, JDK feature version,
 *     library versions, back end
 */
public record RunSpecification(TrainingPlan plan, DataManifest data, String numericVersion) {

    /** Most characters of a numeric version. */
    public static final int LONGEST_NUMERIC_VERSION = 1024;

    public RunSpecification {
        Checks.text("the numeric version", numericVersion, LONGEST_NUMERIC_VERSION);
    }

    public ModelShape model() {
        return plan.model();
    }

    public int tensorSlices() {
        return plan.tensorSlices();
    }

    public int virtualRanks() {
        return plan.virtualRanks();
    }

    public int globalBatch() {
        return plan.globalBatch();
    }

    public int microBatch() {
        return plan.microBatch();
    }

    public int sequence() {
        return plan.sequence();
    }

    public Precision precision() {
        return plan.precision();
    }

    public OptimizerSettings optimizer() {
        return plan.optimizer();
    }

    public LearningRateSchedule schedule() {
        return plan.schedule();
    }

    public LossScaler lossScaler() {
        return plan.lossScaler();
    }

    public long trainSteps() {
        return plan.trainSteps();
    }

    public long seed() {
        return plan.seed();
    }

    public Initialisation initialisation() {
        return plan.initialisation();
    }

    /** See {@link TrainingPlan#microBatchesPerVirtualRank}. */
    public int microBatchesPerVirtualRank() {
        return plan.microBatchesPerVirtualRank();
    }

    /** See {@link TrainingPlan#microBatches}. */
    public int microBatches() {
        return plan.microBatches();
    }

    /** See {@link TrainingPlan#sequencesPerVirtualRank}. */
    public int sequencesPerVirtualRank() {
        return plan.sequencesPerVirtualRank();
    }

    /** See {@link TrainingPlan#tokensPerStep}. */
    public long tokensPerStep() {
        return plan.tokensPerStep();
    }

    /** See {@link TrainingPlan#tokensPerMicroBatch}. */
    public int tokensPerMicroBatch() {
        return plan.tokensPerMicroBatch();
    }
}
