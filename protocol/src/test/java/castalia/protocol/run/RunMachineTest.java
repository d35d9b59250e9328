package castalia.protocol.run;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.ErrorCode;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.HolderReport;
import castalia.protocol.control.Progress;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Endpoint;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.LayoutWish;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.SliceBlock;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import org.junit.jupiter.api.Test;

/** What the machine says to those it does not want, and to those whose time is over. */
class RunMachineTest {

    private static final RunMachine MACHINE = new RunMachine(new RunSettings(SimulatedRun.RUN,
            "nv", "build", SimulatedRun.GRID, SimulatedRun.VIRTUAL_RANKS, 2,
            LayoutWish.USUAL, SimulatedRun.STEPS,
            RunSettings.Patience.USUAL));
    private static final Member A = member(1);
    private static final Member B = member(2);
    private static final Member C = member(3);

    private RunState state = MACHINE.begin(5).state();
    private final List<RunEffect> effects = new ArrayList<>();

    private static Member member(int id) {
        return new Member(new Incarnation(id), "w" + id, "n", 100 + id,
                new Endpoint("127.0.0.1", 1, Optional.empty()));
    }

    private static WorkerMessage.Registered offer(
            Member member, String run, String numeric, String build, Fence seen) {
        return new WorkerMessage.Registered(member, run, numeric, build, "cpu", seen);
    }

    private static WorkerMessage.Registered good(Member member) {
        return offer(member, SimulatedRun.RUN, "nv", "build", Fence.NONE);
    }

    private void happens(RunEvent event) {
        effects.clear();
        RunMachine.Transition next = MACHINE.next(state, event);
        state = next.state();
        effects.addAll(next.effects());
    }

    private void says(WorkerMessage message) {
        happens(new RunEvent.FromWorker(message));
    }

    private <T extends CoordinatorMessage> List<T> sent(Member to, Class<T> kind) {
        return effects.stream()
                .filter(e -> e instanceof RunEffect.Send(Incarnation who, var message)
                        && who.equals(to.incarnation()) && kind.isInstance(message))
                .map(e -> kind.cast(((RunEffect.Send) e).message())).toList();
    }

    private List<RunNews> news() {
        return effects.stream().filter(RunEffect.Announce.class::isInstance)
                .map(e -> ((RunEffect.Announce) e).news()).toList();
    }

    /** Two workers that hold nothing begin from nothing. */
    private void running() {
        says(good(A));
        says(good(B));
        for (Member member : List.of(A, B)) {
            says(nothing(member));
        }
        happens(new RunEvent.CheckpointFound(state.fence(), Optional.empty()));
        assertThat(sent(A, CoordinatorMessage.Install.class)).hasSize(1);
        for (Member member : List.of(A, B)) {
            says(new WorkerMessage.Installed(state.fence(), member.incarnation()));
        }
        assertThat(state.phase()).isInstanceOf(RunPhase.Running.class);
        assertThat(sent(A, CoordinatorMessage.Start.class)).hasSize(1);
        assertThat(sent(B, CoordinatorMessage.Start.class)).hasSize(1);
    }

    private WorkerMessage.Reported nothing(Member member) {
        return new WorkerMessage.Reported(new HolderReport(state.fence(), member.incarnation(),
                Optional.empty(), List.of(), -1, SliceBlock.NONE, Optional.empty()));
    }

    private static WorkerMessage.Stepped stepped(Fence fence, Member member) {
        return stepped(fence, member, 0);
    }

    private static WorkerMessage.Stepped stepped(Fence fence, Member member, long step) {
        return new WorkerMessage.Stepped(fence, member.incarnation(), new Progress(
                step, 5, 1, 1e-3, StateDigest.ZERO, 4, new Progress.Totals(4, 0, 0, 0, 0),
                new Progress.Nanos(1, 1, 1, 1, 1, 1)));
    }

    private void assertRefused(WorkerMessage.Registered offer, String... words) {
        says(offer);
        assertThat(sent(offer.member(), CoordinatorMessage.Dismiss.class)).singleElement()
                .extracting(CoordinatorMessage.Dismiss::reason).asString().contains(words);
        assertThat(news()).singleElement().isInstanceOf(RunNews.Refused.class);
        assertThat(state.workers()).doesNotContainKey(offer.member().incarnation());
    }

