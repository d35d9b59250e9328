package castalia.deploy.command;

import castalia.deploy.bench.KernelProfile;
import castalia.deploy.bench.StepBench;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.JsonOption;
import castalia.deploy.shell.Quantity;
import castalia.deploy.train.DeviceChoice;
import castalia.deploy.train.Hosting;
import castalia.deploy.train.MachineMemory;
import castalia.deploy.train.Wiring;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.model.PythiaModels;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import castalia.workers.data.SyntheticBatches;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code bench}: measurements of the parts that train. */
@Command(
        name = "bench",
        description = {
            "Measure: 'bench step' times whole training steps, 'bench kernels' each kernel of one beside",
            "what the machine can do, 'bench collective' the exchanges between processes, 'bench",
            "determinism' what a fixed order of sums costs, 'bench index' the making of a sample order at",
            "the scale of the Pile, 'bench memory' what layouts take, 'bench dedup' how the time of 'data",
            "dedup' grows."
        },
        subcommands = {BenchCommand.Step.class, BenchKernelsCommand.class,
                BenchCollectiveCommand.class, BenchDeterminismCommand.class,
                BenchIndexCommand.class, BenchMemoryCommand.class, BenchDedupCommand.class},
        footer = {"", "Examples:",
                "  ./castalia bench step --model pythia-70m --dtype fp32 --seq 2048 --threads 2",
                "  ./castalia bench kernels --model pythia-70m --dtype bf16",
                "  ./castalia bench collective --ranks 2,4 --json",
                "  ./castalia bench index --samples 200000000",
                "  ./castalia bench memory --model pythia-31m",
                "  ./castalia bench dedup --documents 20000 --sizes 4"})
final class BenchCommand {

    static PythiaModels.Preset preset(String model) {
        return PythiaModels.named(model).orElseThrow(() -> new CastaliaException(
                ErrorCode.CONFIG_INVALID,
                "no model is called " + model + "; known: " + PythiaModels.all().stream()
                        .map(PythiaModels.Preset::fullName).collect(Collectors.joining(", "))));
    }

    static Precision precision(String dtype) {
        return switch (dtype) {
            case "fp32" -> Precision.FP32;
            case "bf16" -> Precision.BF16;
            case "fp16" -> Precision.FP16;
            default -> throw new CastaliaException(
                    ErrorCode.CONFIG_INVALID, "--dtype " + dtype + " is none of fp32, bf16, fp16");
        };
    }

    /** {@code bench step}. */
    @Command(
            name = "step",
            description = {
                "Time whole training steps on made-up tokens: data, forward, backward, clip, AdamW.",
                "These are the classes of train: --write-config FILE gives the configuration with which",
                "'train' ends at the same digest."
            },
            footer = {
                "",
                "Examples:",
                "  ./castalia bench step --model pythia-70m --dtype fp32 --seq 2048 --threads 2 --json",
                "  ./castalia bench step --model pythia-14m --dtype bf16 --ranks 2 --virtual-ranks 2"
            })
    static final class Step implements Callable<Integer> {
        @Spec
        @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
        private CommandSpec spec;

        @Mixin
        private JsonOption json = new JsonOption();

        @Mixin
        @SuppressWarnings("UnusedVariable") // picocli calls it
        private ComputeDevice device = new ComputeDevice();

        @Option(names = "--model", required = true, paramLabel = "NAME",
                description = "pythia-14m, pythia-70m, ...")
        @SuppressWarnings("NullAway.Init") // picocli requires it
        private String model;

        @Option(names = "--dtype", paramLabel = "TYPE", description = "fp32 (default), bf16 or fp16.")
        private String dtype = "fp32";

        @Option(names = "--seq", paramLabel = "S", description = "Tokens of a sequence (default 2048).")
        private int sequence = 2048;

        @Option(names = "--batch", paramLabel = "B",
                description = "Sequences of a micro-batch (default 1).")
        private int batch = 1;

