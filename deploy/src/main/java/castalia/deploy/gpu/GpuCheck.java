package castalia.deploy.gpu;

import castalia.deploy.bench.StepBench;
import castalia.deploy.cluster.ChildJvms;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.train.DeviceChoice;
import castalia.deploy.train.Hosting;
import castalia.deploy.train.MachineMemory;
import castalia.deploy.train.Wiring;
import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.MatmulShape;
import castalia.kernels.cuda.Gpu;
import castalia.protocol.CastaliaException;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.model.PythiaModels;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.schedule.LearningRateSchedule;
import castalia.protocol.schedule.LossScaler;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import castalia.workers.data.SyntheticBatches;
import castalia.workers.model.ModelPlan;
import castalia.workers.rank.StepReport;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;

/**
 * Checks a GPU: training beside the CPU's, the same bits twice and on several ranks, products of a
 * part of the rows, recovery of processes that share it, and steps per second of Pythia models.
 * What there is no time left for is listed as not run.
 */
public final class GpuCheck {

    /** Relative difference of losses in fp32 and of sums in another order. */
    private static final double LOSS_BOUND = 1e-4;

    private static final double NORM_BOUND = 1e-3;
    private static final int RECOVERY_SECONDS = 240;

    /** The fewest that the demo takes. */
    private static final String RECOVERY_STEPS = "12";

    /** What was begun in time may last so long after it. */
    private static final int GRACE_SECONDS = 100;

    private static final int GOODBYE_SECONDS = 30;

    /** Dense peak of BF16, from data sheets, by words of a GPU's name. */
    private record Peak(String word, double flops) {}

    private static final List<Peak> PEAKS = List.of(new Peak("H200", 989.4e12),
            new Peak("H100 PCIe", 756e12), new Peak("H100", 989.4e12), new Peak("A100", 312e12));

    /**
     * How it is checked.
     *
     * @param models Pythia models to time, such as {@code 160m}
     * @param sequence tokens of their sequences
     * @param batch most sequences of their micro-batch; fewer where they do not fit
     * @param steps timed steps of each
     * @param recovery whether processes are killed, too
     * @param limit time after which nothing more is begun
     */
    public record Settings(
            List<String> models, int sequence, int batch, int steps, boolean recovery,
            Duration limit) {

        public Settings {
            models = List.copyOf(models);
        }
    }

    /**
     * One thing looked at.
     *
     * @param name what
     * @param result {@code holds}, {@code fails} or {@code not run}
     * @param detail figures, or why
     */
    public record Finding(String name, String result, String detail) {}

    /**
     * A model's speed.
     *
     * @param step what was measured
     * @param mfu share of the GPU's BF16 peak; 0 where that is not known
     */
    public record Speed(StepBench.Result step, double mfu) {}

    /**
     * Everything.
     *
     * @param holds whether nothing failed
     * @param gpus the devices of the machine
     * @param device what computed, with its numeric version
     * @param findings in order
     * @param speeds of the models
     */
    public record Report(boolean holds, List<Gpu> gpus, String device, List<Finding> findings,
            List<Speed> speeds) {}

    private final Settings settings;
    private final CastaliaHome home;
    private final Consumer<String> told;
    private final long begun = System.nanoTime();
    private final List<Finding> findings = new ArrayList<>();
    private final List<Speed> speeds = new ArrayList<>();

    /** @param told gets each line for people as soon as it is known */
    public GpuCheck(Settings settings, CastaliaHome home, Consumer<String> told) {
        this.settings = settings;
        this.home = home;
        this.told = told;
    }

    /**
     * Checks the device that was chosen.
     *
     * @throws CastaliaException if there is none
     */
    public Report run() {
        List<Gpu> gpus = DeviceChoice.all(home);
        gpus.forEach(gpu -> told.accept(String.format(Locale.ROOT, "gpu %d       %s, sm_%d, %d"
                + " multiprocessors, %.1f GiB", gpu.ordinal(), gpu.name(), gpu.capability(),
                gpu.multiprocessors(), gpu.memoryBytes() / (double) (1 << 30))));
        String version = answers();
        attempt("training beside the CPU", this::parity);
        attempt("the same bits twice and on two ranks", this::determinism);
        attempt("products of a part of the rows", this::rowSplit);
        if (settings.recovery) {
            attempt("recovery of processes that share the GPU", this::recovery);
        } else {
            add("recovery of processes that share the GPU", "not run", "not asked for");
        }
        settings.models.forEach(model -> attempt("speed of pythia-" + model, () -> speed(model, gpus)));
        boolean holds = findings.stream().noneMatch(f -> f.result.equals("fails"));
        return new Report(holds, gpus, version, List.copyOf(findings), List.copyOf(speeds));
    }

