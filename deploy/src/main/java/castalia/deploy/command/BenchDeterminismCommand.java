package castalia.deploy.command;

import castalia.deploy.bench.determinism.DeterminismBench;
import castalia.deploy.bench.determinism.DeterminismBench.Cost;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.JsonOption;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.model.PythiaModels;
import castalia.protocol.schedule.LearningRateSchedule;
import castalia.protocol.schedule.LossScaler;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code bench determinism}. */
@Command(
        name = "determinism",
        description = {
            "Time what a fixed order of sums costs: steps as training does them, beside steps of the same",
            "size in which every rank accumulates its micro-batches into one gradient and the ranks'",
            "gradients are summed as they arrive, in turns; and steps with more tensor slices beside",
            "steps with one. No training can sum in order of arrival."
        },
        footer = {
            "",
            "Examples:",
            "  ./castalia bench determinism --model pythia-70m --seq 512 --json"
        })
final class BenchDeterminismCommand implements Callable<Integer> {

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Mixin
    private JsonOption json = new JsonOption();

    @Option(names = "--model", paramLabel = "NAME",
            description = "Default pythia-70m, which has 8 heads.")
    private String model = "pythia-70m";

    @Option(names = "--dtype", paramLabel = "TYPE", description = "fp32 (default), bf16 or fp16.")
    private String dtype = "fp32";

    @Option(names = "--seq", paramLabel = "S", description = "Tokens of a sequence (default 512).")
    private int sequence = 512;

    @Option(names = "--ranks", paramLabel = "N", description = "Ranks, as threads (default 2).")
    private int ranks = 2;

    @Option(names = "--virtual-ranks", paramLabel = "V",
            description = "Virtual ranks, one sequence each (default 8).")
    private int virtualRanks = 8;

    @Option(names = "--slices", paramLabel = "T,...", split = ",",
            description = "Tensor slices to compare with one (default 4,8).")
    private List<Integer> slices = List.of(4, 8);

    @Option(names = "--threads", paramLabel = "N",
            description = "Computing threads (default: all processors).")
    private int threads = Runtime.getRuntime().availableProcessors();

    @Option(names = "--pairs", paramLabel = "N",
            description = "Timed steps of each, in turns (default 5).")
    private int pairs = 5;

    /** What is printed as JSON. */
    private record Findings(
            String model, String dtype, int sequence, int ranks, int virtualRanks,
            List<Cost> costs) {}

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        PythiaModels.Preset preset = BenchCommand.preset(model);
        if (pairs < 1 || ranks < 1 || virtualRanks < ranks || virtualRanks % ranks != 0) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "--pairs " + pairs
                    + " and --ranks " + ranks + " must be at least 1, and --virtual-ranks "
                    + virtualRanks + " a multiple of the ranks");
        }
        Findings all = new Findings(
                preset.fullName(), dtype, sequence, ranks, virtualRanks, new ArrayList<>());
        try {
            DeterminismBench.run(
                    new DeterminismBench.Settings(ranks, slices, threads, pairs), virtualRanks,
                    (v, sequences, t) -> plan(preset, v, sequences, t), CastaliaHome.ofProcess(),
                    cost -> {
                        out.printf(Locale.ROOT, "%-46s %.4f s beside %.4f s: %+.1f %%%n",
                                cost.what(), cost.step_s(), cost.base_s(), cost.cost_percent());
                        out.flush();
                        all.costs.add(cost);
                    });
        } catch (IllegalArgumentException e) {
            throw CastaliaException.of(ErrorCode.CONFIG_INVALID, e);
        }
        json.printLast(out, all);
        return 0;
    }

    private TrainingPlan plan(PythiaModels.Preset preset, int v, int sequences, int slicesOf) {
        Precision precision = BenchCommand.precision(dtype);
        return TrainingPlan.builder(preset.shape(), new LearningRateSchedule.Constant(
                preset.peakRate(), 0))
                .tensorSlices(slicesOf)
                .virtualRanks(v)
                .globalBatch(sequences)
                .microBatch(1)
                .sequence(sequence)
                .precision(precision)
                .lossScaler(precision == Precision.FP16
                        ? LossScaler.Dynamic.published() : new LossScaler.None())
                .trainSteps(1000)
                .build();
    }
}
