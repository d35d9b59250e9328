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
import castalia.actors.heartbeat.Pace;
import castalia.actors.message.CandidateTraffic;
import castalia.actors.message.CoordinatorTraffic;
import castalia.actors.watch.ActorRegistry;
import castalia.protocol.identity.Claimant;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.run.RunEffect;
import castalia.protocol.run.RunEvent;
import castalia.protocol.run.RunNews;
import castalia.protocol.run.RunResult;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Tag("default")
@Timeout(90)
class CandidateActorTest {

    private final ActorTestKit kit = Tests.kit(false);
    private final FakeStorage storage = new FakeStorage();
    private final ActorRegistry registry = new ActorRegistry();
    private final BlockingQueue<RunParts.End> ends = new LinkedBlockingQueue<>();
    private final BlockingQueue<Long> terms = new LinkedBlockingQueue<>();
    private final BlockingQueue<RunNews> news = new LinkedBlockingQueue<>();
    private final List<Heartbeats> open = new ArrayList<>();
    private Pace pace = Tests.PACE;

    @AfterEach
    void stop() {
        kit.shutdownTestKit();
        open.forEach(Heartbeats::close);
    }

    private Heartbeats heartbeats(long id) {
        Heartbeats heartbeats = Tests.heartbeats(id, pace);
        open.add(heartbeats);
        return heartbeats;
    }

    /** Who watches from now on takes the silence of a machine that stalls for no loss. */
    private void waitLongForAnswers() {
        pace = new Pace(pace.interval(), pace.silence(), Duration.ofSeconds(20), pace.beat());
    }

    private ActorRef<CandidateActor.Command> spawn(String label, RunLogic logic, boolean first) {
        return spawn(label, logic, () -> first);
    }

    private ActorRef<CandidateActor.Command> spawn(
            String label, RunLogic logic, CandidateActor.Line line) {
        Heartbeats heartbeats = heartbeats(label.hashCode());
        RunParts parts = new RunParts(
                term -> {
                    terms.add(term);
                    return logic;
                },
                storage, Tests.BUILD, Tests.claimant(label, label.hashCode(), heartbeats), "job",
                news::add, ends::add, heartbeats);
        return kit.spawn(CandidateActor.create(registry, parts, line), label);
    }

    private static FakeLogic stoppable() {
        return new FakeLogic(List.of(), event -> event instanceof RunEvent.StopRequested
                ? List.of(new RunEffect.End(new RunResult.Stopped(7, "h")))
                : List.of());
    }

    private static FakeLogic failing() {
        return new FakeLogic(List.of(), event -> {
            throw new IllegalStateException("defect");
        });
    }

    private ActorRef<CoordinatorTraffic> listed() {
        TestProbe<Receptionist.Listing> listings = kit.createTestProbe();
        kit.system().receptionist()
                .tell(Receptionist.subscribe(CoordinatorActor.KEY, listings.getRef()));
        while (true) {
            var refs = listings.receiveMessage(Duration.ofSeconds(10))
                    .getServiceInstances(CoordinatorActor.KEY);
            if (!refs.isEmpty()) {
                return refs.iterator().next();
            }
        }
    }

    @Test
    void whoIsFirstInLineLeadsAndTheRunsEndIsHeardByAll() {
        spawn("a", stoppable(), true);
        spawn("b", stoppable(), false);
        assertThat(Tests.take(terms)).isEqualTo(1);
        listed().tell(new CoordinatorTraffic.StopRun());
        assertThat(List.of(Tests.take(ends), Tests.take(ends))).containsExactlyInAnyOrder(
                new RunParts.End.Here(new RunResult.Stopped(7, "h")),
                new RunParts.End.Elsewhere(1, new RunResult.Stopped(7, "h")));
        kit.createTestProbe().expectNoMessage(Duration.ofSeconds(3));
        assertThat(storage.claims).containsExactly("a");
    }

    /** Another candidate, that leads the next term. */
    private Heartbeats leader(String node, long id) {
        Heartbeats leader = heartbeats(id);
        leader.beat(storage.newestTerm() + 1); // before anybody asks
        storage.claimedElsewhere(Optional.of(Tests.claimant(node, id, leader)));
        return leader;
    }

    @Test
    void whenTheLeadersProcessEndsAnotherTakesTheNextTerm() {
        waitLongForAnswers();
        Heartbeats leader = leader("far", 9);
        spawn("b", stoppable(), true);
        assertThat(Tests.take(news)).isEqualTo(new RunNews.Led(1, "far"));
        kit.createTestProbe().expectNoMessage(Duration.ofSeconds(1));
        assertThat(storage.claims).isEmpty();
        leader.close();
        assertThat(Tests.take(terms)).isEqualTo(2);
        assertThat(Tests.take(news)).isEqualTo(new RunNews.Led(2, "b"));
    }

