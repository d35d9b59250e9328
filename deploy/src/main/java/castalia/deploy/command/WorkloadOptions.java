package castalia.deploy.command;

import castalia.deploy.configuration.NeoxYaml;
import castalia.deploy.configuration.TokenizerSize;
import castalia.deploy.configuration.TrainingConfiguration;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.train.DeviceChoice;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.model.PythiaModels;
import castalia.protocol.planner.LayoutPlanner;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.planner.Workload;
import castalia.protocol.schedule.LearningRateSchedule;
import castalia.protocol.schedule.LossScaler;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.Problems;
import castalia.protocol.specification.TrainingPlan;
import java.nio.file.Path;
import java.util.Locale;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** What is to be trained: a published model as it was published, or a configuration. A mixin. */
final class WorkloadOptions {
    /** Replicas of the largest published runs. */
    private static final int PUBLISHED_REPLICAS = 64;

    @Option(names = "--model", paramLabel = "NAME",
            description = "A published model, trained as published: pythia-70m, ..., pythia-12b.")
    private @Nullable String model;

    @Option(names = "--config", paramLabel = "FILE",
            description = "A GPT-NeoX configuration instead; it says everything but the devices.")
    private @Nullable Path config;

    @Option(names = "--dtype", paramLabel = "TYPE", defaultValue = "fp16",
            description = "With --model: fp32, bf16 or fp16 (default).")
    private String dtype = "fp16";

    @Option(names = "--seq", paramLabel = "S", defaultValue = "2048",
            description = "With --model: tokens of a sequence (default: 2048).")
    private int sequence;

    @Option(names = "--global-batch", paramLabel = "B",
            defaultValue = "" + PythiaModels.GLOBAL_BATCH,
            description = "With --model: sequences of a step (default: 1024).")
    private int globalBatch;

    @Option(names = "--batch", paramLabel = "B",
            description = "With --model: sequences of a micro-batch (default: as published).")
    private @Nullable Integer batch;

    @Option(names = "--virtual-ranks", paramLabel = "V",
            description = "With --model: virtual ranks (default: chosen for 64 replicas or more).")
    private @Nullable Integer virtualRanks;

    @Option(names = "--tensor-slices", paramLabel = "T",
            description = "With --model: tensor slices (default: the published model-parallel degree).")
    private @Nullable Integer tensorSlices;

    @Option(names = "--keep-activations",
            description = "With --model: keep what blocks compute instead of computing it again.")
    private boolean keep;

    /**
     * What was asked for.
     *
     * @param devices devices there are, for the choice of V and of what fits their memory
     */
    Workload workload(DeviceOptions devices, CastaliaHome home) {
        if ((model == null) == (config == null)) {
            throw new CastaliaException(
                    ErrorCode.CONFIG_INVALID, "give either --model or --config");
        }
        if (config != null) {
            Problems problems = new Problems();
            TrainingConfiguration read =
                    NeoxYaml.read(config, TokenizerSize.unknown(), problems);
            return Workload.of(read.plan(), read.engine().fits()
                    ? devices.fitting(read.plan(), home) : read.recomputation(),
                    DeviceChoice.ofProcess().head());
        }
        PythiaModels.Preset preset = BenchCommand.preset(String.valueOf(model));
        try {
            return Workload.of(plan(preset, devices.count(home)),
                    keep ? Recomputation.NONE : Recomputation.BLOCK,
                    DeviceChoice.ofProcess().head());
        } catch (IllegalArgumentException e) {
            throw CastaliaException.of(ErrorCode.CONFIG_INVALID, e);
        }
    }

    private TrainingPlan plan(PythiaModels.Preset preset, int devices) {
        Precision precision = BenchCommand.precision(dtype);
        int slices = tensorSlices != null ? tensorSlices : preset.shape().publishedModelParallel();
        int micro = batch != null ? batch : preset.microBatch();
        int replicas = Math.max(PUBLISHED_REPLICAS, devices / Math.max(1, slices));
        int v = virtualRanks != null ? virtualRanks
                : LayoutPlanner.virtualRanks(globalBatch, Math.max(1, micro), replicas);
        return TrainingPlan.builder(preset.shape(),
                        new LearningRateSchedule.Constant(preset.peakRate(), 0))
                .tensorSlices(slices).virtualRanks(v).globalBatch(globalBatch).microBatch(micro)
                .sequence(sequence).precision(precision)
                .lossScaler(precision == Precision.FP16
                        ? LossScaler.Dynamic.published() : new LossScaler.None())
                .build();
    }

    /** One line for people. */
    String description(Workload work) {
        TrainingPlan plan = work.plan();
        return String.format(Locale.ROOT,
                "%s: %,d parameters, %s, V = %d%s, T = %d, %,d sequences of %,d tokens in micro-batches of"
                        + " %d, %s",
                model != null ? model : String.valueOf(config), plan.model().parameters(),
                plan.precision().name().toLowerCase(Locale.ROOT), plan.virtualRanks(),
                model != null && virtualRanks == null ? " (chosen)" : "", plan.tensorSlices(),
                plan.globalBatch(), plan.sequence(), plan.microBatch(),
                switch (work.recomputation()) {
                    case NONE -> "blocks kept";
                    case ATTENTION -> "attention computed again";
                    case BLOCK -> "blocks computed again";
                });
    }
}
