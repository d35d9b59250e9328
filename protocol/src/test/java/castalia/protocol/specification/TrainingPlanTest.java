package castalia.protocol.specification;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.Samples;
import castalia.protocol.model.PythiaModels;
import castalia.protocol.schedule.LearningRateSchedule;
import castalia.protocol.schedule.LossScaler;
import castalia.protocol.specification.Problems.Problem;
import java.util.List;
import org.junit.jupiter.api.Test;

class TrainingPlanTest {

    private static TrainingPlan.Builder builder() {
        return Samples.plan().toBuilder();
    }

    private static void assertRefused(TrainingPlan.Builder builder, String message) {
        assertThatThrownBy(builder::build)
                .isInstanceOf(ProblemsException.class)
                .hasMessage(message);
    }

    @Test
    void theBatchIsCutIntoVirtualRanksAndMicroBatches() {
        RunSpecification s = Samples.specification();
        assertThat(s.globalBatch()).isEqualTo(16);
        assertThat(s.virtualRanks()).isEqualTo(4);
        assertThat(s.sequencesPerVirtualRank()).isEqualTo(4);
        assertThat(s.microBatchesPerVirtualRank()).isEqualTo(2);
        assertThat(s.microBatches()).isEqualTo(8);
        assertThat(s.tokensPerStep()).isEqualTo(16 * 32);
        assertThat(s.tokensPerMicroBatch()).isEqualTo(2 * 32);
    }

    @Test
    void aPublishedRunHasTwoMillionTokensPerStep() {
        TrainingPlan plan = TrainingPlan.builder(
                        PythiaModels.named("12b").orElseThrow().shape(),
                        new LearningRateSchedule.NeoxV1(1.2e-4, 1.2e-5, 1430, 143_000))
                .globalBatch(1024).microBatch(8).virtualRanks(64).trainSteps(143_000).build();
        assertThat(plan.tokensPerStep()).isEqualTo(2_097_152);
        assertThat(plan.tokensPerStep() * plan.trainSteps()).isEqualTo(299_892_736_000L);
    }

    @Test
    void aBuilderFromAPlanBuildsThePlan() {
        assertThat(builder().build()).isEqualTo(Samples.plan());
        assertThat(Samples.other().plan().toBuilder().build()).isEqualTo(Samples.other().plan());
        assertThat(builder().seed(5).build()).isNotEqualTo(Samples.plan());
    }

    @Test
    void partsThatDoNotDivideAreRefusedWithTheirNumbers() {
        assertRefused(builder().virtualRanks(3),
                "virtual-ranks: 3 must divide the global batch of 16 sequences");
        assertRefused(builder().microBatch(3),
                "micro-batch: 3 must divide the 4 sequences of a virtual rank (global batch 16 / 4"
                        + " virtual ranks)");
        assertRefused(builder().microBatch(8),
                "micro-batch: 8 must divide the 4 sequences of a virtual rank (global batch 16 / 4"
                        + " virtual ranks)");
    }

    @Test
    void numbersOutsideTheirRangeAreRefused() {
        assertRefused(builder().globalBatch(0), "global-batch: 0 must lie between 1 and 16777216");
        assertRefused(builder().microBatch(-1), "micro-batch: -1 must lie between 1 and 16777216");
        assertRefused(builder().virtualRanks(1 << 17),
                "virtual-ranks: 131072 must lie between 1 and 65536");
        assertRefused(builder().trainSteps(0),
                "train-iters: 0 must lie between 1 and 549755813887");
        assertRefused(builder().sequence(33),
                "seq-length: 33 must lie between 1 and max-position-embeddings 32");
        assertRefused(builder().sequence(0),
                "seq-length: 0 must lie between 1 and max-position-embeddings 32");
        assertRefused(builder().globalBatch(1 << 24).virtualRanks(1).microBatch(1 << 24)
                        .model(PythiaModels.named("14m").orElseThrow().shape()).sequence(2048),
                "micro-batch: 16777216 sequences of 2048 tokens exceed 2147483647 tokens at once");
    }

    @Test
    void tensorSlicesFollowTheRulesOfTheLayout() {
        assertRefused(builder().tensorSlices(3),
                "tensor-slices: tensor slices T = 3 must be a power of two");
        assertRefused(builder().tensorSlices(8),
                "tensor-slices: tensor slices T = 8 must divide num-attention-heads 4");
    }

