package castalia.workers.rank;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.control.HolderReport;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.workers.exchange.AbandonedException;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.LocalTransport;
import castalia.workers.exchange.PeerLostException;
import castalia.workers.exchange.Transport;
import castalia.workers.rank.TinyRun.Layout;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

@Timeout(value = 3, unit = TimeUnit.MINUTES)
class GenerationsTest {

    private static final TrainingPlan PLAN = TinyRun.plan(TinyRun.shape()).build();

    /** Ends a rank's generation at its n-th call, and with it everybody's. */
    private record EndingTransport(LocalTransport to, AtomicInteger left) implements Transport {

        private void count() {
            if (left.getAndDecrement() == 1) {
                AbandonedException over = new AbandonedException("over");
                to.fail(over);
                throw over;
            }
        }

        @Override
        public int rank() {
            return to.rank();
        }

        @Override
        public int ranks() {
            return to.ranks();
        }

        @Override
        public void send(int rank, FrameTag tag, MemorySegment payload) {
            count();
            to.send(rank, tag, payload);
        }

        @Override
        public void receive(int from, FrameTag tag, MemorySegment into) {
            count();
            to.receive(from, tag, into);
        }

        @Override
        public void drain() {
            count();
            to.drain();
        }

        @Override
        public void drain(int rank) {
            count();
            to.drain(rank);
        }

        @Override
        public long waitedNanos() {
            return to.waitedNanos();
        }

        @Override
        public void serve(long version, @Nullable MemorySegment[] chunks) {
            count();
            to.serve(version, chunks);
        }

        @Override
        public void withdraw() {
            count();
            to.withdraw();
        }

        @Override
        public void fetch(int from, FrameTag tag, MemorySegment into) {
            count();
            to.fetch(from, tag, into);
        }

        @Override
        public void fetched(int from, FrameTag tag, MemorySegment into) {
            count();
            to.fetched(from, tag, into);
        }

        @Override
        public long sentBytes() {
            return to.sentBytes();
        }

        @Override
        public void close() {
            to.close();
        }
    }

    private static StateDigest undisturbed(TrainingPlan plan, int steps) {
        return TinyRun.trace(plan, Layout.plain(), steps).getLast();
    }

    @ParameterizedTest
    @EnumSource(value = Precision.class, names = {"FP32", "BF16", "FP16"})
    void membersThatGoAndComeChangeNoBit(Precision precision) {
        TrainingPlan plan = TinyRun.in(PLAN, precision);
        try (Workers workers = new Workers(plan, 4)) {
            workers.begin(3, (_, transport) -> transport);
            workers.onAll(rank -> rank.loaded(rank.initialScalars()));
            for (int s = 0; s < 3; s++) {
                workers.step();
            }
            TrainingRank a = workers.worker(0);
            TrainingRank c = workers.worker(2);
            TrainingRank d = workers.worker(3);
            workers.recover(List.of(c, a));
            workers.step();
            workers.step();
            assertThat(workers.digest()).isEqualTo(undisturbed(plan, 5));
            for (int chunk = 0; chunk < workers.chunks(); chunk++) {
                if (chunk % 3 != 1) {
                    workers.copy(a.held().holds(chunk) ? a : c, d, chunk);
                }
                if (chunk % 3 == 0 && a.held().holds(chunk) && c.held().holds(chunk)) {
                    a.held().drop(chunk);
                }
            }
            assertThat(d.weightsVersion()).isEqualTo(TrainingRank.INCOMPLETE);
            workers.recover(List.of(a, d, c));
            for (int s = 0; s < 3; s++) {
                workers.step();
            }
            assertThat(workers.digest()).isEqualTo(undisturbed(plan, 8));
        }
    }

    /**
     * Ends the generation at every exchange of two steps and of the gather before them; then
     * either all go on or those without the victim.
     */
    @Tag("default")
    @ParameterizedTest
    @CsvSource({"FP32, 1, 0, true", "FP32, 1, 1, false", "FP32, 1, 2, true", "BF16, 1, 2, false",
            "FP32, 1, -1, true", "FP32, 0, 1, false", "FP32, 2, 0, true", "FP32, 2, 2, false",
            "FP16, 1, 0, true", "FP16, 1, 1, false", "FP16, 1, -1, true", "FP16, 2, 1, true",
            "FP32, 3, 0, true", "BF16, 3, 2, false", "FP16, 3, -1, true"})
    void whereverAGenerationEndsTheRunGoesOnWithTheSameBits(
            Precision precision, int zero, int victim, boolean survives) {
        endEverywhere(TinyRun.in(PLAN, precision), zero, victim, survives);
    }

    /** One micro-batch per virtual rank: gradients leave layer by layer. */
    @Tag("default")
    @ParameterizedTest
    @CsvSource({"FP32, 0, true", "BF16, 2, false"})
    void norDoesItMatterWhereGradientsAreNeverWhole(
            Precision precision, int victim, boolean survives) {
        endEverywhere(TinyRun.in(PLAN, precision).toBuilder().globalBatch(4).build(), 3, victim,
                survives);
    }

