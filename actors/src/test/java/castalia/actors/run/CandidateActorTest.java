package castalia.actors.run;

import static org.assertj.core.api.Assertions.assertThat;

import akka.actor.testkit.typed.javadsl.ActorTestKit;
import akka.actor.testkit.typed.javadsl.TestProbe;
import akka.actor.typed.ActorRef;
import akka.actor.typed.receptionist.Receptionist;
import castalia.actors.Tests;
import castalia.actors.Tests.FakeLogic;
import castalia.actors.Tests.FakeStorage;
import castalia.actors.message.CandidateTraffic;
import castalia.actors.message.CoordinatorTraffic;
import castalia.actors.watch.ActorRegistry;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.run.RunEffect;
import castalia.protocol.run.RunEvent;
import castalia.protocol.run.RunResult;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Tag("default")
@Timeout(60)
class CandidateActorTest {

    private final ActorTestKit kit = Tests.kit(false);
    private final FakeStorage storage = new FakeStorage();
    private final ActorRegistry registry = new ActorRegistry();
    private final BlockingQueue<RunParts.End> ends = new LinkedBlockingQueue<>();
    private final BlockingQueue<Long> terms = new LinkedBlockingQueue<>();

    @AfterEach
    void stop() {
        kit.shutdownTestKit();
    }

    private ActorRef<CandidateActor.Command> spawn(String label, RunLogic logic, boolean first) {
        RunParts parts = new RunParts(
                term -> {
                    terms.add(term);
                    return logic;
                },
                storage, Tests.BUILD, label, "job", news -> {}, ends::add);
        return kit.spawn(
                CandidateActor.create(registry, parts, new Incarnation(1), () -> first), label);
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
            var refs = listings.receiveMessage(java.time.Duration.ofSeconds(10))
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
        kit.createTestProbe().expectNoMessage(java.time.Duration.ofSeconds(3));
        assertThat(storage.claims).containsExactly("a");
    }

    @Test
    void whenTheLeaderIsLostAnotherTakesTheNextTerm() {
        TestProbe<CoordinatorTraffic> leader = kit.createTestProbe();
        storage.claimedElsewhere();
        kit.system().receptionist()
                .tell(Receptionist.register(CoordinatorActor.KEY, leader.getRef()));
        spawn("b", stoppable(), false);
        kit.createTestProbe().expectNoMessage(java.time.Duration.ofSeconds(1));
        assertThat(storage.claims).isEmpty();
        leader.stop();
        assertThat(Tests.take(terms)).isEqualTo(2);
    }

    @Test
    void whoSeesThatAnotherClaimedFasterWaitsForTheWinner() {
        TestProbe<CoordinatorTraffic> leader = kit.createTestProbe();
        storage.claimedElsewhere();
        kit.system().receptionist()
                .tell(Receptionist.register(CoordinatorActor.KEY, leader.getRef()));
        spawn("b", stoppable(), false);
        kit.createTestProbe().expectNoMessage(java.time.Duration.ofSeconds(1));
        storage.claimedElsewhere();
        leader.stop();
        kit.createTestProbe().expectNoMessage(java.time.Duration.ofSeconds(1));
        assertThat(storage.claims).isEmpty();
        assertThat(Tests.take(terms)).isEqualTo(3); // the winner never showed up
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
        spawn("b", stoppable(), true);
        TestProbe<Receptionist.Listing> peers = kit.createTestProbe();
        kit.system().receptionist()
                .tell(Receptionist.subscribe(CandidateActor.KEY, peers.getRef()));
        while (true) {
            var refs = peers.receiveMessage().getServiceInstances(CandidateActor.KEY);
            if (!refs.isEmpty()) {
                refs.forEach(ref -> ref.tell(new CandidateTraffic.RunOver(4, new RunResult.Stopped(7, "h"))));
                break;
            }
        }
        assertThat(Tests.take(ends)).isEqualTo(new RunParts.End.Elsewhere(4, new RunResult.Stopped(7, "h")));
        kit.createTestProbe().expectNoMessage(java.time.Duration.ofSeconds(2));
        assertThat(storage.claims).isEmpty();
    }
}
