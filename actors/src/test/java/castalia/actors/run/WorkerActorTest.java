package castalia.actors.run;

import static org.assertj.core.api.Assertions.assertThat;

import akka.actor.testkit.typed.javadsl.ActorTestKit;
import akka.actor.testkit.typed.javadsl.TestProbe;
import akka.actor.typed.ActorRef;
import akka.actor.typed.receptionist.Receptionist;
import castalia.actors.Tests;
import castalia.actors.Tests.FakeRank;
import castalia.actors.message.CoordinatorTraffic;
import castalia.actors.message.CoordinatorTraffic.FromWorker;
import castalia.actors.message.WorkerTraffic;
import castalia.protocol.ErrorCode;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.HolderReport;
import castalia.protocol.control.Progress;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.layout.SliceBlock;
import castalia.protocol.step.StateDigest;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(90)
class WorkerActorTest {

    private final ActorTestKit kit = Tests.kit(false);
    private final FakeRank rank = new FakeRank(1);
    private final Outlet outlet = new Outlet();
    private final BlockingQueue<String> dismissals = new LinkedBlockingQueue<>();
    private final WorkerActor.Dropped dropped = new WorkerActor.Dropped();
    private final TestProbe<CoordinatorTraffic> first = kit.createTestProbe();
    private final TestProbe<CoordinatorTraffic> second = kit.createTestProbe();

    @AfterEach
    void stop() {
        kit.shutdownTestKit();
    }

    private void spawn() {
        kit.spawn(WorkerActor.create(
                new WorkerActor.Parts(rank, outlet, dismissals::add, dropped)));
    }

    private ActorRef<WorkerTraffic> registered(TestProbe<CoordinatorTraffic> coordinator) {
        kit.system().receptionist()
                .tell(Receptionist.register(CoordinatorActor.KEY, coordinator.getRef()));
        return registration(coordinator);
    }

    private ActorRef<WorkerTraffic> registration(TestProbe<CoordinatorTraffic> coordinator) {
        FromWorker message = coordinator.expectMessageClass(FromWorker.class);
        assertThat(message.message()).isEqualTo(Tests.registered(1));
        return message.from();
    }

    /** What comes next but for offers, which are repeated where this thread was slow to answer. */
    private static FromWorker passedOn(TestProbe<CoordinatorTraffic> coordinator) {
        while (true) {
            FromWorker next = coordinator.expectMessageClass(FromWorker.class);
            if (!(next.message() instanceof WorkerMessage.Registered)) {
                return next;
            }
        }
    }

    private static WorkerMessage stepped(long step) {
        return new WorkerMessage.Stepped(new Fence(1, 1), new Incarnation(1), new Progress(
                step, 1, 1, 1, StateDigest.ZERO, 1, new Progress.Totals(0, 0, 0, 0, 0),
                new Progress.Nanos(0, 0, 0, 0, 0, 0)));
    }

    @Test
    void itOffersItselfUntilItIsWelcomeAndThenPassesMessagesOn() {
        spawn();
        registered(first);
        ActorRef<WorkerTraffic> worker = registration(first); // not answered: once more
        worker.tell(new WorkerTraffic.Welcome(1, first.getRef()));
        worker.tell(new WorkerTraffic.FromCoordinator(
                new CoordinatorMessage.Query(new Fence(1, 1))));
        assertThat(Tests.take(rank.told))
                .isEqualTo(new CoordinatorMessage.Query(new Fence(1, 1)));
        outlet.accept(stepped(5));
        assertThat(passedOn(first)).isEqualTo(new FromWorker(stepped(5), worker));
    }