    @Test
    void aWorkerOfAnotherNumericVersionBuildOrRunIsRefusedByName() {
        assertRefused(offer(A, SimulatedRun.RUN, "other", "build", Fence.NONE),
                "numeric version is other", "the run's is nv");
        assertRefused(offer(B, SimulatedRun.RUN, "nv", "b2", Fence.NONE),
                "build b2", "the run's is build");
        assertRefused(offer(C, "cd".repeat(32), "nv", "build", Fence.NONE),
                "cd".repeat(32), SimulatedRun.RUN);
        assertThat(state.phase()).isInstanceOf(RunPhase.Forming.class);
    }

    @Test
    void aLayoutThatIsAskedForIsToldWithWhatTheWorkersCanHave() {
        running();
        says(stepped(state.fence(), A));
        LayoutWish wish = new LayoutWish(3, 1, 2, 0);
        happens(new RunEvent.LayoutRequested(wish));
        assertThat(news()).containsExactly(
                new RunNews.LayoutWanted(wish, new ParallelLayout(2, 1, 2, 0), 2));
        assertThat(state.phase()).isInstanceOf(RunPhase.Draining.class);
        happens(new RunEvent.LayoutRequested(new LayoutWish(99, 1, 2, 0)));
        assertThat(news()).as("what no run can have").isEmpty();
    }

    @Test
    void aWorkerThatDoesNotFitDisturbsNoRunningGeneration() {
        running();
        RunState before = state;
        assertRefused(offer(C, SimulatedRun.RUN, "other", "build", new Fence(9, 99)), "other");
        assertThat(state.phase()).isEqualTo(before.phase());
        assertThat(state.fence()).isEqualTo(before.fence());
        assertThat(state.plan()).isEqualTo(before.plan());
    }

    @Test
    void registeringTwiceIsOneWorker() {
        says(good(A));
        says(good(A));
        assertThat(state.workers()).hasSize(1);
        assertThat(effects).isEmpty();
    }

    @Test
    void aMemberThatRegistersAgainWithANewerFenceAnswersTheQueryOfThatFenceLikeAnyOther() {
        running();
        says(new WorkerMessage.Suspects(
                state.fence(), A.incarnation(), B.incarnation(), false, "a vote"));
        RunState asked = state;
        says(offer(B, SimulatedRun.RUN, "nv", "build", state.fence()));
        assertThat(effects).isEmpty();
        assertThat(state).isEqualTo(asked);
        says(nothing(A));
        says(nothing(B));
        happens(new RunEvent.CheckpointFound(state.fence(), Optional.empty()));
        assertThat(sent(B, CoordinatorMessage.Install.class)).hasSize(1);
    }

    /** B does not answer a query. */
    private void exclude() {
        running();
        happens(new RunEvent.WorkerGone(A.incarnation(), "was killed"));
        assertThat(state.phase()).isInstanceOf(RunPhase.Gathering.class);
        says(good(C));
        happens(new RunEvent.TimerFired(RunTimer.GATHERING, state.fence()));
        assertThat(sent(B, CoordinatorMessage.Dismiss.class)).singleElement()
                .extracting(CoordinatorMessage.Dismiss::reason).isEqualTo("did not answer a query");
        assertThat(news()).contains(new RunNews.Detected(B, "did not answer a query"));
    }

    @Test
    void anExcludedWorkerThatSpeaksAgainIsToldAgain() {
        Fence old = new Fence(5, 1);
        List<Function<Fence, WorkerMessage>> said = List.of(
                fence -> stepped(fence, B),
                fence -> new WorkerMessage.Installed(fence, B.incarnation()),
                fence -> new WorkerMessage.Paused(fence, B.incarnation(), 3),
                fence -> new WorkerMessage.CaughtUp(fence, B.incarnation(), 3),
                fence -> new WorkerMessage.Finished(fence, B.incarnation(), 30, StateDigest.ZERO),
                fence -> new WorkerMessage.Reported(new HolderReport(fence, B.incarnation(),
                        Optional.empty(), List.of(), -1, SliceBlock.NONE, Optional.empty())));
        exclude();
        RunState before = state;
        for (Function<Fence, WorkerMessage> message : said) {
            for (Fence fence : List.of(old, state.fence())) {
                says(message.apply(fence));
                assertThat(sent(B, CoordinatorMessage.Dismiss.class)).as("%s", message.apply(fence))
                        .hasSize(1);
                assertThat(news()).singleElement().isInstanceOf(RunNews.StaleMessage.class);
                assertThat(state).isEqualTo(before);
            }
        }
        assertRefused(good(B), "excluded before");
    }

