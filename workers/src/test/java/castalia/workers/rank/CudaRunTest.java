package castalia.workers.rank;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import castalia.kernels.Device;
import castalia.kernels.Repetition;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.StateDigest;
import castalia.protocol.planner.Recomputation;
import castalia.testing.CudaStandIn;
import java.util.ArrayList;
import java.util.List;
import java.util.function.IntFunction;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Runs on the CUDA back end, on the stand-ins: no layout changes a bit there either. */
@Tag("default")
class CudaRunTest {

    private static final String NAME = "training on the CUDA back end";
    private static final int STEPS = 2;

    private static TrainingPlan plan(Precision precision) {
        return TinyRun.plan(TinyRun.shape()).virtualRanks(4).globalBatch(4).tensorSlices(2)
                .precision(precision).build();
    }

    private static StateDigest digest(TrainingPlan plan, ParallelLayout layout,
            IntFunction<Device> devices, Recomputation recomputation, List<StepReport> reports) {
        return digest(plan, layout, devices, recomputation, reports, STEPS);
    }

    private static StateDigest digest(TrainingPlan plan, ParallelLayout layout,
            IntFunction<Device> devices, Recomputation recomputation, List<StepReport> reports,
            int steps) {
        try (RankGroup group = new RankGroup(RankSettings.of(plan, recomputation), layout,
                devices, TinyRun.DEADLINE)) {
            StateTransfer.initialise(group, Initialisation.Drawn.published());
            for (int s = 0; s < steps; s++) {
                reports.add(group.step(TinyRun.sources(plan, layout.ranks())).getFirst());
            }
            return group.digest();
        }
    }

    private static StateDigest cuda(Precision precision, ParallelLayout layout) {
        return digest(plan(precision), layout, rank -> TinyRun.cuda(NAME, rank),
                Recomputation.NONE, new ArrayList<>());
    }

    @ParameterizedTest
    @CsvSource({"2, 1, 0, 0", "2, 1, 1, 1", "4, 1, 2, 1", "2, 1, 3, 1", "1, 2, 0, 0", "2, 2, 1, 1",
        "1, 2, 3, 0"})
    void noLayoutChangesABit(int replicas, int tensorParallel, int zero, int buddies) {
        StateDigest alone = cuda(Precision.BF16, ParallelLayout.of(1));
        assertThat(cuda(Precision.BF16,
                new ParallelLayout(replicas, tensorParallel, zero, buddies))).isEqualTo(alone);
    }

    /** A payload that goes to three ranks at once. */
    @Test
    void aReplicaOnFourRanksDoesNotEither() {
        TrainingPlan plan = TinyRun.eightSlices().build();
        StateDigest alone = digest(plan, ParallelLayout.of(1), rank -> TinyRun.cuda(NAME, rank),
                Recomputation.NONE, new ArrayList<>());
        assertThat(digest(plan, new ParallelLayout(2, 4, 1, 1), rank -> TinyRun.cuda(NAME, rank),
                Recomputation.NONE, new ArrayList<>())).isEqualTo(alone);
    }

    /** Several micro-batches, so that passes are recorded, repeated, and recorded for another scale. */
    @ParameterizedTest
    @CsvSource({"1, FP32", "1, FP16", "2, BF16"})
    void graphsDoNotEither(int replicas, Precision precision) {
        TrainingPlan plan = TinyRun.in(
                plan(Precision.FP32).toBuilder().globalBatch(8).build(), precision);
        List<StateDigest> digests = new ArrayList<>();
        for (Repetition graphs : Repetition.values()) {
            long launches = CudaStandIn.calls("cuGraphLaunch", true);
            digests.add(digest(plan, ParallelLayout.of(replicas),
                    rank -> TinyRun.cuda(NAME, rank, graphs), Recomputation.NONE,
                    new ArrayList<>(), 3 * STEPS)); // gradients lie in several buffers in turn
            assertThat(CudaStandIn.calls("cuGraphLaunch", true) > launches)
                    .isEqualTo(graphs != Repetition.OFF);
        }
        assertThat(digests).containsOnly(digests.getFirst());
    }

    @Test
    void recomputationDoesNotEither() {
        StateDigest kept = cuda(Precision.FP32, ParallelLayout.of(1));
        assertThat(digest(plan(Precision.FP32), ParallelLayout.of(2),
                rank -> TinyRun.cuda(NAME, rank), Recomputation.BLOCK, new ArrayList<>()))
                .isEqualTo(kept);
    }

    @ParameterizedTest
    @CsvSource({"FP32, 1e-6", "BF16, 1e-2", "FP16, 1e-2"})
    void lossesAndNormsAreCloseToThoseOfTheCpu(Precision precision, double tolerance) {
        TrainingPlan plan = TinyRun.in(plan(Precision.FP32), precision);
        List<StepReport> cuda = new ArrayList<>();
        digest(plan, ParallelLayout.of(1), rank -> TinyRun.cuda(NAME, rank), Recomputation.NONE,
                cuda);
        List<StepReport> cpu = new ArrayList<>();
        digest(plan, ParallelLayout.of(1), TinyRun.devices(1), Recomputation.NONE, cpu);
        for (int s = 0; s < STEPS; s++) {
            assertThat(cuda.get(s).loss())
                    .isCloseTo(cpu.get(s).loss(), within(tolerance * cpu.get(s).loss()));
            if (Double.isNaN(cpu.get(s).gradientNorm())) {
                assertThat(cuda.get(s).gradientNorm()).isNaN(); // both skipped
            } else {
                assertThat(cuda.get(s).gradientNorm()).isCloseTo(cpu.get(s).gradientNorm(),
                        within(10 * tolerance * cpu.get(s).gradientNorm()));
            }
        }
    }
}
