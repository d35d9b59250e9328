package castalia.workers.runtime;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.ErrorCode;
import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.GenerationPlan;
import castalia.protocol.control.GenerationPlan.Start;
import castalia.protocol.control.HolderReport;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Endpoint;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.run.RollForward;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.workers.rank.RankGroup;
import castalia.workers.rank.TinyRun;
import castalia.workers.rank.TinyRun.Layout;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.LongPredicate;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@Tag("default")
@Timeout(value = 2, unit = TimeUnit.MINUTES, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class WorkerRuntimeTest {

    private static final TrainingPlan PLAN = TinyRun.plan(TinyRun.shape()).build();
    private static final LongPredicate NEVER = _ -> false;

    private static Crew crew(long steps, LongPredicate due) {
        return new Crew(PLAN, steps, due, Optional.empty());
    }

    private static StateDigest undisturbed(TrainingPlan plan, int steps) {
        return TinyRun.trace(plan, Layout.plain(), steps).getLast();
    }

    private static List<Member> add(Crew crew, int count) {
        return IntStream.range(0, count).mapToObj(crew::add).toList();
    }

    private static void start(Crew crew, List<Member> members) {
        crew.query(members);
        crew.begin(members, new Start.Initial(), -1);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3})
    void anyNumberOfWorkersEndsWithTheBitsOfOneProcess(int count) {
        try (Crew crew = crew(6, NEVER)) {
            List<Member> members = add(crew, count);
            List<HolderReport> empty = crew.query(members);
            assertThat(empty).allSatisfy(r -> {
                assertThat(r.scalars()).isEmpty();
                assertThat(r.chunks()).isEmpty();
                assertThat(r.weights()).isEqualTo(-1);
            });
            crew.begin(members, new Start.Initial(), -1);
            assertThat(crew.finish(count)).isEqualTo(undisturbed(PLAN, 6));
            assertThat(crew.heard(WorkerMessage.Stepped.class)).hasSize(6 * count);
            List<WorkerMessage.Stored> stored = crew.heard(WorkerMessage.Stored.class);
            assertThat(stored).hasSize(1);
            assertThat(stored.getFirst().total()).isEqualTo(crew.grid.size());
            assertThat(stored.getFirst().entries()).extracting(ChunkEntry::chunk)
                    .isEqualTo(crew.grid.chunks());
            assertThat(stored.getFirst().scalars().step()).isEqualTo(6);
        }
    }

    @ParameterizedTest
    @CsvSource({"FP32, 0, false, 1", "FP32, 2, true, 1", "BF16, 1, false, 1", "FP16, 0, false, 1",
            "FP16, 1, true, 1", "FP32, 0, true, 3", "BF16, 1, true, 3", "FP16, 2, false, 3"})
    void theSurvivorsOfAKilledWorkerGoOnFromMemory(
            Precision precision, int killed, boolean sockets, int zero) {
        TrainingPlan plan = TinyRun.in(PLAN, precision);
        try (Crew crew = new Crew(plan, 25, NEVER, Optional.empty())) {
            crew.sockets = sockets;
            crew.zero = zero;
            crew.fillMillis = 10;
            crew.held = 8;
            List<Member> members = add(crew, 3);
            start(crew, members);
            Member gone = members.get(killed);
            List<Member> left = new ArrayList<>(members);
            left.remove(gone);
            crew.awaitStep(4, left);
            crew.kill(gone);
            WorkerMessage.Suspects suspects = crew.await(WorkerMessage.Suspects.class);
            while (!suspects.broken()) { // of who is slow
                suspects = crew.await(WorkerMessage.Suspects.class);
            }
            assertThat(suspects.about()).isEqualTo(gone.incarnation());
            ScalarState from = crew.recover(left, -1);
            assertThat(from.step()).isGreaterThanOrEqualTo(4);
            assertThat(crew.finish(2)).isEqualTo(undisturbed(plan, 25));
        }
    }

    @ParameterizedTest
    @CsvSource({"false, 1", "true, 1", "true, 3"})
    void generationAfterGenerationInTheMiddleOfStepsChangesNoBit(boolean sockets, int zero) {
        try (Crew crew = crew(30, NEVER)) {
            crew.sockets = sockets;
            crew.zero = zero;
            crew.fillMillis = 3;
            crew.held = 4;
            List<Member> members = add(crew, 3);
            start(crew, members);
            for (int i = 1; i < 10; i++) {
                crew.awaitStep(2 * i);
                crew.held = i < 9 ? 2 * i + 4 : Long.MAX_VALUE;
                members = List.of(members.get(1), members.get(2), members.get(0));
                crew.recover(members, -1);
            }
            assertThat(crew.finish(3)).isEqualTo(undisturbed(PLAN, 30));
        }
    }

    /** The peer accepts connections and never says anything. */
    @Test
    void whoWaitsForTheWeightsOfAFrozenOwnerSaysSoAndGoesOnWithoutIt() throws IOException {
        try (Crew crew = crew(30, NEVER);
                ServerSocket frozen = new ServerSocket(0, 5, InetAddress.getLoopbackAddress())) {
            crew.sockets = true;
            crew.zero = 3;
            crew.fillMillis = 3;
            crew.held = 6;
            Member worker = crew.add(0);
            start(crew, List.of(worker));
            crew.awaitStep(3);
            Member other = new Member(new Incarnation(7), "w7", "n", 7,
                    new Endpoint("127.0.0.1", frozen.getLocalPort(), Optional.empty()));
            RollForward.Memory memory = (RollForward.Memory) RollForward.of(
                    crew.query(List.of(worker)), crew.grid.size());
            GenerationPlan plan = new GenerationPlan(crew.fence, List.of(worker, other),
                    Placement.of(crew.grid, 4, new ParallelLayout(2, 1, 3, 0)),
                    new Start.Memory(memory.scalars(), memory.update(), List.of()), false, -1);
            crew.send(worker, new CoordinatorMessage.Install(plan));
            crew.await(WorkerMessage.Installed.class);
            crew.send(worker, new CoordinatorMessage.Start(crew.fence));
            WorkerMessage.Suspects suspects = crew.await(WorkerMessage.Suspects.class);
            assertThat(suspects.about()).isEqualTo(other.incarnation());
            assertThat(suspects.broken()).isFalse();
            assertThat(suspects.what()).startsWith("FETCHED of chunk ");
            crew.query(List.of(worker));
            crew.begin(List.of(worker), new Start.Initial(), -1);
            assertThat(crew.finish(1)).isEqualTo(undisturbed(PLAN, 30));
        }
    }

    private static List<Integer> owned(Placement placement, int rank) {
        return IntStream.of(placement.owned(rank)).boxed().toList();
    }

    @ParameterizedTest
    @CsvSource({"FP32, false, 1", "BF16, false, 1", "FP32, true, 1", "FP16, false, 1",
            "FP16, true, 1", "BF16, true, 3"})
    void aSpareLearnsWhileTheOthersStepAndBecomesAMember(
            Precision precision, boolean sockets, int zero) {
        TrainingPlan plan = TinyRun.in(PLAN, precision);
        try (Crew crew = new Crew(plan, 60, NEVER, Optional.empty())) {
            crew.sockets = sockets;
            crew.zero = zero;
            crew.fillMillis = 3;
            crew.held = 5;
            List<Member> members = add(crew, 2);
            Member spare = crew.add(2);
            start(crew, members);
            crew.awaitStep(2);
            Placement placement = Placement.of(crew.grid, 4, 2);
            List<Integer> all =
                    IntStream.range(0, crew.grid.size()).boxed().toList();
            crew.send(spare, new CoordinatorMessage.Learn(crew.fence, all));
            for (int r = 0; r < 2; r++) {
                crew.send(members.get(r), new CoordinatorMessage.Feed(
                        crew.fence, spare, owned(placement, r)));
            }
            crew.goOn(40);
            WorkerMessage.CaughtUp caughtUp = crew.await(WorkerMessage.CaughtUp.class);
            assertThat(caughtUp.worker()).isEqualTo(spare.incarnation());
            long now = 42;
            List<Member> three = List.of(spare, members.get(0), members.get(1));
            three.forEach(m -> crew.send(m, new CoordinatorMessage.Pause(crew.fence, now, false)));
            crew.goOn(Long.MAX_VALUE);
            assertThat(crew.await(WorkerMessage.Paused.class, 3))
                    .allSatisfy(paused -> assertThat(paused.step()).isEqualTo(now));
            List<HolderReport> reports = crew.query(three);
            assertThat(reports).allSatisfy(r -> {
                assertThat(r.scalars().orElseThrow().step()).isEqualTo(now);
                assertThat(r.committed().orElseThrow().step()).isEqualTo(now - 1);
                assertThat(r.chunks()).hasSameSizeAs(crew.grid.chunks())
                        .isEqualTo(reports.getFirst().chunks());
            });
            crew.recover(three, -1);
            assertThat(crew.finish(3)).isEqualTo(undisturbed(plan, 60));
        }
    }

    @Test
    void membersLearnChunksThatHaveOneHolder() {
        try (Crew crew = crew(60, NEVER)) {
            crew.fillMillis = 3;
            crew.held = 5;
            List<Member> members = add(crew, 3);
            start(crew, members);
            crew.awaitStep(2);
            crew.kill(members.get(2));
            List<Member> left = members.subList(0, 2);
            crew.held = 10;
            crew.recover(left, -1);
            Placement before = Placement.of(crew.grid, 4, 3);
            for (int r = 0; r < 2; r++) {
                int other = 1 - r;
                int self = r;
                List<Integer> lacking = IntStream.range(0, crew.grid.size())
                        .filter(c -> !before.holds(self, c)).boxed().toList();
                crew.send(left.get(self), new CoordinatorMessage.Learn(crew.fence, lacking));
                crew.send(left.get(other), new CoordinatorMessage.Feed(
                        crew.fence, left.get(self), lacking));
            }
            crew.goOn(40);
            crew.await(WorkerMessage.CaughtUp.class, 2);
            long now = 42;
            left.forEach(m -> crew.send(m, new CoordinatorMessage.Pause(crew.fence, now, false)));
            crew.goOn(Long.MAX_VALUE);
            assertThat(crew.await(WorkerMessage.Paused.class, 2)).allSatisfy(paused ->
                    assertThat(paused.step()).isEqualTo(now));
            List<HolderReport> reports = crew.query(left);
            assertThat(reports.get(0).chunks()).hasSize(crew.grid.size())
                    .isEqualTo(reports.get(1).chunks());
            crew.kill(left.get(0));
            crew.recover(left.subList(1, 2), -1);
            assertThat(crew.finish(1)).isEqualTo(undisturbed(PLAN, 60));
        }
    }

    @Test
    void aLearnerWithoutRoomIsGivenUpAndTrainingGoesOn() {
        try (Crew crew = crew(20, NEVER)) {
            crew.fillMillis = 3;
            crew.held = 5;
            List<Member> members = add(crew, 1);
            Member spare = crew.add(1);
            start(crew, members);
            crew.awaitStep(2);
            crew.planes.room(spare.incarnation(), crew.grid.size() + 2);
            List<Integer> all = IntStream.range(0, crew.grid.size()).boxed().toList();
            crew.send(members.getFirst(), new CoordinatorMessage.Feed(crew.fence, spare, all));
            crew.goOn(Long.MAX_VALUE);
            assertThat(crew.finish(1)).isEqualTo(undisturbed(PLAN, 20));
            crew.send(spare, new CoordinatorMessage.Learn(crew.fence, all));
            crew.await(WorkerMessage.CaughtUp.class);
            List<HolderReport> reports = crew.query(List.of(spare));
            assertThat(reports.getFirst().chunks()).allSatisfy(held ->
                    assertThat(held.version()).isLessThan(20));
        }
    }

    @Test
    void milestonesAreStoredOnceInOrderAndSaidAgainUntilTheyArePublished() {
        try (Crew crew = crew(8, step -> step == 0 || step == 2 || step == 5)) {
            List<Member> members = add(crew, 2);
            start(crew, members);
            crew.finish(2);
            assertThat(crew.heard(WorkerMessage.Stored.class))
                    .extracting(s -> s.scalars().step()).containsExactly(0L, 2L, 5L, 8L);
            members.forEach(m -> crew.send(m, new CoordinatorMessage.Saved(crew.fence, 2)));
            crew.heard.clear();
            crew.recover(members, 8);
            crew.finish(2);
            assertThat(crew.heard(WorkerMessage.Stored.class))
                    .extracting(s -> s.scalars().step())
                    .containsExactlyInAnyOrder(0L, 5L, 8L, 0L, 5L, 8L);
        }
    }

    @Test
    void aPauseThatSavesStoresThenStopsAndTheCheckpointGoesOnElsewhere() {
        StateDigest expected = undisturbed(PLAN, 40);
        try (Crew crew = crew(40, NEVER)) {
            crew.fillMillis = 3;
            crew.held = 10;
            List<Member> members = add(crew, 3);
            start(crew, members);
            crew.awaitStep(2);
            members.forEach(m -> crew.send(m, new CoordinatorMessage.Pause(crew.fence, 12, true)));
            crew.goOn(Long.MAX_VALUE);
            assertThat(crew.await(WorkerMessage.Paused.class, 3))
                    .allSatisfy(paused -> assertThat(paused.step()).isEqualTo(12));
            assertThat(crew.heard(WorkerMessage.Stored.class))
                    .extracting(s -> s.scalars().step()).containsExactly(12L);
            assertThat(crew.heard(WorkerMessage.Stepped.class)).hasSize(36);
            List<Member> others = List.of(crew.add(7), crew.add(8));
            crew.query(others);
            crew.begin(others, new Start.Checkpoint(12), 12);
            assertThat(crew.finish(2)).isEqualTo(expected);
            long read = crew.heard(WorkerMessage.Stepped.class).getLast()
                    .progress().totals().diskBytes();
            assertThat(read).isEqualTo(12 * crew.grid.layout().elements());
        }
    }

    @Test
    void validationIsTheSameAsInOneProcess() {
        double expected;
        try (RankGroup group = TinyRun.group(PLAN, Layout.plain())) {
            var sources = TinyRun.sources(PLAN, 1);
            group.step(sources);
            group.step(sources);
            expected = group.validate(sources, 3);
        }
        WorkerParts.Validation validation =
                new WorkerParts.Validation(TinyRun.sources(PLAN, 1).getFirst(), 2, 3);
        try (Crew crew = new Crew(PLAN, 3, NEVER, Optional.of(validation))) {
            List<Member> members = add(crew, 3);
            start(crew, members);
            assertThat(crew.finish(3)).isEqualTo(undisturbed(PLAN, 3));
            List<WorkerMessage.Validated> all = crew.heard(WorkerMessage.Validated.class);
            assertThat(all).extracting(WorkerMessage.Validated::step).containsExactly(2L, 3L);
            assertThat(all.getFirst().loss()).isEqualTo(expected);
        }
    }

    @Test
    void moreMessagesThanMayWaitAreDroppedAndHarmless() {
        try (Crew crew = crew(4, NEVER)) {
            crew.fillMillis = 500; // messages are heard between steps
            List<Member> members = add(crew, 1);
            start(crew, members);
            WorkerRuntime worker = crew.workers.get(members.getFirst());
            for (int i = 0; i < 2 * WorkerRuntime.MOST_ORDERS; i++) {
                worker.accept(new CoordinatorMessage.Saved(crew.fence, 0));
            }
            assertThat(crew.finish(1)).isEqualTo(undisturbed(PLAN, 4));
        }
    }

    @Test
    void aDismissalIsHeardHoweverManyMessagesWait() throws InterruptedException {
        try (Crew crew = crew(4, NEVER)) {
            crew.fillMillis = 500;
            List<Member> members = add(crew, 1);
            start(crew, members);
            WorkerRuntime worker = crew.workers.get(members.getFirst());
            for (int i = 0; i < 2 * WorkerRuntime.MOST_ORDERS; i++) {
                worker.accept(new CoordinatorMessage.Saved(crew.fence, 0));
            }
            worker.accept(new CoordinatorMessage.Dismiss(crew.fence, "enough"));
            assertThat(crew.dismissals.poll(30, TimeUnit.SECONDS)).isEqualTo("enough");
        }
    }

    @Test
    void olderMessagesAreDroppedAndCounted() {
        try (Crew crew = crew(3, NEVER)) {
            List<Member> members = add(crew, 1);
            start(crew, members);
            crew.finish(1);
            WorkerRuntime worker = crew.workers.get(members.getFirst());
            worker.accept(new CoordinatorMessage.Query(Fence.NONE));
            worker.accept(new CoordinatorMessage.Dismiss(new Fence(0, 9), "not yours"));
            assertThat(worker.staleMessages()).isEqualTo(2);
            assertThat(worker.registration().seen()).isEqualTo(crew.fence);
            worker.staleSeen(new Fence(4, 9));
            assertThat(worker.registration().seen()).isEqualTo(new Fence(4, 9));
            worker.accept(new CoordinatorMessage.Query(crew.fence));
            assertThat(worker.staleMessages()).isEqualTo(3);
            assertThat(crew.dismissals).isEmpty();
        }
    }

    @Test
    void aWorkerThatIsFencedOffRegistersAgainOnceAndTakesPartInTheNextGeneration() {
        try (Crew crew = crew(25, NEVER)) {
            crew.fillMillis = 3;
            List<Member> members = add(crew, 2);
            start(crew, members);
            crew.awaitStep(3);
            Fence newer = crew.fence.next(1);
            WorkerRuntime worker = crew.workers.get(members.get(1));
            worker.staleSeen(newer);
            worker.staleSeen(newer);
            worker.staleSeen(crew.fence);
            WorkerMessage.Registered again = crew.await(WorkerMessage.Registered.class);
            assertThat(again.member()).isEqualTo(members.get(1));
            assertThat(again.seen()).isEqualTo(newer);
            crew.recover(members, -1);
            assertThat(crew.fence).isEqualTo(newer);
            assertThat(crew.finish(2)).isEqualTo(undisturbed(PLAN, 25));
            assertThat(crew.heard(WorkerMessage.Registered.class)).hasSize(1);
        }
    }

    @Test
    void aMissingChunkOrCheckpointIsToldInOneLine() {
        try (Crew crew = crew(3, NEVER)) {
            List<Member> members = add(crew, 1);
            crew.query(members);
            Placement placement = Placement.of(crew.grid, 4, 1);
            crew.send(members.getFirst(), new CoordinatorMessage.Install(
                    new GenerationPlan(crew.fence, members, placement,
                            new Start.Memory(ScalarState.initial().applied(), Optional.empty(), List.of()),
                            true, -1)));
            WorkerMessage.Failed missing = crew.await(WorkerMessage.Failed.class);
            assertThat(missing.message()).contains("chunk 0 is at version -1")
                    .contains("starts at 1");
            crew.query(members);
            crew.send(members.getFirst(), new CoordinatorMessage.Install(
                    new GenerationPlan(crew.fence, members, placement,
                            new Start.Checkpoint(5), true, -1)));
            WorkerMessage.Failed unread = crew.await(WorkerMessage.Failed.class);
            assertThat(unread.code()).isEqualTo(ErrorCode.STORAGE_FAILED);
            assertThat(unread.message()).isEqualTo("no checkpoint of step 5");
            start(crew, members);
            assertThat(crew.finish(1)).isEqualTo(undisturbed(PLAN, 3));
        }
    }

    /** Rounded weights are no part of the state: what is computed with others is wrong for everybody. */
    @Test
    void aFlippedBitOfTheRoundedWeightsChangesTheState() {
        TrainingPlan plan = TinyRun.in(PLAN, Precision.BF16);
        try (Crew crew = new Crew(plan, 6, NEVER, Optional.empty())) {
            startWithAFlippedBit(crew, 14);
            assertThat(crew.finish(2)).isNotEqualTo(undisturbed(plan, 6));
        }
    }

    /** In fp32 those of a chunk held are its master weights. */
    @Test
    void aFlippedBitOfWeightsThatAreHeldIsFound() {
        try (Crew crew = crew(6, NEVER)) {
            startWithAFlippedBit(crew, 22);
            WorkerMessage.Failed failed = crew.await(WorkerMessage.Failed.class);
            assertThat(failed.code()).isEqualTo(ErrorCode.NUMERIC_DIVERGED);
            assertThat(failed.message()).startsWith("step 1: ranks [0, 1] hold different states of");
        }
    }

    private static void startWithAFlippedBit(Crew crew, int bit) {
        List<Member> members = add(crew, 2);
        crew.query(members);
        crew.install(members, Placement.of(crew.grid, 4, 2), new Start.Initial(), true, -1);
        crew.send(members.get(1), new CoordinatorMessage.FlipBit(crew.fence, 2600, bit));
        members.forEach(m -> crew.send(m, new CoordinatorMessage.Start(crew.fence)));
    }

    @Test
    void aDismissedWorkerEndsAndSaysWhy() throws InterruptedException {
        try (Crew crew = crew(1000, NEVER)) {
            List<Member> members = add(crew, 1);
            start(crew, members);
            crew.awaitStep(2);
            crew.send(members.getFirst(),
                    new CoordinatorMessage.Dismiss(crew.fence, "another build"));
            assertThat(crew.dismissals.poll(30, TimeUnit.SECONDS)).isEqualTo("another build");
        }
    }
}