    @Test
    void aSuspicionOfAnExcludedWorkerMovesNobody() {
        exclude();
        says(nothing(C));
        happens(new RunEvent.CheckpointFound(state.fence(), Optional.empty()));
        says(new WorkerMessage.Installed(state.fence(), C.incarnation()));
        assertThat(state.phase()).isInstanceOf(RunPhase.Running.class);
        RunState before = state;
        says(new WorkerMessage.Suspects(
                new Fence(5, 1), B.incarnation(), C.incarnation(), true, "a vote"));
        assertThat(state).isEqualTo(before);
        assertThat(sent(B, CoordinatorMessage.Dismiss.class)).hasSize(1);
    }

    @Test
    void messagesOfAnOlderGenerationAreCountedAndDropped() {
        running();
        RunState before = state;
        says(stepped(new Fence(4, 50), A));
        assertThat(news()).containsExactly(new RunNews.StaleMessage(
                new Fence(4, 50), A.incarnation(), "Stepped"));
        assertThat(state).isEqualTo(before);
    }

    @Test
    void aTimerOfAnOlderGenerationDoesNothing() {
        running();
        RunState before = state;
        happens(new RunEvent.TimerFired(RunTimer.GATHERING, new Fence(5, 0)));
        assertThat(effects).isEmpty();
        assertThat(state).isEqualTo(before);
    }

    @Test
    void aFailureEveryWorkerWouldHaveEndsTheRunAnotherOnlyTheWorker() {
        running();
        says(new WorkerMessage.Failed(
                state.fence(), A.incarnation(), ErrorCode.PEER_LOST, "no connection"));
        assertThat(sent(A, CoordinatorMessage.Dismiss.class)).hasSize(1);
        assertThat(state.phase()).isInstanceOf(RunPhase.Gathering.class);
        says(new WorkerMessage.Failed(
                state.fence(), B.incarnation(), ErrorCode.DATA_CORRUPT, "tokens.bin is short"));
        assertThat(state.phase()).isEqualTo(new RunPhase.Ended(
                new RunResult.Failed(ErrorCode.DATA_CORRUPT, "tokens.bin is short")));
    }

    private void fails(Member member, ErrorCode code) {
        says(new WorkerMessage.Failed(
                state.fence(), member.incarnation(), code, "no " + member.name()));
    }

    /** The only member there is begins from nothing, or from a checkpoint. */
    private void goesOn(Member member, Optional<RunStorage.Newest> from) {
        says(nothing(member));
        happens(new RunEvent.CheckpointFound(state.fence(), from));
        says(new WorkerMessage.Installed(state.fence(), member.incarnation()));
        assertThat(state.phase()).isInstanceOf(RunPhase.Running.class);
    }

    private void assertFailed(ErrorCode code, Member member) {
        assertThat(state.phase()).isEqualTo(
                new RunPhase.Ended(new RunResult.Failed(code, "no " + member.name())));
    }

    @Test
    void aWorkerWhoseDeviceFailsIsDismissedAndTheLastOneEndsTheRun() {
        running();
        fails(A, ErrorCode.DEVICE_FAILED);
        assertThat(sent(A, CoordinatorMessage.Dismiss.class)).hasSize(1);
        assertThat(sent(B, CoordinatorMessage.Query.class)).hasSize(1);
        assertThat(news()).contains(new RunNews.Detected(A, "failed: no w1"));
        goesOn(B, Optional.empty());
        fails(A, ErrorCode.DEVICE_FAILED);
        assertThat(state.phase()).isInstanceOf(RunPhase.Running.class);
        fails(B, ErrorCode.OUT_OF_MEMORY);
        assertFailed(ErrorCode.OUT_OF_MEMORY, B);
    }

