package castalia.workers.rank;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.workers.rank.TinyRun.Layout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Tag("default")
@Timeout(value = 3, unit = TimeUnit.MINUTES)
class LayoutsTest {

    private static final int STEPS = 3;
    private static final Map<TrainingPlan, StateDigest> ALONE = new HashMap<>();

    /** Over 7 virtual ranks of two micro-batches: no block is like another. */
    private static TrainingPlan plan(Precision precision) {
        return TinyRun.plan(TinyRun.shape()).virtualRanks(7).globalBatch(14).precision(precision)
                .build();
    }

    /** The digest of a single rank that keeps everything. */
    private static StateDigest alone(TrainingPlan plan, int steps) {
        return ALONE.computeIfAbsent(
                plan.toBuilder().trainSteps(steps).build(),
                _ -> TinyRun.trace(plan, Layout.plain(), steps).getLast());
    }

    private static StateDigest together(TrainingPlan plan, ParallelLayout layout) {
        return together(plan, layout, Recomputation.NONE);
    }

    private static StateDigest together(
            TrainingPlan plan, ParallelLayout layout, Recomputation recomputation) {
        try (RankGroup group = new RankGroup(RankSettings.of(plan, recomputation), layout,
                TinyRun.devices(1), TinyRun.DEADLINE)) {
            StateTransfer.initialise(group, Initialisation.Drawn.published());
            TinyRun.trace(group, STEPS);
            return group.digest();
        }
    }

    @ParameterizedTest
    @CsvSource({
        "1, 0, 0", "2, 0, 0", "3, 0, 1", "4, 0, 2",
        "1, 1, 0", "2, 1, 0", "3, 1, 2", "4, 1, 2", "4, 1, 0",
        "1, 2, 0", "1, 2, 1", "2, 2, 0", "2, 2, 1", "3, 2, 1", "3, 2, 2", "4, 2, 2", "7, 2, 1",
        "1, 3, 0", "1, 3, 2", "2, 3, 0", "2, 3, 1", "3, 3, 1", "3, 3, 2", "4, 3, 0", "7, 3, 1"
    })
    void noLayoutChangesABit(int dataParallel, int zero, int buddies) {
        TrainingPlan plan = plan(Precision.FP32);
        assertThat(together(plan, new ParallelLayout(dataParallel, 1, zero, buddies)))
                .isEqualTo(alone(plan, STEPS));
    }

    @ParameterizedTest
    @CsvSource({"3, 0, 1", "4, 1, 2", "3, 2, 1", "1, 3, 0", "3, 3, 1", "4, 3, 2"})
    void norDoesOneInBf16(int dataParallel, int zero, int buddies) {
        TrainingPlan plan = plan(Precision.BF16);
        assertThat(together(plan, new ParallelLayout(dataParallel, 1, zero, buddies)))
                .isEqualTo(alone(plan, STEPS));
    }

    @ParameterizedTest
    @CsvSource({"2, 2, 1", "1, 3, 0", "3, 3, 0", "2, 3, 1"})
    void norDoesOneInFp16WithStepsThatAreSkipped(int dataParallel, int zero, int buddies) {
        TrainingPlan plan = TinyRun.in(plan(Precision.FP32), Precision.FP16);
        assertThat(together(plan, new ParallelLayout(dataParallel, 1, zero, buddies)))
                .isEqualTo(alone(plan, STEPS));
    }

    /** One micro-batch per virtual rank; the gaps between tensor slices differ from layer to layer. */
    @ParameterizedTest
    @CsvSource({"1, 0, FP32", "2, 1, FP32", "3, 2, BF16", "4, 0, FP16", "7, 1, FP32"})
    void gradientsThatLeaveLayerByLayerAreTheSame(
            int dataParallel, int buddies, Precision precision) {
        TrainingPlan plan = TinyRun.in(
                TinyRun.plan(TinyRun.shape()).virtualRanks(7).globalBatch(7).build(), precision);
        assertThat(together(plan, new ParallelLayout(dataParallel, 1, 3, buddies)))
                .isEqualTo(alone(plan, STEPS));
    }

    @ParameterizedTest
    @CsvSource({"1, 1, 0", "3, 1, 1", "2, 2, 0"})
    void recomputedBlocksFetchTheirWeightsToo(
            int dataParallel, int tensorParallel, int buddies) {
        TrainingPlan plan = sliced(Precision.BF16);
        assertThat(together(plan, new ParallelLayout(dataParallel, tensorParallel, 3, buddies),
                Recomputation.BLOCK)).isEqualTo(alone(plan, STEPS));
    }

    @Test
    void validationAndLogitsAreTheSameWithFetchedWeights() {
        TrainingPlan plan = plan(Precision.BF16);
        List<Double> losses = new ArrayList<>();
        List<float[]> logits = new ArrayList<>();
        for (ParallelLayout layout : List.of(
                new ParallelLayout(1, 1, 0, 0), new ParallelLayout(3, 1, 3, 1))) {
            try (RankGroup group = new RankGroup(RankSettings.of(plan, Recomputation.NONE), layout,
                    TinyRun.devices(1), TinyRun.DEADLINE)) {
                StateTransfer.initialise(group, Initialisation.Drawn.published());
                TinyRun.trace(group, 1);
                losses.add(group.validate(TinyRun.sources(plan, layout.ranks()), 2));
                TinyRun.trace(group, 1);
                MemorySegment out = MemorySegment.ofArray(new float[2 * plan.model().vocabulary()]);
                MemorySegment tokens = MemorySegment.ofArray(new int[plan.sequence()]);
                group.onRank(layout.ranks() - 1, rank -> {
                    rank.logits(out, tokens, 3, 2);
                    return rank;
                });
                logits.add(out.toArray(ValueLayout.JAVA_FLOAT));
                TinyRun.trace(group, 1);
                assertThat(group.digest()).isEqualTo(alone(plan, STEPS));
            }
        }
        assertThat(losses.get(1)).isEqualTo(losses.get(0));
        assertThat(logits.get(1)).isEqualTo(logits.get(0));
    }

