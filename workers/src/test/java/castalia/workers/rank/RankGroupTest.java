package castalia.workers.rank;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowable;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.assertj.core.api.Assertions.within;

import castalia.kernels.Buffer;
import castalia.kernels.Device;
import castalia.kernels.OutOfDeviceMemoryException;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.workers.data.BatchShape;
import castalia.workers.data.BatchSource;
import castalia.workers.data.SyntheticBatches;
import castalia.workers.exchange.PeerLostException;
import castalia.workers.rank.TinyRun.Layout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(value = 2, unit = TimeUnit.MINUTES)
class RankGroupTest {

    private static final TrainingPlan PLAN = TinyRun.plan(TinyRun.shape()).build();

    /** Changes one bit of an F32 element on every rank that holds it. */
    private static void flip(RankGroup group, int chunk, int element, int bit) {
        for (int r = 0; r < group.placement().ranks(); r++) {
            if (group.placement().holds(r, chunk)) {
                group.onRank(r, rank -> {
                    flip(rank.held().weight(chunk), element, bit);
                    return rank;
                });
            }
        }
        group.onAll(rank -> {
            rank.loaded(rank.scalars());
            return rank;
        });
    }

    private static void flip(Buffer buffer, int element, int bit) {
        MemorySegment memory = buffer.segment();
        int bits = memory.getAtIndex(ValueLayout.JAVA_INT, element);
        memory.setAtIndex(ValueLayout.JAVA_INT, element, bits ^ 1 << bit);
    }

    private static void step(RankGroup group, int steps) {
        TinyRun.trace(group, steps);
    }

    @ParameterizedTest
    @CsvSource({"0, 0, 0", "2, 17, 12", "5, 3, 22"})
    void oneFlippedBitOfAWeightChangesEveryLaterDigest(int chunk, int element, int bit) {
        List<StateDigest> expected = TinyRun.trace(PLAN, Layout.plain(), 10);
        try (RankGroup group = TinyRun.group(PLAN, Layout.ranks(2))) {
            flip(group, chunk, element, bit);
            List<StateDigest> disturbed = TinyRun.trace(group, 10);
            for (int s = 0; s < disturbed.size(); s++) {
                assertThat(disturbed.get(s)).as("step %d", s).isNotEqualTo(expected.get(s));
            }
            assertThat(disturbed).doesNotHaveDuplicates();
        }
    }