    @Test
    void fp16AndLossScalingGoTogether() {
        assertRefused(builder().precision(Precision.FP16),
                "precision: FP16 needs loss scaling");
        assertRefused(builder().lossScaler(LossScaler.Dynamic.published()),
                "precision: BF16 needs no loss scaling; only FP16 does");
        assertThat(builder().precision(Precision.FP16).lossScaler(LossScaler.Dynamic.published())
                .build().precision()).isEqualTo(Precision.FP16);
    }

    @Test
    void allProblemsAreReportedTogether() {
        assertThatThrownBy(builder().tensorSlices(3).globalBatch(0).sequence(99)::build)
                .isInstanceOfSatisfying(ProblemsException.class, e ->
                        assertThat(e.problems()).map(Problem::where)
                                .containsExactly("tensor-slices", "global-batch", "seq-length"));
    }

    @Test
    void theDataManifestKeepsItsOrderAndRefusesDoubles() {
        assertThat(Samples.data().entries()).map(DataManifest.Entry::toString).containsExactly(
                "kind=token-file", "train.0.sha256=" + "ab".repeat(32), "train.0.tokens=123456",
                "order=neox-v1.0");
        assertThat(Samples.data().value("order")).contains("neox-v1.0");
        assertThat(Samples.data().value("nothing")).isEmpty();
        assertThatThrownBy(() -> Samples.data().with("order", "x"))
                .hasMessage("the data manifest names 'order' twice");
        assertThatThrownBy(() -> new DataManifest(List.of()))
                .hasMessageContaining("0 entries");
        assertThatThrownBy(() -> DataManifest.ofKind("a\nb"))
                .hasMessageContaining("not printable text");
        assertThatThrownBy(() -> DataManifest.ofKind("\uD800"))
                .hasMessageContaining("not printable text");
        assertThatThrownBy(() -> DataManifest.ofKind("x".repeat(257)))
                .hasMessageContaining("257 characters");
        assertThatThrownBy(() -> DataManifest.ofKind("k").with("a=b", "c"))
                .hasMessageContaining("contains '='");
    }

    @Test
    void theNumericVersionIsAShortLine() {
        assertThatThrownBy(() -> Samples.plan().specification(Samples.data(), ""))
                .hasMessage("the numeric version has 0 characters; it must have 1 to 1024");
    }

    @Test
    void optimizerSettingsOutsideTheirRangeAreRefused() {
        assertThatThrownBy(() -> new OptimizerSettings(1, 0.9, 1e-8, 0, 0))
                .hasMessageContaining("first of the optimizer's betas is 1.0");
        assertThatThrownBy(() -> new OptimizerSettings(0.9, Double.NaN, 1e-8, 0, 0))
                .hasMessageContaining("second of the optimizer's betas is NaN");
        assertThatThrownBy(() -> new OptimizerSettings(0.9, 0.9, 0, 0, 0))
                .hasMessageContaining("eps 0.0");
        assertThatThrownBy(() -> new OptimizerSettings(0.9, 0.9, 1e-8, -1, 0))
                .hasMessage("weight-decay -1.0 must be at least 0");
        assertThatThrownBy(() -> new OptimizerSettings(0.9, 0.9, 1e-8, 0, Double.NaN))
                .hasMessageContaining("gradient_clipping NaN");
        assertThat(new OptimizerSettings(-0.0, -0.0, 1e-8, -0.0, -0.0))
                .isEqualTo(new OptimizerSettings(0.0, 0.0, 1e-8, 0.0, 0.0));
    }

    @Test
    void problemsCollectErrorsAndWarnings() {
        Problems problems = new Problems();
        problems.throwIfErrors();
        problems.warning("a", "is odd");
        assertThat(problems.hasErrors()).isFalse();
        problems.check("b", () -> {
            throw new IllegalArgumentException("is wrong");
        });
        problems.check("c", () -> {
            Problems inner = new Problems();
            inner.error("", "here");
            inner.error("d", "there");
            inner.throwIfErrors();
        });
        problems.check("e", () -> { });
        assertThat(problems.warnings()).map(Problem::toString).containsExactly("a: is odd");
        assertThatThrownBy(problems::throwIfErrors).hasMessage("b: is wrong\nc: here\nd: there");
    }
}