    private interface Look {
        String at() throws IOException, InterruptedException;
    }

    private static final class Wrong extends RuntimeException {
        private static final long serialVersionUID = 1;

        Wrong(String detail) {
            super(detail);
        }
    }

    private void attempt(String name, Look look) {
        if (System.nanoTime() - begun > settings.limit.toNanos()) {
            add(name, "not run", "the time was up");
            return;
        }
        try {
            add(name, "holds", look.at());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            add(name, "not run", "interrupted");
        } catch (IOException | RuntimeException e) {
            add(name, "fails", String.valueOf(e.getMessage()).lines().findFirst().orElse(""));
        }
    }

    private void add(String name, String result, String detail) {
        findings.add(new Finding(name, result, detail));
        told.accept(String.format("%-8s    %s: %s", result, name, detail));
    }

    private Device device(int rank) {
        return Wiring.devices(new Hosting(1, 1, Recomputation.NONE), 2, home).apply(rank);
    }

    /** Two devices of the process give the same known answers. */
    private String answers() {
        try (Device one = device(0); Device other = device(0)) {
            String version = ModelPlan.numericVersion(one);
            told.accept("device      " + one.description());
            if (version.equals(ModelPlan.numericVersion(other))) {
                add("known answers of kernels and products twice", "holds", version);
            } else {
                add("known answers of kernels and products twice", "fails",
                        version + " and " + other.numericVersion().answers());
            }
            return version;
        }
    }

    /** The geometry of pythia-14m with few tokens and a small vocabulary. */
    private static TrainingPlan small(Precision precision) {
        ModelShape shape =
                new ModelShape(2, 128, 4, 512, 512, 32, 8, 10000, 1e-5, true, Gelu.TANH, 1);
        return TrainingPlan.builder(shape, new LearningRateSchedule.Constant(1e-3, 0))
                .virtualRanks(2).globalBatch(4).microBatch(2).sequence(32).precision(precision)
                .lossScaler(new LossScaler.None()).trainSteps(3).build();
    }

    private StepBench.Result steps(TrainingPlan plan, int ranks, List<StepReport> reports) {
        SyntheticBatches source = new SyntheticBatches(
                Wiring.batches(plan), plan.model().vocabulary(), plan.seed());
        return StepBench.run("small", plan, source,
                new Hosting(ranks, 1, Recomputation.NONE), home, 0, 3, false, reports::add);
    }

    private String parity() {
        List<StepReport> gpu = new ArrayList<>();
        steps(small(Precision.FP32), 1, gpu);
        List<StepReport> cpu = new ArrayList<>();
        String chosen = DeviceChoice.ofProcess().name();
        try {
            DeviceChoice.choose("cpu");
            steps(small(Precision.FP32), 1, cpu);
        } finally {
            DeviceChoice.choose(chosen);
        }
        double loss = 0;
        double norm = 0;
        for (int s = 0; s < cpu.size(); s++) {
            loss = Math.max(loss, Math.abs(gpu.get(s).loss() / cpu.get(s).loss() - 1));
            norm = Math.max(
                    norm, Math.abs(gpu.get(s).gradientNorm() / cpu.get(s).gradientNorm() - 1));
        }
        String detail = String.format(Locale.ROOT,
                "losses of three steps in fp32 differ by %.1e, norms by %.1e", loss, norm);
        if (!(loss < LOSS_BOUND && norm < NORM_BOUND)) {
            throw new Wrong(detail);
        }
        return detail;
    }

    private String determinism() {
        TrainingPlan plan = small(Precision.BF16);
        String digest = steps(plan, 1, new ArrayList<>()).digest();
        String again = steps(plan, 1, new ArrayList<>()).digest();
        String two = steps(plan, 2, new ArrayList<>()).digest();
        if (!digest.equals(again) || !digest.equals(two)) {
            throw new Wrong("digests " + digest + ", again " + again + ", on two ranks " + two);
        }
        return "digest " + digest + " three times";
    }

    /** No promise rests on it: shapes are the specification's. It tells what cublasLt does. */
    private String rowSplit() {
        int rows = 512;
        int width = 256;
        try (Device device = device(0); Arena arena = device.arena()) {
            Buffer x = arena.allocate(DType.BF16, (long) rows * width);
            Buffer weight = arena.allocate(DType.BF16, (long) width * width);
            Buffer whole = arena.allocate(DType.BF16, (long) rows * width);
            Buffer parts = arena.allocate(DType.BF16, (long) rows * width);
            device.kernels().normal(x, 1, 1, 1, 0, 0, width, rows, width);
            device.kernels().normal(weight, 1, 1, 2, 0, 0, width, width, width);
            device.kernels().matmul(MatmulShape.forward(
                    rows, width, width, DType.BF16, DType.BF16, false), whole, x, weight, null);
            int half = rows / 2;
            for (int part = 0; part < 2; part++) {
                long at = (long) part * half * width;
                device.kernels().matmul(MatmulShape.forward(half, width, width, DType.BF16,
                        DType.BF16, false), parts.slice(at, (long) half * width),
                        x.slice(at, (long) half * width), weight, null);
            }
            return Arrays.equals(bytes(device, whole), bytes(device, parts))
                    ? "a product and its two halves are equal, bit for bit"
                    : "a product and its two halves differ (no promise rests on it)";
        }
    }