    @ParameterizedTest
    @CsvSource({"0, 2", "3, 3", "7, 4"})
    void aBuddyThatDiffersFromTheOwnerIsNamedWithinAStep(int chunk, int ranks) {
        try (RankGroup group = TinyRun.group(PLAN, Layout.ranks(ranks))) {
            step(group, 3);
            int owner = group.placement().owner(chunk);
            int buddy = group.placement().buddy(chunk);
            group.onRank(buddy, rank -> {
                flip(rank.held().secondMoment(chunk), 5, 23);
                return rank;
            });
            StateDigest before = group.digest();
            step(group, 1);
            assertThat(group.digest()).isNotEqualTo(before);
            CastaliaException found = catchThrowableOfType(
                    CastaliaException.class, () -> step(group, 1));
            assertThat(found.code()).isEqualTo(ErrorCode.NUMERIC_DIVERGED);
            assertThat(found)
                    .hasMessageContaining("step 4")
                    .hasMessageContaining("chunk " + chunk + ":")
                    .hasMessageContaining("ranks ["
                            + Math.min(owner, buddy) + ", " + Math.max(owner, buddy) + "]")
                    .hasMessageContaining("states");
            assertThat(group.scalars().step()).isEqualTo(4);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3})
    void aGradientThatIsNotFiniteEndsTheRunWithTheStateUnharmed(int ranks) {
        try (RankGroup group = TinyRun.group(PLAN, Layout.ranks(ranks))) {
            step(group, 2);
            int chunk = 1;
            group.onAll(rank -> {
                if (group.placement().holds(rank.rank(), chunk)) {
                    rank.held().weight(chunk).segment()
                            .setAtIndex(ValueLayout.JAVA_FLOAT, 40, Float.NaN);
                }
                rank.loaded(rank.scalars());
                return rank;
            });
            StateDigest before = group.digest();
            ScalarState scalars = group.scalars();
            CastaliaException found = catchThrowableOfType(
                    CastaliaException.class, () -> step(group, 1));
            assertThat(found.code()).isEqualTo(ErrorCode.NUMERIC_DIVERGED);
            assertThat(found).hasMessageContaining("step 2").hasMessageContaining("not finite");
            assertThat(group.digest()).isEqualTo(before);
            for (int r = 0; r < ranks; r++) {
                assertThat(group.rank(r).scalars()).isEqualTo(scalars);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4})
    void ranksReportTheSameStepAndShareTheGlobalBatch(int ranks) {
        try (RankGroup group = TinyRun.group(PLAN, Layout.ranks(ranks))) {
            List<StepReport> reports = group.step(TinyRun.sources(PLAN, ranks));
            assertThat(reports).hasSize(ranks);
            assertThat(reports.stream().mapToInt(StepReport::sequences).sum())
                    .isEqualTo(PLAN.globalBatch());
            StepReport first = reports.getFirst();
            for (StepReport report : reports) {
                assertThat(report.loss()).isEqualTo(first.loss());
                assertThat(report.gradientNorm()).isEqualTo(first.gradientNorm());
                assertThat(report.learningRate()).isEqualTo(3e-3);
                assertThat(report.step()).isZero();
                assertThat(report.stateBefore()).isEqualTo(first.stateBefore());
                assertThat(report.times().total()).isPositive();
            }
            assertThat(first.loss()).isCloseTo(Math.log(102), within(0.3));
            assertThat(group.scalars()).isEqualTo(ScalarState.initial().applied());
        }
    }

    /** Fails for one virtual rank at one step. */
    private record FailingSource(SyntheticBatches tokens, int virtualRank, Throwable failure)
            implements BatchSource {

        @Override
        public BatchShape shape() {
            return tokens.shape();
        }

        @Override
        public int vocabularySize() {
            return tokens.vocabularySize();
        }

        @Override
        public void fill(long step, int virtual, int microBatch, MemorySegment inputs,
                MemorySegment labels) {
            if (step == 2 && virtual == virtualRank) {
                switch (failure) {
                    case RuntimeException e -> throw e;
                    case Error e -> throw e;
                    default -> throw new IllegalArgumentException(failure);
                }
            }
            tokens.fill(step, virtual, microBatch, inputs, labels);
        }

        @Override
        public List<String> description() {
            return tokens.description();
        }
    }

    private static List<BatchSource> failing(int virtualRank, Throwable failure, int ranks) {
        return Collections.nCopies(ranks, new FailingSource(
                new SyntheticBatches(TinyRun.batches(PLAN), 102, 7), virtualRank, failure));
    }

    @ParameterizedTest
    @CsvSource({"0, 2", "3, 2", "0, 4", "1, 4", "3, 4"})
    void theRankThatFailedIsReportedAndNotThoseThatWaitedForIt(int virtualRank, int ranks) {
        IllegalStateException cause = new IllegalStateException("the disk is gone");
        try (RankGroup group = TinyRun.group(PLAN, Layout.ranks(ranks))) {
            List<BatchSource> sources = failing(virtualRank, cause, ranks);
            group.step(sources);
            group.step(sources);
            StateDigest before = group.digest();
            assertThat(catchThrowable(() -> group.step(sources))).isSameAs(cause);
            assertThat(group.digest()).isEqualTo(before);
            assertThatThrownBy(() -> group.step(TinyRun.sources(PLAN, ranks)))
                    .as("a group that lost a rank is at its end")
                    .isInstanceOf(PeerLostException.class)
                    .hasMessageContaining("failed; others were at")
                    .hasRootCause(cause);
        }
    }

    @Test
    void anErrorOfOneRankIsReportedWhenAllHaveStopped() {
        AssertionError cause = new AssertionError("a rank's own error");
        try (RankGroup group = TinyRun.group(PLAN, Layout.ranks(3))) {
            List<BatchSource> sources = failing(0, cause, 3);
            group.step(sources);
            group.step(sources);
            assertThat(catchThrowable(() -> group.step(sources))).isSameAs(cause);
            assertThat(group.onRank(2, TrainingRank::scalars).step()).isEqualTo(2);
        }
    }

    @Test
    void validationChangesNothingAndDoesNotDependOnRanks() {
        Set<Double> losses = new HashSet<>();
        for (int ranks = 1; ranks <= 4; ranks++) {
            try (RankGroup group = TinyRun.group(PLAN, Layout.ranks(ranks))) {
                List<BatchSource> sources = TinyRun.sources(PLAN, ranks);
                StateDigest before = group.digest();
                losses.add(group.validate(sources, 3));
                double first = group.validate(sources, 1);
                assertThat(group.digest()).isEqualTo(before);
                assertThat(group.scalars()).isEqualTo(ScalarState.initial());
                assertThat(group.step(sources).getFirst().loss())
                        .as("the same batch without gradients")
                        .isEqualTo(first);
                assertThat(TinyRun.trace(group, 2))
                        .isEqualTo(TinyRun.trace(PLAN, Layout.plain(), 3).subList(1, 3));
            }
        }
        assertThat(losses).hasSize(1);
    }

    @Test
    void moreRanksThanVirtualRanksAreRefused() {
        assertThatThrownBy(() -> TinyRun.group(PLAN, Layout.ranks(5)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("4 virtual ranks on 5 ranks")
                .hasMessageContaining("1 to 4");
    }

    @Test
    void batchesOfAnotherCutAreRefused() {
        TrainingPlan other = PLAN.toBuilder().microBatch(2).build();
        try (RankGroup group = TinyRun.group(PLAN, Layout.plain())) {
            assertThatThrownBy(() -> group.step(TinyRun.sources(other, 1)))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("microBatch=2")
                    .hasMessageContaining("microBatch=1");
        }
    }

    @Test
    void anotherCutIntoMicroBatchesIsCloseAndHasItsOwnBits() {
        TrainingPlan two = PLAN.toBuilder().microBatch(2).build();
        List<Double> ones = losses(PLAN);
        List<Double> twos = losses(two);
        assertThat(twos).isNotEqualTo(ones);
        for (int s = 0; s < ones.size(); s++) {
            assertThat(twos.get(s)).as("step %d", s).isCloseTo(ones.get(s), within(1e-4));
        }
    }

    private static List<Double> losses(TrainingPlan plan) {
        try (RankGroup group = TinyRun.group(plan, Layout.ranks(2))) {
            List<Double> losses = new ArrayList<>();
            for (int s = 0; s < 10; s++) {
                losses.add(group.step(TinyRun.sources(plan, 2)).getFirst().loss());
            }
            return losses;
        }
    }

    /** Counts how many devices were made and closed; makes none for one rank. */
    private static final class CountingDevices {

        private final AtomicInteger made = new AtomicInteger();
        private final AtomicInteger closed = new AtomicInteger();
        private final int broken;

        CountingDevices(int broken) {
            this.broken = broken;
        }

        Device make(int rank) {
            if (rank == broken) {
                throw new IllegalStateException("rank " + rank + " has no device");
            }
            made.incrementAndGet();
            return new ClosingDevice(TinyRun.devices(1).apply(rank), closed);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2})
    void whenARankCannotStartTheOthersAreClosed(int broken) {
        CountingDevices devices = new CountingDevices(broken);
        assertThatThrownBy(() -> new RankGroup(RankSettings.of(PLAN, Recomputation.NONE), 3,
                        devices::make, TinyRun.DEADLINE))
                .isInstanceOf(IllegalStateException.class)
                .hasMessage("rank " + broken + " has no device");
        assertThat(devices.made).hasValue(2);
        assertThat(devices.closed).hasValue(2);
    }

    @Test
    void aRankWithoutRoomClosesItsDevice() {
        AtomicInteger closed = new AtomicInteger();
        TrainingPlan large = PLAN.toBuilder().globalBatch(1 << 20).microBatch(1 << 18).build();
        assertThatThrownBy(() -> new RankGroup(RankSettings.of(large, Recomputation.NONE), 1,
                        rank -> new ClosingDevice(TinyRun.devices(1).apply(rank), closed),
                        TinyRun.DEADLINE))
                .isInstanceOf(OutOfDeviceMemoryException.class)
                .hasMessageContaining("bytes");
        assertThat(closed).hasValue(1);
    }

    @Test
    void closingTwiceClosesOnce() {
        CountingDevices devices = new CountingDevices(-1);
        RankGroup group = new RankGroup(RankSettings.of(PLAN, Recomputation.NONE), 2,
                devices::make, TinyRun.DEADLINE);
        group.close();
        group.close();
        assertThat(devices.closed).hasValue(2);
    }

    @Test
    void memoryIsAllocatedWhenTheGroupIsMadeAndNotWhenItSteps() {
        for (int ranks = 1; ranks <= 4; ranks++) {
            try (RankGroup group = TinyRun.group(PLAN, Layout.ranks(ranks))) {
                long[] before = group.onAll(TrainingRank::allocatedBytes).stream()
                        .mapToLong(Long::longValue).toArray();
                step(group, 2);
                for (int r = 0; r < ranks; r++) {
                    assertThat(group.rank(r).allocatedBytes()).isEqualTo(before[r]);
                }
            }
        }
    }
}