        @Option(names = "--threads", paramLabel = "N",
                description = "Computing threads (default: all processors).")
        private int threads = Runtime.getRuntime().availableProcessors();

        @Option(names = "--ranks", paramLabel = "N", description = "Ranks of this process (default 1).")
        private int ranks = 1;

        @Option(names = "--virtual-ranks", paramLabel = "V",
                description = "Virtual ranks (default: the ranks).")
        private int virtualRanks;

        @Option(names = "--tensor-slices", paramLabel = "T", description = "Tensor slices (default 1).")
        private int tensorSlices = 1;

        @Option(names = "--steps", paramLabel = "N", description = "Timed steps (default 5).")
        private int steps = 5;

        @Option(names = "--warmup", paramLabel = "N", description = "Steps before them (default 3).")
        private int warmup = 3;

        @Option(names = "--recompute", paramLabel = "WHAT", arity = "0..1", fallbackValue = "block",
                description = "What the backward pass computes again: auto (default: as little as fits the"
                        + " memory), none, attention or block.")
        private String recompute = "auto";

        @Option(names = "--memory", paramLabel = "SIZE",
                description = "Memory that may be used, as 4GiB (default: what this machine has).")
        private @Nullable String memory;

        @Option(names = "--portable",
                description = "Compute matrix products in Java, with bits that any machine gives.")
        private boolean portable;

        @Option(names = "--profile",
                description = "Time every kernel, for one rank; it costs some microseconds a call.")
        private boolean profile;

        @Option(names = "--write-config", paramLabel = "FILE",
                description = "Write the configuration for train.")
        private @Nullable Path config;

        @Override
        public Integer call() {
            PrintWriter out = spec.commandLine().getOut();
            PrintWriter err = spec.commandLine().getErr();
            if (steps < 1 || warmup < 0) {
                throw new CastaliaException(ErrorCode.CONFIG_INVALID,
                        "--steps " + steps + " must be at least 1 and --warmup " + warmup + " at least 0");
            }
            if (!List.of("auto", "none", "attention", "block").contains(recompute)) {
                throw new CastaliaException(ErrorCode.CONFIG_INVALID,
                        "--recompute " + recompute + " is none of auto, none, attention, block");
            }
            if (profile && DeviceChoice.ofProcess().cuda()) {
                throw new CastaliaException(ErrorCode.CONFIG_INVALID,
                        "--profile times kernels of the CPU; a GPU's run on after the call returns");
            }
            if (profile && ranks != 1) {
                throw new CastaliaException(ErrorCode.CONFIG_INVALID,
                        "--profile is for one rank, not for --ranks " + ranks);
            }
            int v = virtualRanks == 0 ? ranks : virtualRanks;
            PythiaModels.Preset preset = preset(model);
            TrainingPlan plan = plan(preset, v);
            Hosting hosting = hosting(plan);
            if (config != null) {
                write(config, preset, plan);
            }
            SyntheticBatches source =
                    new SyntheticBatches(Wiring.batches(plan), plan.model().vocabulary(), plan.seed());
            StepBench.Result result = StepBench.run(preset.fullName(), plan, source, hosting,
                    CastaliaHome.ofProcess(), warmup, steps, profile, report -> {
                        err.printf("step %d loss %.4f%n", report.step(), report.loss());
                        err.flush();
                    });
            out.printf(Locale.ROOT, "%s %s, %d x %d tokens, %s%n", result.model(), result.dtype(),
                    result.batch(),
                    result.seq(), result.device());
            out.printf(Locale.ROOT,
                    "%.1f tokens/s, %.4f s a step (median of %d; fastest %.4f), %.1f GFLOP/s%n",
                    result.tokens_per_s(), result.step_s(), steps, result.min_s(), result.gflops());
            out.printf(Locale.ROOT,
                    "forward %.4f s, head and backward %.4f s, reduction %.4f s, optimizer %.4f s; "
                            + "of these %.4f s waiting for other ranks%n",
                    result.forward_s(), result.backward_s(), result.reduction_s(), result.optimizer_s(),
                    result.exposed_s());
            out.printf(Locale.ROOT, "peak memory %.0f MiB, digest after %d steps %s%n",
                    result.peak_bytes() / 1048576.0,
                    result.total_steps(), result.digest());
            for (KernelProfile.Line line : result.profile()) {
                out.printf(Locale.ROOT, "%-44s %6.1f x %9.3f ms %6.2f %%", line.kernel(), line.calls(),
                        line.ms(), line.share() * 100);
                out.printf(Locale.ROOT, line.gflops() > 0 ? " %8.1f GFLOP/s%n" : " %8.1f GB/s%n",
                        line.gflops() > 0 ? line.gflops() : line.gb_per_s());
            }
            json.printLast(out, result);
            return 0;
        }