    /** Four tensor slices, eight heads. */
    private static TrainingPlan sliced(Precision precision) {
        return TinyRun.plan(new ModelShape(2, 32, 8, 64, 104, 20, 4, 10000, 1e-5, true, Gelu.ERF, 1))
                .tensorSlices(4).virtualRanks(5).globalBatch(5).precision(precision).build();
    }

    @ParameterizedTest
    @CsvSource({
        "1, 2, 1, 0, FP32", "1, 4, 0, 0, FP32", "2, 2, 0, 1, FP32", "2, 2, 1, 2, FP32",
        "2, 2, 2, 1, FP32", "3, 2, 1, 1, FP32", "2, 4, 2, 0, FP32", "3, 2, 2, 2, BF16",
        "2, 4, 1, 1, BF16", "1, 2, 3, 0, FP32", "1, 4, 3, 1, FP32", "2, 2, 3, 1, FP32",
        "3, 2, 3, 2, FP32", "4, 2, 3, 0, BF16", "2, 4, 3, 1, BF16"
    })
    void norDoTensorSlicesOfSeveralRanks(
            int dataParallel, int tensorParallel, int zero, int buddies, Precision precision) {
        TrainingPlan plan = sliced(precision);
        assertThat(together(plan,
                new ParallelLayout(dataParallel, tensorParallel, zero, buddies)))
                .isEqualTo(alone(plan, STEPS));
    }

    @Test
    void tensorParallelRanksComeAndGo() {
        TrainingPlan plan = sliced(Precision.FP32);
        try (Workers workers = new Workers(plan, 4)) {
            workers.begin(4, (_, transport) -> transport);
            workers.onAll(rank -> rank.loaded(ScalarState.initial()));
            workers.step();
            List<ParallelLayout> layouts = List.of(
                    new ParallelLayout(1, 4, 1, 1), new ParallelLayout(2, 2, 2, 1),
                    new ParallelLayout(1, 2, 1, 1), new ParallelLayout(2, 2, 3, 1),
                    new ParallelLayout(1, 4, 3, 0), new ParallelLayout(2, 1, 0, 0),
                    new ParallelLayout(2, 1, 3, 1), new ParallelLayout(2, 2, 0, 0));
            for (int i = 0; i < layouts.size(); i++) {
                ParallelLayout layout = layouts.get(i);
                workers.reshape(i % 2 == 0 ? heldElsewhere(workers, plan, layout)
                        : Placement.of(workers.grid(), plan.virtualRanks(), layout));
                workers.step();
                assertThat(workers.digest()).as("after a step in %s", layout)
                        .isEqualTo(alone(plan, 2 + i));
            }
        }
    }

    @Test
    void ranksThatAreGivenAnotherLayoutGoOnWithTheSameBits() {
        TrainingPlan plan = plan(Precision.BF16);
        List<ParallelLayout> layouts = List.of(
                new ParallelLayout(2, 1, 2, 1), new ParallelLayout(1, 1, 0, 0),
                new ParallelLayout(3, 1, 3, 1), new ParallelLayout(4, 1, 1, 2),
                new ParallelLayout(3, 1, 2, 0), new ParallelLayout(2, 1, 3, 0),
                new ParallelLayout(4, 1, 3, 2), new ParallelLayout(3, 1, 0, 1));
        try (Workers workers = new Workers(plan, 4)) {
            workers.begin(3, (_, transport) -> transport);
            workers.onAll(rank -> rank.loaded(ScalarState.initial()));
            workers.step();
            for (int i = 0; i < layouts.size(); i++) {
                ParallelLayout layout = layouts.get(i);
                // every other one leaves the chunks where they are: some ranks hold and do not compute
                workers.reshape(i % 2 == 0
                        ? Placement.of(workers.grid(), plan.virtualRanks(), layout)
                        : heldElsewhere(workers, plan, layout));
                workers.step();
                assertThat(workers.digest()).as("after a step in %s", layout)
                        .isEqualTo(alone(plan, 2 + i));
            }
        }
    }

    /** Four ranks hold the chunks in turn, whoever computes. */
    private static Placement heldElsewhere(
            Workers workers, TrainingPlan plan, ParallelLayout layout) {
        int chunks = workers.chunks();
        int[] owners = new int[chunks];
        int[] buddies = new int[chunks];
        for (int c = 0; c < chunks; c++) {
            owners[c] = 3 - c % 4;
            buddies[c] = c % 3 == 0 ? Placement.NONE : (owners[c] + 1) % 4;
        }
        return Placement.of(layout, plan.virtualRanks(), plan.tensorSlices(), 4,
                Placement.Holdings.of(workers.grid(), owners, buddies));
    }
}
