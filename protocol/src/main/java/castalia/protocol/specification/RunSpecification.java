package castalia.protocol.specification;

import castalia.protocol.model.ModelShape;
import castalia.protocol.schedule.LearningRateSchedule;
import castalia.protocol.schedule.LossScaler;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Set;

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

    /**
     * What differs from another specification, in words, one entry per value; empty if they are
     * equal.
     *
     * @param other the one that is called "was"
     */
    public List<String> differencesFrom(RunSpecification other) {
        List<String> found = new ArrayList<>();
        TrainingPlan was = other.plan;
        differ(found, "model", plan.model(), was.model());
        differ(found, "tensor-slices", plan.tensorSlices(), was.tensorSlices());
        differ(found, "virtual-ranks", plan.virtualRanks(), was.virtualRanks());
        differ(found, "global-batch", plan.globalBatch(), was.globalBatch());
        differ(found, "micro-batch", plan.microBatch(), was.microBatch());
        differ(found, "seq-length", plan.sequence(), was.sequence());
        differ(found, "precision", plan.precision(), was.precision());
        differ(found, "optimizer", plan.optimizer(), was.optimizer());
        differ(found, "schedule", plan.schedule(), was.schedule());
        differ(found, "loss scaling", plan.lossScaler(), was.lossScaler());
        differ(found, "train-iters", plan.trainSteps(), was.trainSteps());
        differ(found, "seed", plan.seed(), was.seed());
        differ(found, "initial weights", plan.initialisation(), was.initialisation());
        Set<String> names = new LinkedHashSet<>();
        data.entries().forEach(entry -> names.add(entry.name()));
        other.data.entries().forEach(entry -> names.add(entry.name()));
        for (String name : names) {
            differ(found, name, data.value(name).orElse("absent"),
                    other.data.value(name).orElse("absent"));
        }
        differ(found, "numeric version", numericVersion, other.numericVersion);
        if (found.isEmpty() && !equals(other)) {
            found.add("the order of the data's facts");
        }
        return found;
    }

    private static void differ(List<String> found, String name, Object is, Object was) {
        if (!is.equals(was)) {
            found.add(name + " is " + is + ", was " + was);
        }
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
