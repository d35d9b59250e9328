package castalia.actors.run;

import static org.assertj.core.api.Assertions.assertThat;

import akka.actor.testkit.typed.javadsl.ActorTestKit;
import akka.actor.testkit.typed.javadsl.TestProbe;
import akka.actor.typed.ActorRef;
import akka.actor.typed.receptionist.Receptionist;
import castalia.actors.Tests.FakeLogic;
import castalia.actors.Tests.FakeStorage;
import castalia.actors.Tests;
import castalia.actors.heartbeat.Heartbeats;
import castalia.actors.message.AgentTraffic;
import castalia.actors.message.CoordinatorTraffic;
import castalia.actors.message.WorkerTraffic;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.run.RunEffect;
import castalia.protocol.run.RunEvent;
import castalia.protocol.run.RunNews;
import castalia.protocol.run.RunResult;
import castalia.protocol.run.RunStorage;
import castalia.protocol.run.RunTimer;
import castalia.protocol.step.ScalarState;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.Function;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(90)
class CoordinatorActorTest {

    private static final Fence FENCE = new Fence(3, 1);
    private static final ScalarState STATE = ScalarState.initial().applied();

    private final ActorTestKit kit = Tests.kit(false);
    private final FakeStorage storage = new FakeStorage();
    private final BlockingQueue<RunNews> news = new LinkedBlockingQueue<>();
    private final BlockingQueue<RunResult> results = new LinkedBlockingQueue<>();
    private final Heartbeats heartbeats = Tests.heartbeats(1);

    @AfterEach
    void stop() {
        kit.shutdownTestKit();
        heartbeats.close();
    }

    private ActorRef<CoordinatorActor.Command> spawn(FakeLogic logic) {
        RunParts parts = new RunParts(term -> logic, storage, Tests.BUILD,
                Tests.claimant("test", 1, heartbeats), "job", news::add, end -> {}, heartbeats);
        return kit.spawn(CoordinatorActor.create(parts, 3, results::add));
    }

    private ActorRef<CoordinatorTraffic> found() {
        TestProbe<Receptionist.Listing> listings = kit.createTestProbe();
        kit.system().receptionist()
                .tell(Receptionist.subscribe(CoordinatorActor.KEY, listings.getRef()));
        while (true) {
            var refs = listings.receiveMessage().getServiceInstances(CoordinatorActor.KEY);
            if (!refs.isEmpty()) {
                return refs.iterator().next();
            }
        }
    }

    private static Function<RunEvent, List<RunEffect>> nothing() {
        return event -> List.of();
    }

    @Test
    void theFirstEffectsArePerformedAndAnsweredByEvents() {
        FakeLogic logic = new FakeLogic(
                List.of(
                        new RunEffect.FindCheckpoint(FENCE),
                        new RunEffect.Publish(STATE, List.of(), -1),
                        new RunEffect.StartTimer(
                                RunTimer.GATHERING, FENCE, Duration.ofHours(1)),
                        new RunEffect.StartTimer(
                                RunTimer.GATHERING, FENCE.next(3), Duration.ofMillis(1)),
                        new RunEffect.StartTimer(
                                RunTimer.FORMING, FENCE, Duration.ofMillis(1)),
                        new RunEffect.CancelTimer(RunTimer.FORMING),
                        new RunEffect.Announce(new RunNews.Saved(4, "h"))),
                nothing());
        spawn(logic);
        List<RunEvent> events = List.of(Tests.take(logic.events), Tests.take(logic.events),
                Tests.take(logic.events));
        assertThat(events).containsExactlyInAnyOrder(
                new RunEvent.CheckpointFound(FENCE,
                        Optional.of(new RunStorage.Newest(ScalarState.initial(), "hash-0"))),
                new RunEvent.Published(1, "hash-1"),
                new RunEvent.TimerFired(RunTimer.GATHERING, FENCE.next(3)));
        assertThat(Tests.take(news)).isEqualTo(new RunNews.Saved(4, "h"));
    }

    @Test
    void storageThatFailsIsAnEventInItsOwnWords() {
        storage.broken = "cannot write /x/y: disk is full";
        FakeLogic logic = new FakeLogic(
                List.of(new RunEffect.Publish(STATE, List.of(), -1)), nothing());
        spawn(logic);
        assertThat(Tests.take(logic.events))
                .isEqualTo(new RunEvent.StorageFailed("cannot write /x/y: disk is full"));
    }

    @Test
    void workersAreWelcomedSpokenToAndMissedOnce() {
        FakeLogic logic = new FakeLogic(List.of(), event -> event instanceof RunEvent.FromWorker
                ? List.of(new RunEffect.Send(
                        new Incarnation(1), new CoordinatorMessage.Query(FENCE)))
                : List.of());
        ActorRef<CoordinatorActor.Command> actor = spawn(logic);
        ActorRef<CoordinatorTraffic> self = found();
        TestProbe<WorkerTraffic> worker = kit.createTestProbe();
        actor.tell(new CoordinatorActor.Heard(new CoordinatorTraffic.FromWorker(
                Tests.registered(1), worker.getRef())));
        worker.expectMessage(new WorkerTraffic.Welcome(3, self));
        worker.expectMessage(
                new WorkerTraffic.FromCoordinator(new CoordinatorMessage.Query(FENCE)));
        assertThat(Tests.take(logic.events))
                .isEqualTo(new RunEvent.FromWorker(Tests.registered(1)));
        self.tell(new CoordinatorTraffic.WorkerExited(new Incarnation(1), "exit code 137"));
        worker.stop();
        self.tell(new CoordinatorTraffic.WorkerExited(new Incarnation(1), "again"));
        self.tell(new CoordinatorTraffic.WorkerExited(new Incarnation(77), "never seen"));
        self.tell(new CoordinatorTraffic.StopRun());
        assertThat(Tests.take(logic.events))
                .isEqualTo(new RunEvent.WorkerGone(new Incarnation(1), "exit code 137"));
        assertThat(Tests.take(logic.events)).isEqualTo(new RunEvent.StopRequested());
    }

