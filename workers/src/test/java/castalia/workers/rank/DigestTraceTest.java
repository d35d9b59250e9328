package castalia.workers.rank;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.schedule.LossScaler;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.StateDigest;
import castalia.workers.rank.TinyRun.Layout;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** The state after every step is a function of the specification alone. */
@Tag("default")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(value = 5, unit = TimeUnit.MINUTES)
class DigestTraceTest {

    private static final int STEPS = 30;

    /** Specifications, each with bits of its own. */
    @SuppressWarnings("ImmutableEnumChecker") // a plan is a value
    enum Specification {
        FP32(TinyRun.plan(TinyRun.shape())),
        FP32_T2(TinyRun.plan(TinyRun.shape()).tensorSlices(2)),
        FP32_V104(TinyRun.plan(shape104())),
        FP32_T4(TinyRun.plan(shape104()).tensorSlices(4)),
        BF16(TinyRun.plan(TinyRun.shape()).precision(Precision.BF16)),
        BF16_T2(TinyRun.plan(TinyRun.shape()).precision(Precision.BF16).tensorSlices(2)),
        FP16(TinyRun.plan(TinyRun.shape()).precision(Precision.FP16)
                .lossScaler(LossScaler.Dynamic.published())),
        FP16_T2(TinyRun.plan(TinyRun.shape()).precision(Precision.FP16)
                .lossScaler(LossScaler.Dynamic.published()).tensorSlices(2)),
        SEQUENTIAL(TinyRun.plan(TinyRun.shape(102, false, Gelu.ERF, 1))),
        SEQUENTIAL_TANH_BF16_T2(TinyRun.plan(TinyRun.shape(102, false, Gelu.TANH, 1))
                .precision(Precision.BF16).tensorSlices(2)),
        TANH(TinyRun.plan(TinyRun.shape(102, true, Gelu.TANH, 1))),
        PUBLISHED_MODEL_PARALLEL_2(TinyRun.plan(TinyRun.shape(102, true, Gelu.ERF, 2))),
        PUBLISHED_MODEL_PARALLEL_2_T2(
                TinyRun.plan(TinyRun.shape(102, false, Gelu.TANH, 2)).tensorSlices(2)),
        ANOTHER_SEED(TinyRun.plan(TinyRun.shape()).seed(4321)),
        MICRO_BATCH_2(TinyRun.plan(TinyRun.shape()).microBatch(2)),
        V2(TinyRun.plan(TinyRun.shape()).virtualRanks(2)),
        V8(TinyRun.plan(TinyRun.shape()).virtualRanks(8));

        private final TrainingPlan plan;

        Specification(TrainingPlan.Builder plan) {
            this.plan = plan.build();
        }
    }

    private static ModelShape shape104() {
        return TinyRun.shape(104, true, Gelu.ERF, 1);
    }

    private final Map<Specification, List<StateDigest>> undisturbed =
            new EnumMap<>(Specification.class);

    private List<StateDigest> undisturbed(Specification specification) {
        return undisturbed.computeIfAbsent(
                specification, s -> TinyRun.trace(s.plan, Layout.plain(), STEPS));
    }

    @ParameterizedTest
    @EnumSource(names = {"FP32", "FP32_T2", "FP32_T4", "BF16", "BF16_T2", "FP16",
        "FP16_T2", "SEQUENTIAL_TANH_BF16_T2", "MICRO_BATCH_2"})
    void ranksThreadsAndRecomputationChangeNoBit(Specification specification) {
        changeNoBit(specification);
    }

    @Tag("default")
    @ParameterizedTest
    @EnumSource
    void ranksThreadsAndRecomputationChangeNoBitOfAnySpecification(Specification specification) {
        changeNoBit(specification);
    }

    private void changeNoBit(Specification specification) {
        List<StateDigest> expected = undisturbed(specification);
        assertThat(expected).hasSize(STEPS + 1).doesNotHaveDuplicates();
        List<Layout> layouts = new ArrayList<>(List.of(
                new Layout(1, 2, Recomputation.BLOCK), new Layout(2, 1, Recomputation.BLOCK)));
        if (specification.plan.virtualRanks() >= 4) {
            layouts.add(new Layout(3, 2, Recomputation.NONE));
            layouts.add(new Layout(4, 1, Recomputation.BLOCK));
        }
        for (Layout layout : layouts) {
            assertThat(TinyRun.trace(specification.plan, layout, STEPS))
                    .as("%s, %s", specification, layout)
                    .isEqualTo(expected);
        }
    }

    @Tag("default")
    @ParameterizedTest
    @EnumSource(names = {"FP32", "FP32_T2", "FP32_T4", "BF16", "BF16_T2"})
    void noCombinationOfRanksThreadsAndRecomputationChangesABit(Specification specification) {
        List<StateDigest> expected = undisturbed(specification);
        int most = Math.min(4, specification.plan.virtualRanks());
        for (Recomputation recomputation : Recomputation.values()) {
            for (int ranks = 1; ranks <= most; ranks++) {
                for (int threads = 1; threads <= 2; threads++) {
                    Layout layout = new Layout(ranks, threads, recomputation);
                    assertThat(TinyRun.trace(specification.plan, layout, STEPS))
                            .as("%s, %s", specification, layout)
                            .isEqualTo(expected);
                }
            }
        }
    }

    @Test
    void everySpecificationHasDigestsOfItsOwn() {
        List<StateDigest> all = new ArrayList<>();
        for (Specification specification : Specification.values()) {
            all.add(undisturbed(specification).getLast());
        }
        assertThat(all).doesNotHaveDuplicates();
    }

    @Test
    void initialWeightsDependOnTheSeedAndNotOnPrecisionOrVirtualRanks() {
        StateDigest initial = undisturbed(Specification.FP32).getFirst();
        assertThat(undisturbed(Specification.BF16).getFirst()).isEqualTo(initial);
        assertThat(undisturbed(Specification.MICRO_BATCH_2).getFirst()).isEqualTo(initial);
        assertThat(undisturbed(Specification.V8).getFirst()).isEqualTo(initial);
        assertThat(undisturbed(Specification.ANOTHER_SEED).getFirst()).isNotEqualTo(initial);
    }

    @ParameterizedTest
    @CsvSource({"3, 2", "3, 3", "5, 2", "5, 3", "5, 4", "5, 5", "6, 4", "7, 3"})
    void virtualRanksThatAreNoPowerOfTwoFoldTheSameOnEveryNumberOfRanks(
            int virtualRanks, int ranks) {
        TrainingPlan plan = TinyRun.plan(TinyRun.shape())
                .virtualRanks(virtualRanks).globalBatch(2 * virtualRanks).build();
        assertThat(TinyRun.trace(plan, Layout.ranks(ranks), 4))
                .isEqualTo(TinyRun.trace(plan, Layout.plain(), 4))
                .doesNotHaveDuplicates();
    }

    @ParameterizedTest
    @EnumSource(names = {"FP32_T2", "BF16", "FP16", "SEQUENTIAL"})
    void thePlainReferenceKeepsTheSamePromise(Specification specification) {
        List<StateDigest> expected =
                TinyRun.trace(specification.plan, new Layout(1, 0, Recomputation.NONE), 3);
        assertThat(TinyRun.trace(specification.plan, new Layout(3, 0, Recomputation.BLOCK), 3))
                .isEqualTo(expected)
                .doesNotHaveDuplicates();
        assertThat(undisturbed(specification).getFirst()).isEqualTo(expected.getFirst());
        assertThat(undisturbed(specification).get(3))
                .as("back ends are close, not equal")
                .isNotEqualTo(expected.get(3));
    }
}
