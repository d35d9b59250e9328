package castalia.deploy.configuration;

import castalia.protocol.checkpoint.MilestoneSchedule;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.specification.DataManifest;
import castalia.protocol.specification.RunSpecification;
import castalia.protocol.specification.TrainingPlan;
import java.util.List;
import java.util.Optional;

/**
 * What a configuration file says.
 *
 * @param plan everything of the specification but the data and the numeric version
 * @param data where the data is
 * @param trustsDataTimes whether a token file whose size and time of change are as they were when it
 *     was hashed is taken to be unchanged
 * @param tokenizer path of the tokenizer file (vocab-file), as written
 * @param save folder for checkpoints, as written
 * @param load folder of a checkpoint to start from, as written
 * @param milestones checkpoints kept for ever
 * @param evalInterval steps between validations
 * @param evalIterations batches of one validation
 * @param logInterval steps between log lines
 * @param recomputation what the forward pass keeps
 * @param engine how a machine computes
 * @param transforms changes of the training data, in order
 * @param placement wishes about ranks and threads
 */
public record TrainingConfiguration(
        TrainingPlan plan,
        DataSource data,
        boolean trustsDataTimes,
        Optional<String> tokenizer,
        Optional<String> save,
        Optional<String> load,
        MilestoneSchedule milestones,
        long evalInterval,
        long evalIterations,
        long logInterval,
        Recomputation recomputation,
        EngineSettings engine,
        List<DataTransform> transforms,
        PlacementHints placement) {

    public TrainingConfiguration {
        transforms = List.copyOf(transforms);
    }

    /** The same, with another choice of what backward passes compute again. */
    public TrainingConfiguration computingAgain(Recomputation other) {
        return new TrainingConfiguration(plan, data, trustsDataTimes, tokenizer, save, load, milestones,
                evalInterval, evalIterations, logInterval, other, engine, transforms, placement);
    }

    /** The specification of the run, once the data is open and the kernels are known. */
    public RunSpecification specification(DataManifest manifest, String numericVersion) {
        return plan.specification(manifest, numericVersion);
    }
}