    @Test
    void aWorkerWhoseActorIsGoneIsMissed() {
        FakeLogic logic = new FakeLogic(List.of(), nothing());
        spawn(logic);
        ActorRef<CoordinatorTraffic> self = found();
        TestProbe<WorkerTraffic> worker = kit.createTestProbe();
        self.tell(new CoordinatorTraffic.FromWorker(Tests.registered(1), worker.getRef()));
        Tests.take(logic.events);
        worker.stop();
        assertThat(Tests.take(logic.events)).isInstanceOfSatisfying(
                RunEvent.WorkerGone.class,
                gone -> assertThat(gone.worker()).isEqualTo(new Incarnation(1)));
    }

    @Test
    void theTargetIsTheSumOfWhatAgentsOfThisBuildAndOfOneNameOffer() {
        FakeLogic logic = new FakeLogic(List.of(), nothing());
        spawn(logic);
        ActorRef<CoordinatorTraffic> self = found();
        TestProbe<AgentTraffic> one = kit.createTestProbe();
        TestProbe<AgentTraffic> two = kit.createTestProbe();
        TestProbe<AgentTraffic> three = kit.createTestProbe();
        self.tell(new CoordinatorTraffic.Offer("n1", Tests.BUILD, 2, one.getRef()));
        self.tell(new CoordinatorTraffic.Offer("n2", Tests.BUILD, 3, two.getRef()));
        self.tell(new CoordinatorTraffic.Offer("n3", "other", 8, three.getRef()));
        one.expectMessage(new AgentTraffic.Accepted(3, self));
        two.expectMessage(new AgentTraffic.Accepted(3, self));
        assertThat(three.expectMessageClass(AgentTraffic.Refused.class).reason())
                .contains("other", Tests.BUILD);
        self.tell(new CoordinatorTraffic.Offer("n1", Tests.BUILD, 9, three.getRef()));
        assertThat(three.expectMessageClass(AgentTraffic.Refused.class).reason())
                .contains("'n1'");
        RunEvent target = Tests.take(logic.events);
        if (target.equals(new RunEvent.TargetChanged(2))) { // the second offer was long in coming
            target = Tests.take(logic.events);
        }
        assertThat(target).isEqualTo(new RunEvent.TargetChanged(5));
        one.stop();
        assertThat(Tests.take(logic.events)).isEqualTo(new RunEvent.TargetChanged(3));
    }

    @Test
    void aNewerTermDeposesAndStopsIt() {
        FakeLogic logic = new FakeLogic(List.of(), event -> event
                        instanceof RunEvent.Deposed(long newer)
                ? List.of(new RunEffect.End(new RunResult.Deposed(newer)))
                : List.of());
        ActorRef<CoordinatorActor.Command> actor = spawn(logic);
        for (int i = 0; i < 4; i++) {
            storage.claimedElsewhere(Optional.empty());
        }
        assertThat(Tests.take(results)).isEqualTo(new RunResult.Deposed(4));
        kit.createTestProbe().expectTerminated(actor);
    }

    @Test
    void nothingIsPublishedUnderANewerTerm() {
        FakeLogic logic = new FakeLogic(
                List.of(new RunEffect.Publish(STATE, List.of(), -1)), nothing());
        storage.broken = "published";
        for (int i = 0; i < 4; i++) {
            storage.claimedElsewhere(Optional.empty());
        }
        spawn(logic);
        assertThat(Tests.take(logic.events)).isEqualTo(new RunEvent.Deposed(4));
    }

    @Test
    void theEndIsToldToAgentsAndLaterEventsAreIgnored() {
        FakeLogic logic = new FakeLogic(List.of(), event -> event
                        instanceof RunEvent.StopRequested
                ? List.of(new RunEffect.End(new RunResult.Stopped(7, "h")))
                : List.of());
        spawn(logic);
        ActorRef<CoordinatorTraffic> self = found();
        TestProbe<AgentTraffic> agent = kit.createTestProbe();
        self.tell(new CoordinatorTraffic.Offer("n1", Tests.BUILD, 2, agent.getRef()));
        self.tell(new CoordinatorTraffic.StopRun());
        self.tell(new CoordinatorTraffic.StopRun());
        agent.expectMessageClass(AgentTraffic.Accepted.class);
        agent.expectMessageClass(AgentTraffic.RunOver.class);
        assertThat(Tests.take(results)).isEqualTo(new RunResult.Stopped(7, "h"));
        assertThat(logic.events).filteredOn(event -> !(event instanceof RunEvent.TargetChanged))
                .containsExactly(new RunEvent.StopRequested());
        WorkerMessage late = Tests.registered(5);
        self.tell(new CoordinatorTraffic.FromWorker(
                late, kit.<WorkerTraffic>createTestProbe().getRef()));
        kit.createTestProbe().expectTerminated(self);
        assertThat(results).isEmpty();
    }
}
