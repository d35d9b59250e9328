package castalia.actors.node;

import static org.assertj.core.api.Assertions.assertThat;

import akka.actor.testkit.typed.javadsl.ActorTestKit;
import akka.actor.testkit.typed.javadsl.ManualTime;
import akka.actor.testkit.typed.javadsl.TestProbe;
import akka.actor.typed.ActorRef;
import akka.actor.typed.receptionist.Receptionist;
import castalia.actors.Tests;
import castalia.actors.message.AgentTraffic;
import castalia.actors.message.CoordinatorTraffic;
import castalia.actors.run.CoordinatorActor;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.identity.Incarnation;
import java.time.Duration;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Tag("default")
@Timeout(90)
class NodeAgentTest {

    private final ActorTestKit kit = Tests.kit(true);
    private final ManualTime time = ManualTime.get(kit.system());
    private final BlockingQueue<FakeProcess> started = new LinkedBlockingQueue<>();
    private final BlockingQueue<AgentNews> news = new LinkedBlockingQueue<>();
    private final AtomicLong lives = new AtomicLong(100);
    private volatile boolean refuses;

    private record FakeProcess(String name, Incarnation life, CompletableFuture<Integer> code)
            implements WorkerProcesses.Handle {
        @Override
        public long pid() {
            return life.id() + 1000;
        }

        @Override
        public CompletionStage<Integer> exit() {
            return code;
        }

        @Override
        public void destroy() {
            code.complete(0);
        }

        @Override
        public void kill() {
            code.complete(137);
        }
    }

    @AfterEach
    void stop() {
        kit.shutdownTestKit();
    }

    private ActorRef<NodeAgent.Command> spawn(int workers, int spares) {
        WorkerProcesses processes = (name, life) -> {
            if (refuses) {
                throw new CastaliaException(ErrorCode.UNSUPPORTED, "no java");
            }
            FakeProcess process = new FakeProcess(name, life, new CompletableFuture<>());
            started.add(process);
            return process;
        };
        return kit.spawn(NodeAgent.create(new NodeAgent.Parts("n1", Tests.BUILD, workers, spares,
                processes, () -> new Incarnation(lives.incrementAndGet()), news::add)));
    }

    private <T extends AgentNews> T next(Class<T> type) {
        AgentNews item = Tests.take(news);
        assertThat(item).isInstanceOf(type);
        return type.cast(item);
    }

    private FakeProcess running() {
        next(AgentNews.Started.class);
        return Tests.take(started);
    }

    @Test
    void anExitIsToldWithPidCodeAndLifeAndAnotherProcessFollowsAfterAPause() {
        TestProbe<CoordinatorTraffic> coordinator = kit.createTestProbe();
        kit.system().receptionist()
                .tell(Receptionist.register(CoordinatorActor.KEY, coordinator.getRef()));
        spawn(1, 0);
        FakeProcess process = running();
        var offer = coordinator.expectMessageClass(CoordinatorTraffic.Offer.class);
        assertThat(offer.workers()).isEqualTo(1);
        offer.from().tell(new AgentTraffic.Accepted(1, coordinator.getRef()));
        process.kill();
        assertThat(next(AgentNews.Ended.class).how()).isEqualTo(
                "worker w0: process " + process.pid() + " ended with exit code 137");
        coordinator.expectMessage(new CoordinatorTraffic.WorkerExited(process.life(),
                "worker w0: process " + process.pid() + " ended with exit code 137"));
        time.expectNoMessageFor(Duration.ofMillis(900), coordinator);
        assertThat(started).isEmpty();
        time.timePasses(Duration.ofMillis(200));
        FakeProcess second = running();
        assertThat(second.name()).isEqualTo("w0");
        assertThat(second.life()).isNotEqualTo(process.life());
    }