    @Test
    void aCoordinatorWithANewerTermIsFollowedAndOneWithAnOlderIsNot() {
        spawn();
        ActorRef<WorkerTraffic> worker = registered(first);
        worker.tell(new WorkerTraffic.Welcome(5, first.getRef()));
        registered(second);
        worker.tell(new WorkerTraffic.Welcome(4, second.getRef()));
        outlet.accept(stepped(1));
        assertThat(passedOn(first)).isEqualTo(new FromWorker(stepped(1), worker));
        worker.tell(new WorkerTraffic.Welcome(6, second.getRef()));
        worker.tell(new WorkerTraffic.FromCoordinator(
                new CoordinatorMessage.Start(new Fence(6, 1))));
        Tests.take(rank.told);
        outlet.accept(stepped(2));
        assertThat(passedOn(second)).isEqualTo(new FromWorker(stepped(2), worker));
        first.expectNoMessage(java.time.Duration.ofMillis(50));
    }

    @Test
    void messagesWithAnOlderFenceAreDroppedAndCounted() {
        spawn();
        ActorRef<WorkerTraffic> worker = registered(first);
        worker.tell(new WorkerTraffic.FromCoordinator(
                new CoordinatorMessage.Query(new Fence(2, 9))));
        worker.tell(new WorkerTraffic.FromCoordinator(
                new CoordinatorMessage.Start(new Fence(2, 8))));
        worker.tell(new WorkerTraffic.FromCoordinator(
                new CoordinatorMessage.Dismiss(new Fence(1, 99), "old")));
        worker.tell(new WorkerTraffic.FromCoordinator(
                new CoordinatorMessage.Dismiss(new Fence(2, 9), "another build")));
        assertThat(Tests.take(dismissals)).isEqualTo("another build");
        assertThat(dropped.stale()).isEqualTo(2);
        assertThat(rank.told).containsExactly(new CoordinatorMessage.Query(new Fence(2, 9)));
    }

    @Test
    void withoutACoordinatorResultsAreKeptAndProgressIsNot() {
        spawn();
        ActorRef<WorkerTraffic> worker = registered(first);
        worker.tell(new WorkerTraffic.Welcome(1, first.getRef()));
        worker.tell(new WorkerTraffic.FromCoordinator(
                new CoordinatorMessage.Query(new Fence(1, 1))));
        Tests.take(rank.told);
        first.stop();
        untilItHasLostItsCoordinator(worker);
        WorkerMessage failed = new WorkerMessage.Failed(
                new Fence(1, 1), new Incarnation(1), ErrorCode.DEVICE_FAILED, "boom");
        WorkerMessage older = new WorkerMessage.Reported(report(1));
        WorkerMessage newer = new WorkerMessage.Reported(report(2));
        List.of(stepped(1), older, newer, stepped(2), failed).forEach(outlet);
        kit.system().receptionist()
                .tell(Receptionist.register(CoordinatorActor.KEY, second.getRef()));
        registration(second).tell(new WorkerTraffic.Welcome(2, second.getRef()));
        assertThat(List.of(passedOn(second), passedOn(second))).containsExactly(
                new FromWorker(newer, worker), new FromWorker(failed, worker));
        assertThat(dropped.unheard()).isEqualTo(3);
    }

    /** It is told of the death when it is told; the one message that it drops then says so. */
    private void untilItHasLostItsCoordinator(ActorRef<WorkerTraffic> worker) {
        while (dropped.unheard() == 0) {
            outlet.accept(stepped(0));
            worker.tell(new WorkerTraffic.FromCoordinator(
                    new CoordinatorMessage.Query(new Fence(1, 1))));
            Tests.take(rank.told); // after what was said before it
        }
    }

    private static HolderReport report(long generation) {
        return new HolderReport(new Fence(1, generation), new Incarnation(1), Optional.empty(),
                List.of(), -1, SliceBlock.NONE, Optional.empty());
    }

    @Test
    void whatTheRankSaysBeforeItsActorExistsIsKept() {
        WorkerMessage failed = new WorkerMessage.Failed(
                Fence.NONE, new Incarnation(1), ErrorCode.DEVICE_FAILED, "no device");
        outlet.accept(failed);
        spawn();
        ActorRef<WorkerTraffic> worker = registered(first);
        worker.tell(new WorkerTraffic.Welcome(1, first.getRef()));
        assertThat(passedOn(first)).isEqualTo(new FromWorker(failed, worker));
    }
}
