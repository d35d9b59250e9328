package castalia.workers.rank;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import castalia.kernels.Device;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.schedule.LearningRateSchedule;
import castalia.protocol.schedule.LossScaler;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.Scaling;
import castalia.protocol.step.StateDigest;
import castalia.workers.data.BatchSource;
import castalia.workers.rank.TinyRun.Layout;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.IntFunction;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

/** fp16: a step whose gradient overflows is skipped, by everybody and in the same way. */
@Tag("default")
@Timeout(value = 3, unit = TimeUnit.MINUTES)
class LossScalingTest {

    /** A run whose scale meets the end of binary16 again and again. */
    private static final TrainingPlan PLAN =
            TinyRun.in(TinyRun.plan(TinyRun.shape()).build(), Precision.FP16);

    /** What a step leaves. */
    private record Moment(StateDigest digest, ScalarState scalars, boolean skipped) {}

    private static RankGroup group(TrainingPlan plan, int ranks, IntFunction<Device> devices) {
        return group(plan, ParallelLayout.of(ranks), devices);
    }

    private static RankGroup group(
            TrainingPlan plan, ParallelLayout layout, IntFunction<Device> devices) {
        RankGroup group = new RankGroup(RankSettings.of(plan, Recomputation.NONE), layout, devices,
                TinyRun.DEADLINE);
        StateTransfer.initialise(group, Initialisation.Drawn.published());
        return group;
    }

    private static Moment step(RankGroup group) {
        List<BatchSource> sources =
                TinyRun.sources(group.settings().plan(), group.placement().ranks());
        ScalarState before = group.scalars();
        StateDigest digest = group.digest();
        List<StepReport> reports = group.step(sources);
        Scaling scaling = reports.getFirst().scaling().orElseThrow();
        for (int r = 0; r < reports.size(); r++) {
            StepReport report = reports.get(r);
            assertThat(report.scaling()).contains(scaling);
            assertThat(report.stateBefore()).isEqualTo(digest);
            assertThat(Double.isNaN(report.gradientNorm())).isEqualTo(scaling.skipped());
            assertThat(group.rank(r).scalars()).isEqualTo(group.scalars());
            group.rank(r).settle();
            assertThat(group.rank(r).weightsVersion()).isEqualTo(before.step() + 1);
        }
        assertThat(scaling.lossScale()).isEqualTo(before.lossScale());
        assertThat(scaling.skippedSteps())
                .isEqualTo(before.step() + 1 - group.scalars().appliedUpdates());
        assertThat(group.digest().equals(digest)).isEqualTo(scaling.skipped());
        return new Moment(group.digest(), group.scalars(), scaling.skipped());
    }

    private static List<Moment> run(TrainingPlan plan, int ranks, int steps) {
        try (RankGroup group = group(plan, ranks, TinyRun.devices(1))) {
            List<Moment> moments = new ArrayList<>();
            for (int s = 0; s < steps; s++) {
                moments.add(step(group));
            }
            return moments;
        }
    }

    @ParameterizedTest
    @CsvSource({"1", "2"})
    void realOverflowsAreSkippedAndRecoveredFromAlikeOnAnyRanks(int tensorSlices) {
        TrainingPlan plan = PLAN.toBuilder().tensorSlices(tensorSlices).build();
        List<Moment> moments = run(plan, 1, 24);
        List<Boolean> skips = moments.stream().map(Moment::skipped).toList();
        assertThat(skips.subList(0, 2)).containsExactly(true, true);
        assertThat(skips.subList(8, 24)).as("again when the scale has grown").contains(true, false);
        ScalarState state = plan.lossScaler().initial();
        for (Moment moment : moments) {
            LossScaler.Result result = plan.lossScaler().after(state, moment.skipped());
            assertThat(result).isEqualTo(new LossScaler.Updated(moment.scalars()));
            state = moment.scalars();
        }
        for (int ranks : new int[] {2, 3, 4}) {
            assertThat(run(plan, ranks, 24)).as("%d ranks", ranks).isEqualTo(moments);
        }
    }

