package castalia.deploy.bench;

import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.train.Hosting;
import castalia.deploy.train.Wiring;
import castalia.kernels.Device;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.model.PythiaModels;
import castalia.protocol.schedule.LearningRateSchedule;
import castalia.protocol.schedule.LossScaler;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import castalia.workers.data.BatchReader;
import castalia.workers.data.BatchSource;
import castalia.workers.model.ProductAnswers;
import castalia.workers.rank.RankGroup;
import castalia.workers.rank.StateTransfer;
import castalia.workers.rank.StepReport;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.IntFunction;
import java.util.function.ToDoubleFunction;

/** Times whole training steps with the classes of {@code train}. */
public final class StepBench {

    /**
     * What was measured: medians over the timed steps.
     *
     * @param model name of the model
     * @param dtype compute type
     * @param seq tokens of a sequence
     * @param batch sequences of a step
     * @param threads computing threads
     * @param device what computed
     * @param steps steps timed, after the warm-up
     * @param tokens_per_s tokens per second of the median step
     * @param step_s seconds of the median step
     * @param min_s seconds of the fastest step
     * @param forward_s forward passes, without the head
     * @param backward_s backward passes and the head's sweep
     * @param reduction_s folding, reduction and votes
     * @param optimizer_s update and gather
     * @param exposed_s what of these a rank waited for others: communication that no computation hides
     * @param gflops billions of floating-point operations per second
     * @param peak_bytes peak resident memory of the process
     * @param parameters stored parameters
     * @param loss mean loss of the last step
     * @param total_steps steps executed, warm-up included
     * @param answers hash of the known answers of the run's products
     * @param digest digest of the state after them: that of {@code train} on the same configuration
     * @param profile by kernel, if it was asked for
     */
    @SuppressWarnings("MemberName") // the names of the JSON line
    public record Result(
            String model,
            String dtype,
            int seq,
            int batch,
            int threads,
            String device,
            int steps,
            double tokens_per_s,
            double step_s,
            double min_s,
            double forward_s,
            double backward_s,
            double reduction_s,
            double optimizer_s,
            double exposed_s,
            double gflops,
            long peak_bytes,
            long parameters,
            double loss,
            long total_steps,
            String answers,
            String digest,
            List<KernelProfile.Line> profile) {}

    private StepBench() {}

    /**
     * A run of made-up tokens at a constant learning rate.
     *
     * @throws IllegalArgumentException if there is none of these numbers
     */
    public static TrainingPlan plan(
            PythiaModels.Preset preset, Precision precision, int sequence, int batch,
            int virtualRanks, int tensorSlices, long steps) {
        return TrainingPlan.builder(preset.shape(), new LearningRateSchedule.Constant(
                preset.peakRate(), 0))
                .tensorSlices(tensorSlices)
                .virtualRanks(virtualRanks)
                .globalBatch(virtualRanks * batch)
                .microBatch(batch)
                .sequence(sequence)
                .precision(precision)
                .lossScaler(precision == Precision.FP16
                        ? LossScaler.Dynamic.published()
                        : new LossScaler.None())
                .trainSteps(steps)
                .build();
    }

    /**
     * Executes {@code warmup + steps} steps.
     *
     * @param profiled whether every kernel is timed; for one rank
     * @param onStep told of each
     */
    public static Result run(
            String name,
            TrainingPlan plan,
            BatchSource source,
            Hosting hosting,
            CastaliaHome home,
            int warmup,
            int steps,
            boolean profiled,
            Consumer<StepReport> onStep) {
        KernelProfile profile = new KernelProfile();
        IntFunction<Device> devices = Wiring.devices(hosting, home);
        try (RankGroup group = Wiring.ranks(plan, hosting, ParallelLayout.of(hosting.ranks()),
                profiled ? rank -> profile.around(devices.apply(rank)) : devices)) {
            ProductAnswers answers = Wiring.answers(group, hosting, home);
            StateTransfer.initialise(group, (Initialisation.Drawn) plan.initialisation());
            List<BatchReader> readers = Wiring.readers(group, source);
            double[] seconds = new double[steps];
            List<StepReport> reports = new ArrayList<>();
            double loss = 0;
            for (int i = -warmup; i < steps; i++) {
                if (i == 0) {
                    profile.clear();
                }
                long start = System.nanoTime();
                StepReport report = group.step(readers).getFirst();
                double taken = (System.nanoTime() - start) * 1e-9;
                onStep.accept(report);
                loss = report.loss();
                if (i >= 0) {
                    seconds[i] = taken;
                    reports.add(report);
                }
            }
            readers.forEach(BatchReader::close);
            List<KernelProfile.Line> lines = profiled
                    ? profile.lines(
                            group.rank(0).modelPlan(), steps, Arrays.stream(seconds).sum())
                    : List.of();
            double step = median(seconds);
            double flops = (double) group.rank(0).modelPlan().flops() * plan.microBatches();
            return new Result(name, plan.precision().name().toLowerCase(java.util.Locale.ROOT),
                    plan.sequence(), plan.globalBatch(), hosting.threads(),
                    group.rank(0).deviceDescription(), steps,
                    round(plan.tokensPerStep() / step, 1), round(step, 4),
                    round(Arrays.stream(seconds).min().orElse(0), 4),
                    median(reports, r -> r.times().forward()),
                    median(reports, r -> r.times().backward()),
                    median(reports, r -> r.times().reduction()),
                    median(reports, r -> r.times().optimizer()),
                    median(reports, r -> r.times().waited()), round(flops / step * 1e-9, 1),
                    peakBytes(), plan.model().parameters(), loss, group.scalars().step(),
                    answers.hash(), group.digest().hex(), lines);
        }
    }

    private static double median(List<StepReport> reports, ToDoubleFunction<StepReport> nanos) {
        return round(median(reports.stream().mapToDouble(nanos).map(n -> n * 1e-9).toArray()), 4);
    }

    private static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        int middle = sorted.length / 2;
        return sorted.length % 2 == 1
                ? sorted[middle]
                : (sorted[middle - 1] + sorted[middle]) / 2;
    }

    static double round(double value, int digits) {
        double scale = Math.pow(10, digits);
        return Math.round(value * scale) / scale;
    }

    /** Peak resident memory of this process in bytes, 0 where the system does not say. */
    public static long peakBytes() {
        try {
            for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
                if (line.startsWith("VmHWM:")) {
                    return Long.parseLong(line.replaceAll("\\D", "")) * 1024;
                }
            }
        } catch (IOException | NumberFormatException e) {
            return 0;
        }
        return 0;
    }
}
