package castalia.workers.rank;

import castalia.kernels.Device;
import castalia.kernels.Repetition;
import castalia.kernels.cpu.CpuDevice;
import castalia.kernels.cpu.CpuSettings;
import castalia.kernels.cpu.MatmulEngine;
import castalia.kernels.cuda.CudaDevice;
import castalia.kernels.cuda.CudaSettings;
import castalia.kernels.reference.ReferenceDevice;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.schedule.LearningRateSchedule;
import castalia.protocol.schedule.LossScaler;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.StateDigest;
import castalia.testing.CudaStandIn;
import castalia.workers.data.BatchShape;
import castalia.workers.data.BatchSource;
import castalia.workers.data.SyntheticBatches;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.function.IntFunction;

/** Small runs for tests, and the one place that says which back end they use. */
public final class TinyRun {

    /** Long enough for a busy machine, short enough to end a test that hangs. */
    public static final Duration DEADLINE = Duration.ofSeconds(30);

    /** The ZeRO stages that ranks compute with. */
    public static final List<Integer> STAGES = List.of(0, 1, 2, 3);

    private static final long MEMORY_BYTES = 1L << 30;

    private TinyRun() {}

    /**
     * What must not change a bit.
     *
     * @param ranks ranks of the process
     * @param threads threads of each rank's device; 0 for the plain reference
     * @param recomputation what is computed again
     */
    public record Layout(int ranks, int threads, Recomputation recomputation) {

        /** One rank with one thread that keeps everything. */
        public static Layout plain() {
            return new Layout(1, 1, Recomputation.NONE);
        }

        /** As plain, with more ranks. */
        public static Layout ranks(int ranks) {
            return new Layout(ranks, 1, Recomputation.NONE);
        }

        IntFunction<Device> devices() {
            return threads == 0 ? _ -> new ReferenceDevice() : TinyRun.devices(threads);
        }
    }

    /** The devices that tests compute on. */
    public static IntFunction<Device> devices(int threads) {
        String natives = System.getProperty("castalia.root", ".") + "/.castalia/natives";
        CpuSettings settings =
                new CpuSettings(threads, natives, MEMORY_BYTES, MatmulEngine.AUTO);
        return _ -> new CpuDevice(settings);
    }

    /** A CUDA device on the stand-in for the driver; aborts the test of that name without it. */
    public static CudaDevice cuda(String test, int ordinal) {
        return cuda(test, ordinal, Repetition.AUTO);
    }

    /** As the other, with or without graphs. */
    static CudaDevice cuda(String test, int ordinal, Repetition graphs) {
        CudaStandIn.environment("CASTALIA_STANDIN_DEVICES", "8");
        String natives = System.getProperty("castalia.root", ".") + "/.castalia/natives";
        return new CudaDevice(new CudaSettings(ordinal, CudaStandIn.driver(test),
                CudaStandIn.folder(), natives, MEMORY_BYTES / 8, graphs));
    }

    /** Two layers of width 24 with 4 heads; parallel residual, erf. */
    public static ModelShape shape() {
        return shape(102, true, Gelu.ERF, 1);
    }

    /** As {@link #shape()}, with what tests vary. */
    public static ModelShape shape(
            int vocabulary, boolean parallelResidual, Gelu gelu, int publishedModelParallel) {
        return new ModelShape(2, 24, 4, 80, vocabulary, 20, 4, 10000, 1e-5, parallelResidual, gelu,
                publishedModelParallel);
    }

    /** Eight heads and eight tensor slices, as little of everything else as can be; eight virtual ranks. */
    public static TrainingPlan.Builder eightSlices() {
        ModelShape shape =
                new ModelShape(1, 16, 8, 32, 64, 8, 2, 10000, 1e-5, true, Gelu.ERF, 1);
        return plan(shape).tensorSlices(8).virtualRanks(8);
    }

    /** A plan of 8 sequences of 20 tokens over 4 virtual ranks. */
    public static TrainingPlan.Builder plan(ModelShape shape) {
        return TrainingPlan.builder(shape, new LearningRateSchedule.Constant(3e-3, 0))
                .virtualRanks(4)
                .globalBatch(8)
                .microBatch(1)
                .sequence(shape.maxPositions())
                .trainSteps(30);
    }

    /** The plan in a precision; in fp16 with a scale that overflows at once and ever again. */
    public static TrainingPlan in(TrainingPlan plan, Precision precision) {
        return plan.toBuilder().precision(precision)
                .lossScaler(precision == Precision.FP16
                        ? new LossScaler.Dynamic(0x1p19, 3, 1, 1)
                        : new LossScaler.None())
                .build();
    }

    /** How the batches of a plan are cut. */
    public static BatchShape batches(TrainingPlan plan) {
        return new BatchShape(
                plan.globalBatch(), plan.virtualRanks(), plan.microBatch(), plan.sequence());
    }

    /** The tokens of a plan, the same on every rank. */
    public static List<BatchSource> sources(TrainingPlan plan, int ranks) {
        return Collections.nCopies(
                ranks, new SyntheticBatches(batches(plan), plan.model().vocabulary(), 7));
    }

    /** Ranks with the initial weights of a plan. */
    public static RankGroup group(TrainingPlan plan, Layout layout) {
        RankGroup group = new RankGroup(RankSettings.of(plan, layout.recomputation()),
                layout.ranks(), layout.devices(), DEADLINE);
        StateTransfer.initialise(group, Initialisation.Drawn.published());
        return group;
    }

    /**
     * Runs a plan.
     *
     * @return the digest of the state before every step, and the last one
     */
    public static List<StateDigest> trace(TrainingPlan plan, Layout layout, int steps) {
        try (RankGroup group = group(plan, layout)) {
            List<StateDigest> digests = new ArrayList<>(trace(group, steps));
            digests.add(group.digest());
            return digests;
        }
    }

    /** The digests of the states before the next steps of a group. */
    static List<StateDigest> trace(RankGroup group, int steps) {
        List<BatchSource> sources =
                sources(group.settings().plan(), group.placement().ranks());
        List<StateDigest> digests = new ArrayList<>();
        for (int s = 0; s < steps; s++) {
            digests.add(group.step(sources).getFirst().stateBefore());
        }
        return digests;
    }
}