    private static JsonNode cases() {
        try (InputStream in = LossScalingTest.class.getResourceAsStream("/loss-scale-trace.json")) {
            return new ObjectMapper().readTree(in).get("cases");
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    private static Stream<ParallelLayout> tracedLayouts() {
        return Stream.concat(
                Stream.of(ParallelLayout.of(2), new ParallelLayout(3, 2, 2, 1)),
                TinyRun.STAGES.stream().map(zero -> new ParallelLayout(1, 2, zero, 1)));
    }

    /** One rank of several overflows; its gradient reaches everybody by way of the reduction. */
    @ParameterizedTest
    @MethodSource("tracedLayouts")
    void theTraceOfTheOriginalScalerIsThatOfARun(ParallelLayout layout) {
        int rows = 0;
        for (JsonNode recorded : cases()) {
            JsonNode cfg = recorded.get("cfg");
            TrainingPlan plan = PLAN.toBuilder().tensorSlices(2).lossScaler(new LossScaler.Dynamic(
                    cfg.get("init_scale").asDouble(), cfg.get("scale_window").asLong(),
                    cfg.get("min_scale").asDouble(), cfg.get("delayed_shift").asInt())).build();
            AtomicBoolean overflow = new AtomicBoolean();
            try (RankGroup group = group(plan, layout, r -> r != 1
                    ? TinyRun.devices(1).apply(r)
                    : new OverflowingDevice(TinyRun.devices(1).apply(r), overflow))) {
                for (int i = 0; i < recorded.get("trace").size(); i++) {
                    JsonNode row = recorded.get("trace").get(i);
                    ScalarState before = group.scalars();
                    assertThat(before.lossScale()).isEqualTo(row.get(0).asDouble());
                    overflow.set(recorded.get("overflow").get(i).asBoolean());
                    if (row.get(1).isTextual()) {
                        requireAbort(group, i);
                        rows++;
                        break;
                    }
                    assertThat(step(group).skipped()).as("row %d", i).isEqualTo(overflow.get());
                    assertThat(group.scalars()).as("row %d", i).isEqualTo(new ScalarState(i + 1,
                            before.appliedUpdates() + (overflow.get() ? 0 : 1),
                            row.get(1).asDouble(), row.get(3).asLong(), row.get(4).asLong(),
                            row.get(2).asInt()));
                    rows++;
                }
            }
        }
        assertThat(rows).isEqualTo(34);
    }

    private static void requireAbort(RankGroup group, long step) {
        StateDigest before = group.digest();
        ScalarState scalars = group.scalars();
        CastaliaException failure = catchThrowableOfType(CastaliaException.class,
                () -> group.step(TinyRun.sources(
                        group.settings().plan(), group.placement().ranks())));
        assertThat(failure.code()).isEqualTo(ErrorCode.NUMERIC_DIVERGED);
        assertThat(failure).hasMessageContaining("step " + step + ": ")
                .hasMessageContaining("smallest loss scale allowed, " + scalars.lossScale())
                .hasMessageContaining("unharmed");
        assertThat(group.digest()).isEqualTo(before);
        for (int r = 0; r < group.placement().ranks(); r++) {
            assertThat(group.rank(r).scalars()).isEqualTo(scalars);
        }
    }

    @Test
    void aRunThatOverflowsAtTheSmallestScaleEndsUnharmedOnEveryRank() {
        TrainingPlan plan = PLAN.toBuilder()
                .lossScaler(new LossScaler.Dynamic(0x1p40, 3, 0x1p39, 1)).build();
        for (int ranks : new int[] {1, 2, 4}) {
            try (RankGroup group = group(plan, ranks, TinyRun.devices(1))) {
                assertThat(step(group).skipped()).isTrue();
                requireAbort(group, 1);
            }
        }
    }

    @Test
    void aFixedScaleStaysAndSkips() {
        TrainingPlan plan = PLAN.toBuilder().lossScaler(new LossScaler.Fixed(256)).build();
        AtomicBoolean overflow = new AtomicBoolean();
        try (RankGroup group = group(plan, 2,
                r -> new OverflowingDevice(TinyRun.devices(1).apply(r), overflow))) {
            assertThat(step(group).skipped()).isFalse();
            overflow.set(true);
            assertThat(step(group).skipped()).isTrue();
            assertThat(step(group).scalars())
                    .isEqualTo(new ScalarState(3, 1, 256, 0, -1, 1));
            overflow.set(false);
            assertThat(step(group).skipped()).isFalse();
        }
    }

    @Test
    void theLearningRateWaitsForAppliedUpdates() {
        AtomicBoolean overflow = new AtomicBoolean();
        TrainingPlan plan = PLAN.toBuilder()
                .lossScaler(LossScaler.Dynamic.published())
                .schedule(new LearningRateSchedule.Constant(1e-3, 8))
                .build();
        try (RankGroup group = group(plan, 1,
                r -> new OverflowingDevice(TinyRun.devices(1).apply(r), overflow))) {
            List<BatchSource> sources = TinyRun.sources(plan, 1);
            List<Double> rates = new ArrayList<>();
            for (boolean skipped : new boolean[] {false, false, true, false, false}) {
                overflow.set(skipped);
                rates.add(group.step(sources).getFirst().learningRate());
            }
            assertThat(rates.get(2)).as("skipped").isGreaterThan(rates.get(1));
            assertThat(rates.get(3)).as("after it").isEqualTo(rates.get(2));
            assertThat(rates.get(4)).isGreaterThan(rates.get(3));
        }
    }

    @Test
    void withoutLossScalingAGradientThatIsNotFiniteEndsTheRun() {
        TrainingPlan plan = TinyRun.plan(TinyRun.shape()).build();
        try (RankGroup group = group(plan, 2, r -> new OverflowingDevice(
                TinyRun.devices(1).apply(r), new AtomicBoolean(r == 0)))) {
            assertThatThrownBy(() -> group.step(TinyRun.sources(plan, 2)))
                    .isInstanceOf(CastaliaException.class)
                    .hasMessageStartingWith("step 0: the gradient is not finite (loss ");
        }
    }

    @Test
    void thePlainReferenceSkipsTheSameSteps() {
        List<Boolean> fast = run(PLAN, 1, 6).stream().map(Moment::skipped).toList();
        try (RankGroup group =
                group(PLAN, 2, new Layout(2, 0, Recomputation.NONE).devices())) {
            for (boolean skipped : fast) {
                assertThat(step(group).skipped()).isEqualTo(skipped);
            }
        }
    }
}