    @Test
    void aStepThatFailsOnAsManyWorkersAsAreWantedEndsTheRunThoughAnotherWaits() {
        running();
        says(good(C));
        fails(A, ErrorCode.OUT_OF_MEMORY);
        assertThat(state.phase()).isInstanceOf(RunPhase.Gathering.class);
        fails(B, ErrorCode.DEVICE_FAILED);
        assertFailed(ErrorCode.DEVICE_FAILED, B);
        assertThat(sent(C, CoordinatorMessage.Dismiss.class)).hasSize(1);
    }

    @Test
    void aPlaceWhereWorkersFailAgainAndAgainCountsOnce() {
        running();
        fails(A, ErrorCode.DEVICE_FAILED);
        for (int life = 11; life < 20; life++) {
            Member again = new Member(
                    new Incarnation(life), A.name(), A.node(), life, A.endpoint());
            says(good(again));
            fails(again, ErrorCode.DEVICE_FAILED);
            assertThat(sent(again, CoordinatorMessage.Dismiss.class)).hasSize(1);
            assertThat(state.phase()).isInstanceOf(RunPhase.Gathering.class);
        }
        goesOn(B, Optional.empty());
    }

    @Test
    void onlyAStepBeyondThoseDoneBeforeMakesFailuresForgotten() {
        running();
        for (int step = 0; step < 3; step++) {
            says(stepped(state.fence(), A, step));
        }
        fails(A, ErrorCode.DEVICE_FAILED);
        goesOn(B, Optional.of(new RunStorage.Newest(ScalarState.initial(), "hash")));
        assertThat(state.version()).isZero();
        for (int step = 0; step < 3; step++) {
            says(stepped(state.fence(), B, step));
            assertThat(state.failed()).isEqualTo(new RunState.Failed(Set.of(A.label()), 3));
        }
        says(stepped(state.fence(), B, 3));
        assertThat(state.failed()).isEqualTo(RunState.Failed.NONE);
    }

    @Test
    void theFirstWorkerToComeMayFailWhileOthersAreAwaited() {
        says(good(A));
        fails(A, ErrorCode.DEVICE_FAILED);
        assertThat(sent(A, CoordinatorMessage.Dismiss.class)).hasSize(1);
        assertThat(state.phase()).isInstanceOf(RunPhase.Forming.class);
        says(good(B));
        fails(B, ErrorCode.DEVICE_FAILED);
        assertFailed(ErrorCode.DEVICE_FAILED, B);
    }

    @Test
    void aStateOfWhichTwoHoldersHoldDifferentBitsEndsTheRunThoughAnotherIsLeft() {
        running();
        says(good(C));
        fails(A, ErrorCode.NUMERIC_DIVERGED);
        assertFailed(ErrorCode.NUMERIC_DIVERGED, A);
    }

    @Test
    void whoSaysAStepThatIsPublishedAlreadyIsToldSo() {
        running();
        happens(new RunEvent.Published(0, "hash"));
        List<WorkerMessage.Stored> parts =
                SimulatedState.stored(state.fence(), ScalarState.initial());
        says(parts.getFirst());
        assertThat(effects).isEmpty();
        says(parts.getLast());
        for (Member member : List.of(A, B)) {
            assertThat(sent(member, CoordinatorMessage.Saved.class))
                    .containsExactly(new CoordinatorMessage.Saved(state.fence(), 0));
        }
    }

    @Test
    void aDeposedCoordinatorTellsNobodyAnythingAnyMore() {
        running();
        happens(new RunEvent.Deposed(6));
        assertThat(effects).noneMatch(RunEffect.Send.class::isInstance);
        says(good(C));
        assertThat(effects).isEmpty();
    }

    @Test
    void whoComesAfterTheEndIsToldThatItIsOver() {
        running();
        happens(new RunEvent.StorageFailed("the disk is full"));
        assertThat(sent(A, CoordinatorMessage.Dismiss.class)).hasSize(1);
        says(good(C));
        assertThat(sent(C, CoordinatorMessage.Dismiss.class)).singleElement()
                .extracting(CoordinatorMessage.Dismiss::reason)
                .isEqualTo(CoordinatorMessage.Dismiss.OVER);
    }

    @Test
    void aNewCoordinatorGoesOnFromTheNewestGenerationItsWorkersSaw() {
        says(offer(A, SimulatedRun.RUN, "nv", "build", new Fence(4, 17)));
        says(good(B));
        assertThat(state.fence()).isEqualTo(new Fence(5, 18));
    }
}