    @Test
    void aWorkerThatFailsSixTimesInFiveMinutesIsQuarantinedAndNotOffered() {
        TestProbe<CoordinatorTraffic> coordinator = kit.createTestProbe();
        spawn(1, 0);
        for (int failure = 1; failure <= NodeAgent.MOST_FAILURES; failure++) {
            running().kill();
            next(AgentNews.Ended.class);
            time.timePasses(NodeAgent.FIRST_PAUSE.multipliedBy(1L << (failure - 1)));
        }
        running().kill();
        next(AgentNews.Ended.class);
        assertThat(next(AgentNews.Quarantined.class).failures()).isEqualTo(6);
        time.timePasses(Duration.ofMinutes(10));
        assertThat(started).isEmpty();
        kit.system().receptionist()
                .tell(Receptionist.register(CoordinatorActor.KEY, coordinator.getRef()));
        assertThat(coordinator.expectMessageClass(CoordinatorTraffic.Offer.class).workers())
                .isZero();
    }

    @Test
    void failuresAreForgivenAfterFiveMinutes() {
        spawn(1, 0);
        for (int failure = 0; failure < 8; failure++) {
            running().kill();
            next(AgentNews.Ended.class);
            time.timePasses(NodeAgent.FIRST_PAUSE);
            if (failure < 7) {
                assertThat(news).as("failure %d", failure).noneMatch(
                        item -> item instanceof AgentNews.Quarantined);
            }
            FakeProcess process = running();
            time.timePasses(NodeAgent.MEMORY);
            news.add(new AgentNews.Started(process.name(), process.life(), 0));
            started.add(process);
        }
    }

    @Test
    void aSpareCountsNotForTheOfferButReplacesAQuarantinedOne() {
        TestProbe<CoordinatorTraffic> coordinator = kit.createTestProbe();
        kit.system().receptionist()
                .tell(Receptionist.register(CoordinatorActor.KEY, coordinator.getRef()));
        spawn(2, 1);
        assertThat(coordinator.expectMessageClass(CoordinatorTraffic.Offer.class).workers())
                .isEqualTo(2);
        running();
        running();
        running();
    }

    @Test
    void aProcessThatEndsAsAskedAndOneAfterTheRunIsOverAreNotReplaced() {
        spawn(2, 0);
        FakeProcess first = running();
        FakeProcess second = running();
        TestProbe<Receptionist.Listing> agents = kit.createTestProbe();
        kit.system().receptionist().tell(Receptionist.subscribe(NodeAgent.KEY, agents.getRef()));
        first.destroy();
        next(AgentNews.Ended.class);
        var refs = agents.receiveMessage().getServiceInstances(NodeAgent.KEY);
        if (refs.isEmpty()) {
            refs = agents.receiveMessage().getServiceInstances(NodeAgent.KEY);
        }
        refs.forEach(ref -> ref.tell(new AgentTraffic.RunOver(1, "finished")));
        next(AgentNews.RunOver.class);
        second.kill();
        next(AgentNews.Ended.class);
        time.timePasses(Duration.ofMinutes(1));
        assertThat(started).isEmpty();
    }

    @Test
    void allWorkersEndWhenAskedAndWhenTheAgentStops() {
        ActorRef<NodeAgent.Command> agent = spawn(2, 1);
        running();
        running();
        running();
        agent.tell(new NodeAgent.EndWorkers());
        while (!(Tests.take(news) instanceof AgentNews.Empty)) {
            assertThat(started).isEmpty();
        }
        ActorRef<NodeAgent.Command> other = spawn(1, 0);
        FakeProcess process = running();
        kit.stop(other);
        assertThat(process.code().join()).isEqualTo(137);
    }

    @Test
    void aProcessThatCannotBeStartedIsReportedAndTriedAgain() {
        refuses = true;
        spawn(1, 0);
        assertThat(next(AgentNews.NotStarted.class).why()).isEqualTo("no java");
        refuses = false;
        time.timePasses(NodeAgent.FIRST_PAUSE);
        running();
    }
}