    @Test
    void aLeaderThatHangsIsReplaced() throws IOException {
        try (ServerSocket hung = new ServerSocket(0, 5, InetAddress.getLoopbackAddress())) {
            storage.claimedElsewhere(Optional.of(new Claimant(
                    new Incarnation(9), "far", "127.0.0.1", hung.getLocalPort(), "pid 9")));
            spawn("b", stoppable(), false);
            assertThat(Tests.take(terms)).isEqualTo(2);
        }
    }

    @Test
    void soIsOneWhoseCoordinatorIsAtRest() {
        Heartbeats leader = leader("far", 9);
        spawn("b", stoppable(), false);
        assertThat(Tests.take(news)).isEqualTo(new RunNews.Led(1, "far"));
        kit.createTestProbe().expectNoMessage(Duration.ofMillis(500));
        leader.rest();
        assertThat(Tests.take(terms)).isEqualTo(2);
    }

    @Test
    void andOneThatCannotBeAsked() {
        storage.claimedElsewhere(Optional.empty());
        spawn("b", stoppable(), false);
        assertThat(Tests.take(terms)).isEqualTo(2);
    }

    @Test
    void whoeverClaimedTheNewestTermIsFollowed() {
        waitLongForAnswers();
        Heartbeats first = leader("far", 9);
        spawn("b", stoppable(), false);
        assertThat(Tests.take(news)).isEqualTo(new RunNews.Led(1, "far"));
        Heartbeats second = leader("further", 10);
        first.close();
        assertThat(Tests.take(news)).isEqualTo(new RunNews.Led(2, "further"));
        kit.createTestProbe().expectNoMessage(Duration.ofSeconds(1));
        assertThat(storage.claims).isEmpty();
        second.close();
        assertThat(Tests.take(terms)).isEqualTo(3);
    }

    @Test
    void aLeaderThatIsDeposedFollowsTheWinnerAndSaysNoMoreThatItLeads() {
        FakeLogic logic = new FakeLogic(List.of(), event -> event
                        instanceof RunEvent.Deposed(long newer)
                ? List.of(new RunEffect.End(new RunResult.Deposed(newer)))
                : List.of());
        spawn("a", logic, true);
        assertThat(Tests.take(news)).isEqualTo(new RunNews.Led(1, "a"));
        Heartbeats winner = leader("far", 9);
        assertThat(Tests.take(news)).isEqualTo(new RunNews.Led(2, "far"));
        assertThat(ends).isEmpty();
        winner.close();
        assertThat(Tests.take(news)).isEqualTo(new RunNews.Led(3, "a"));
    }

    @Test
    void anEndThatADeposedLeaderTellsIsNotBelieved() {
        leader("far", 8);
        leader("far", 9);
        spawn("b", stoppable(), false);
        assertThat(Tests.take(news)).isEqualTo(new RunNews.Led(2, "far"));
        peer().tell(new CandidateTraffic.RunOver(1, new RunResult.Stopped(7, "h")));
        peer().tell(new CandidateTraffic.RunOver(2, new RunResult.Stopped(8, "h")));
        assertThat(Tests.take(ends))
                .isEqualTo(new RunParts.End.Elsewhere(2, new RunResult.Stopped(8, "h")));
    }

    private ActorRef<CandidateTraffic> peer() {
        TestProbe<Receptionist.Listing> peers = kit.createTestProbe();
        kit.system().receptionist()
                .tell(Receptionist.subscribe(CandidateActor.KEY, peers.getRef()));
        while (true) {
            var refs = peers.receiveMessage().getServiceInstances(CandidateActor.KEY);
            if (!refs.isEmpty()) {
                return refs.iterator().next();
            }
        }
    }

    @Test
    void aCoordinatorThatFailsIsFollowedByOneOfANewTermAndItsFailureIsKept() {
        ActorRef<CandidateActor.Command> candidate = spawn("a", failing(), true);
        assertThat(Tests.take(terms)).isEqualTo(1);
        listed().tell(new CoordinatorTraffic.StopRun());
        assertThat(Tests.take(terms)).isEqualTo(2);
        assertThat(registry.views())
                .anySatisfy(view -> {
                    assertThat(view.path()).endsWith("/coordinator-1");
                    assertThat(view.running()).isFalse();
                    assertThat(view.failure()).contains("defect");
                });
        assertThat(candidate.path().name()).isEqualTo("a");
    }

    @Test
    void whoHearsThatTheRunIsOverClaimsNothing() {
        AtomicBoolean first = new AtomicBoolean(); // not before it heard of the end
        spawn("b", stoppable(), first::get);
        peer().tell(new CandidateTraffic.RunOver(4, new RunResult.Stopped(7, "h")));
        assertThat(Tests.take(ends)).isEqualTo(new RunParts.End.Elsewhere(4, new RunResult.Stopped(7, "h")));
        first.set(true);
        kit.createTestProbe().expectNoMessage(Duration.ofSeconds(2));
        assertThat(storage.claims).isEmpty();
    }
}