        private Hosting hosting(TrainingPlan plan) {
            try {
                boolean fits = recompute.equals("auto");
                Hosting wished = new Hosting(ranks, threads, fits ? Recomputation.NONE
                        : Recomputation.valueOf(recompute.toUpperCase(Locale.ROOT)), portable,
                        memory == null ? Long.MAX_VALUE : Quantity.bytes("--memory", memory));
                Hosting hosting = fits
                        ? wished.computingAgain(MachineMemory.fitting(plan, wished, 0)) : wished;
                MachineMemory.require(plan, hosting.recomputation(),
                        ParallelLayout.of(ranks), 0, hosting.usableBytes());
                return hosting;
            } catch (IllegalArgumentException e) {
                throw CastaliaException.of(ErrorCode.CONFIG_INVALID, e);
            }
        }

        private TrainingPlan plan(PythiaModels.Preset preset, int v) {
            try {
                return StepBench.plan(preset, precision(dtype), sequence, batch, v, tensorSlices,
                        warmup + (long) steps);
            } catch (IllegalArgumentException e) {
                throw CastaliaException.of(ErrorCode.CONFIG_INVALID, e);
            }
        }

        private void write(Path file, PythiaModels.Preset preset, TrainingPlan plan) {
            String text = """
                    # Made by 'castalia bench step': the same run for 'castalia train'.
                    "num-layers": %d
                    "hidden-size": %d
                    "num-attention-heads": %d
                    "seq-length": %d
                    "max-position-embeddings": %d
                    "pos-emb": "rotary"
                    "rotary-pct": 0.25
                    "no-weight-tying": true
                    "gpt-j-residual": true
                    "bias-gelu-fusion": true
                    "init_method": "small_init"
                    "output_layer_init_method": "wang_init"
                    "optimizer": {"type": "Adam", "params": {"lr": %s, "betas": [0.9, 0.95],
                            "eps": 1.0e-8}}
                    "weight-decay": 0.1
                    "gradient_clipping": 1.0
                    "train_micro_batch_size_per_gpu": %d
                    "train-iters": %d
                    "warmup": 0
                    "seed": %d
                    "fp16": {"enabled": %b, "initial_scale_power": 12}
                    "castalia": {
                      "global-batch": %d, "virtual-ranks": %d, "tensor-slices": %d, "precision": "%s",
                      "vocabulary": %d, "schedule": "constant", "synthetic-data": true,
                      "recomputation": "%s", "products": "%s"
                    }
                    """.formatted(plan.model().layers(), plan.model().hidden(), plan.model().heads(),
                    plan.sequence(), plan.model().maxPositions(), preset.peakRate(), plan.microBatch(),
                    plan.trainSteps(), plan.seed(), plan.precision() == Precision.FP16,
                    plan.globalBatch(), plan.virtualRanks(), plan.tensorSlices(),
                    dtype, plan.model().vocabulary(), recompute,
                    portable ? "portable" : "library");
            try {
                Files.writeString(file, text);
            } catch (IOException e) {
                throw new CastaliaException(
                        ErrorCode.STORAGE_FAILED, "cannot write " + file + ": " + e.getMessage(), e);
            }
        }
    }
}