    private static void endEverywhere(
            TrainingPlan plan, int zero, int victim, boolean survives) {
        ParallelLayout layout = new ParallelLayout(3, 1, zero, zero == 0 ? 0 : 1);
        StateDigest expected = undisturbed(plan, 4);
        try (Workers workers = new Workers(plan, 3)) {
            int ended = 0;
            boolean more = true;
            for (int k = 1; more; k++) {
                more = endAt(k, layout, victim, survives, workers);
                while (workers.members().getFirst().scalars().step() < 4) {
                    workers.step();
                }
                assertThat(workers.digest()).as("ended at call %d", k).isEqualTo(expected);
                ended += more ? 1 : 0;
            }
            assertThat(ended).isGreaterThan(60);
        }
    }

    /** Returns whether the generation had that many calls. */
    private static boolean endAt(
            int k, ParallelLayout layout, int victim, boolean survives, Workers workers) {
        List<AtomicInteger> counters = new ArrayList<>();
        workers.begin(layout, (rank, transport) -> {
            counters.add(new AtomicInteger(victim < 0 || rank == victim ? k : 0));
            return new EndingTransport(transport, counters.getLast());
        });
        List<Optional<Throwable>> failures = workers.onMembers(rank -> {
            rank.loaded(rank.initialScalars());
            workers.step(rank);
            workers.step(rank);
        });
        counters.forEach(left -> left.set(0));
        if (failures.stream().allMatch(Optional::isEmpty)) {
            return false;
        }
        assertThat(failures).allSatisfy(f -> f.ifPresent(e -> assertThat(e)
                .isInstanceOfAny(AbandonedException.class, PeerLostException.class)));
        workers.members().forEach(GenerationsTest::requireWellDefined);
        List<TrainingRank> next = new ArrayList<>(workers.members());
        if (!survives) {
            next.remove(victim);
        }
        workers.recover(next.reversed());
        return true;
    }

    /** All at the step with or without its gradient, or all at the next. */
    private static void requireWellDefined(TrainingRank rank) {
        HolderReport report = rank.report(new Fence(1, 2), new Incarnation(7));
        long step = report.scalars().orElseThrow().step();
        assertThat(report.chunks()).isNotEmpty()
                .allSatisfy(held -> assertThat(held.version()).isEqualTo(step));
        report.committed().ifPresent(committed ->
                assertThat(committed.step()).isLessThan(step));
        assertThat(report.weights()).isIn(-1L, step);
    }

    @Test
    void aGradientIsReportedWhileItIsThereAndNotAfterTheNextPlaceIsTaken() {
        try (Workers workers = new Workers(PLAN, 1)) {
            workers.begin(1, (_, transport) -> transport);
            TrainingRank rank = workers.worker(0);
            assertThat(rank.report(new Fence(1, 1), new Incarnation(1)).scalars()).isEmpty();
            workers.onAll(r -> r.loaded(ScalarState.initial()));
            workers.onAll(r -> r.gradients(TinyRun.sources(PLAN, 1).getFirst()));
            assertThat(rank.report(new Fence(1, 2), new Incarnation(1)).chunks())
                    .hasSize(workers.chunks())
                    .allSatisfy(held -> assertThat(held.gradient()).isTrue());
            workers.recover(List.of(rank));
            assertThat(rank.report(new Fence(1, 3), new Incarnation(1)).chunks())
                    .allSatisfy(held -> assertThat(held.gradient()).isFalse());
        }
    }

    @Test
    void anAbandonedRankStopsBeforeItsNextMicroBatch() {
        try (Workers workers = new Workers(PLAN, 1)) {
            workers.begin(1, (_, transport) -> transport);
            workers.onAll(r -> r.loaded(ScalarState.initial()));
            TrainingRank rank = workers.worker(0);
            AtomicInteger asked = new AtomicInteger();
            rank.install(9, Placement.of(RankSettings.of(PLAN,
                            Recomputation.NONE).grid(), 4, 1),
                    LocalTransport.connect(1, TinyRun.DEADLINE)[0],
                    () -> asked.incrementAndGet() > 3);
            assertThatThrownBy(() -> workers.step(rank))
                    .isInstanceOf(AbandonedException.class)
                    .hasMessage("generation 9 is over");
            assertThat(rank.sequences()).isEqualTo(3);
            assertThat(rank.scalars().step()).isZero();
        }
    }

    @Test
    void noStepIsTakenWithComputeWeightsOfAnotherVersion() {
        try (Workers workers = new Workers(PLAN, 1)) {
            workers.begin(1, (_, transport) -> transport);
            workers.worker(0).state().begin(ScalarState.initial());
            assertThatThrownBy(() -> workers.step(workers.worker(0)))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessage("compute weights of version -1 for step 0");
        }
    }
}
