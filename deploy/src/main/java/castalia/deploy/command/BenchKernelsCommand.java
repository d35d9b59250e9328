package castalia.deploy.command;

import castalia.deploy.bench.KernelProfile;
import castalia.deploy.bench.MachineCeilings;
import castalia.deploy.bench.StepBench;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.JsonOption;
import castalia.deploy.train.DeviceChoice;
import castalia.deploy.train.Hosting;
import castalia.deploy.train.Wiring;
import castalia.kernels.Device;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.model.PythiaModels;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import castalia.workers.data.SyntheticBatches;
import castalia.workers.model.ModelPlan;
import java.io.PrintWriter;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code bench kernels}. */
@Command(
        name = "kernels",
        description = {
            "Time each kernel within training steps on made-up tokens, beside what this machine can do: its",
            "fastest matrix product and a copy that no cache holds. GB/s counts every operand once;",
            "kernels whose operands are still in a cache may be faster than the copy."
        },
        footer = {"", "Examples:",
                "  ./castalia bench kernels --model pythia-70m --dtype bf16",
                "  ./castalia bench kernels --model pythia-14m --portable --json"})
final class BenchKernelsCommand implements Callable<Integer> {
    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Mixin
    private JsonOption json = new JsonOption();

    @Option(names = "--model", paramLabel = "NAME", description = "Default: pythia-70m.")
    private String model = "pythia-70m";

    @Option(names = "--dtype", paramLabel = "TYPE", description = "fp32 (default), bf16 or fp16.")
    private String dtype = "fp32";

    @Option(names = "--seq", paramLabel = "S", description = "Tokens of a sequence (default 2048).")
    private int sequence = 2048;

    @Option(names = "--threads", paramLabel = "N",
            description = "Computing threads (default: all processors).")
    private int threads = Runtime.getRuntime().availableProcessors();

    @Option(names = "--steps", paramLabel = "N", description = "Timed steps (default 5).")
    private int steps = 5;

    @Option(names = "--warmup", paramLabel = "N", description = "Steps before them (default 3).")
    private int warmup = 3;

    @Option(names = "--portable",
            description = "Compute matrix products in Java, with bits that any machine gives.")
    private boolean portable;

    /**
     * One kernel.
     *
     * @param kernel what was measured
     * @param ceiling_share its rate in that of the machine: products and attention in the fastest
     *     product, the others in the copy
     */
    @SuppressWarnings("MemberName") // the names of the JSON line
    record Line(KernelProfile.Line kernel, double ceiling_share) {}

    /**
     * What was measured.
     *
     * @param ceiling_gflops the fastest product
     * @param ceiling_gb_per_s the copy
     * @param step_gflops the whole step
     * @param step_ceiling_share the whole step's share of the fastest product
     * @param accounted_share share of the steps' time that the kernels took
     */
    @SuppressWarnings("MemberName") // the names of the JSON line
    record Result(
            String model, String dtype, int threads, String device, double ceiling_gflops,
            double ceiling_gb_per_s, double step_s, double step_gflops, double step_ceiling_share,
            double accounted_share, List<Line> kernels) {}

    @Override
    public Integer call() {
        if (DeviceChoice.ofProcess().cuda()) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID,
                    "bench kernels times kernels of the CPU; a GPU's run on after the call returns");
        }
        if (steps < 1 || warmup < 0) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID,
                    "--steps " + steps + " must be at least 1 and --warmup " + warmup + " at least 0");
        }
        PythiaModels.Preset preset = BenchCommand.preset(model);
        Precision precision = BenchCommand.precision(dtype);
        CastaliaHome home = CastaliaHome.ofProcess();
        try {
            TrainingPlan plan = StepBench.plan(
                    preset, precision, sequence, 1, 1, 1, warmup + (long) steps);
            Hosting hosting = new Hosting(1, threads, Recomputation.NONE, portable, Long.MAX_VALUE);
            MachineCeilings ceilings;
            try (Device device = Wiring.devices(hosting, home).apply(0)) {
                ceilings = MachineCeilings.of(device, ModelPlan.computeType(precision));
            }
            StepBench.Result step = StepBench.run(preset.fullName(), plan, new SyntheticBatches(
                    Wiring.batches(plan), plan.model().vocabulary(), plan.seed()), hosting, home,
                    warmup, steps, true, _ -> {});
            report(result(step, ceilings));
        } catch (IllegalArgumentException e) {
            throw CastaliaException.of(ErrorCode.CONFIG_INVALID, e);
        }
        return 0;
    }

    private static Result result(StepBench.Result step, MachineCeilings ceilings) {
        List<Line> lines = step.profile().stream().map(kernel -> new Line(kernel, kernel.gflops() > 0
                ? kernel.gflops() / ceilings.gflops()
                : kernel.gb_per_s() / ceilings.copy())).toList();
        return new Result(step.model(), step.dtype(), step.threads(), step.device(),
                ceilings.gflops(), ceilings.copy(), step.step_s(), step.gflops(),
                step.gflops() / ceilings.gflops(), 1 - step.profile().getLast().share(), lines);
    }

    private void report(Result result) {
        PrintWriter out = spec.commandLine().getOut();
        out.printf(Locale.ROOT, "%s %s, %s%n", result.model(), result.dtype(), result.device());
        out.printf(Locale.ROOT, "this machine: products %.1f GFLOP/s, copy %.1f GB/s%n",
                result.ceiling_gflops(), result.ceiling_gb_per_s());
        out.printf(Locale.ROOT, "the step: %.4f s, %.1f GFLOP/s, %.0f %% of the fastest product; kernels"
                + " take %.1f %% of it%n", result.step_s(), result.step_gflops(),
                result.step_ceiling_share() * 100, result.accounted_share() * 100);
        out.printf(Locale.ROOT, "%-40s %6s %10s %7s %16s %8s%n",
                "kernel", "calls", "ms a step", "share", "rate", "ceiling");
        for (Line line : result.kernels()) {
            KernelProfile.Line kernel = line.kernel();
            boolean counted = kernel.gflops() > 0;
            out.printf(Locale.ROOT, "%-40s %6.0f %10.3f %5.1f %% %8.1f %-7s %5.0f %%%n",
                    kernel.kernel(), kernel.calls(), kernel.ms(), kernel.share() * 100,
                    counted ? kernel.gflops() : kernel.gb_per_s(), counted ? "GFLOP/s" : "GB/s",
                    line.ceiling_share() * 100);
        }
        json.printLast(out, result);
    }
}