    private static byte[] bytes(Device device, Buffer buffer) {
        byte[] bytes = new byte[(int) buffer.segment().byteSize()];
        device.download(MemorySegment.ofArray(bytes), buffer);
        return bytes;
    }

    private String recovery() throws IOException, InterruptedException {
        Process demo = ChildJvms.piped(List.of("demo", "--steps", RECOVERY_STEPS));
        List<String> last = new ArrayList<>();
        Thread reader = Thread.ofVirtual().start(() -> {
            try (InputStream out = demo.getInputStream()) {
                new String(out.readAllBytes(), java.nio.charset.StandardCharsets.UTF_8).lines()
                        .filter(line -> line.startsWith("recovery") || line.startsWith("verdict"))
                        .forEach(last::add);
            } catch (IOException _) {
                // It ended: its exit code says how.
            }
        });
        long left = settings.limit.toSeconds() + GRACE_SECONDS
                - TimeUnit.NANOSECONDS.toSeconds(System.nanoTime() - begun);
        long patience = Math.min(Math.max(RECOVERY_SECONDS, settings.limit.toSeconds() / 2), left);
        try {
            if (!demo.waitFor(patience, TimeUnit.SECONDS)) {
                throw new Wrong("the demo was not done after " + patience + " s");
            }
            reader.join();
        } finally { // nothing of it runs beside what is timed next
            demo.destroy();
            demo.onExit().completeOnTimeout(demo, GOODBYE_SECONDS, TimeUnit.SECONDS).join();
        }
        if (demo.exitValue() != 0) {
            throw new Wrong("the demo ended with exit code " + demo.exitValue() + ": " + last);
        }
        return String.join("; ", last);
    }

    /**
     * Steps of one micro-batch, of as many sequences as fit.
     *
     * @throws Wrong if not one does
     */
    private TrainingPlan timed(PythiaModels.Preset preset, Hosting hosting, int sequences) {
        TrainingPlan plan = TrainingPlan.builder(
                preset.shape(), new LearningRateSchedule.Constant(preset.peakRate(), 0))
                .virtualRanks(1).globalBatch(sequences).microBatch(sequences)
                .sequence(settings.sequence).precision(Precision.BF16)
                .lossScaler(new LossScaler.None()).trainSteps(2L + settings.steps).build();
        if (MachineMemory.fits(plan, hosting)) {
            return plan;
        }
        if (sequences == 1) {
            throw new Wrong("it does not fit the GPU's memory");
        }
        return timed(preset, hosting, sequences / 2);
    }

    private String speed(String model, List<Gpu> gpus) {
        PythiaModels.Preset preset = PythiaModels.all().stream()
                .filter(p -> p.name().equals(model)).findFirst()
                .orElseThrow(() -> new Wrong("there is no such model"));
        Hosting hosting = new Hosting(1, 1, Recomputation.NONE);
        TrainingPlan plan = timed(preset, hosting, settings.batch);
        SyntheticBatches source = new SyntheticBatches(
                Wiring.batches(plan), plan.model().vocabulary(), plan.seed());
        StepBench.Result result = StepBench.run(preset.fullName(), plan, source,
                hosting, home, 2, settings.steps, false, _ -> {});
        String gpu = gpus.get(DeviceChoice.ofProcess().ordinal().orElse(0)).name();
        double peak = PEAKS.stream().filter(p -> gpu.contains(p.word))
                .mapToDouble(Peak::flops).findFirst().orElse(0);
        // 6 N and 12 L h s a token, attention not halved, nothing for what is computed again.
        ModelShape shape = preset.shape();
        double perToken = 6.0 * shape.parameters()
                + 12.0 * shape.layers() * shape.hidden() * settings.sequence;
        double mfu = peak == 0 ? 0 : perToken * result.tokens_per_s() / peak;
        speeds.add(new Speed(result, mfu));
        return String.format(Locale.ROOT, "%.1f tokens/s in bf16, %d sequences of %d tokens%s",
                result.tokens_per_s(), plan.microBatch(), settings.sequence,
                peak == 0 ? "" : String.format(Locale.ROOT, ", MFU %.1f %%", 100 * mfu));
    }
}
