package castalia.actors.watch;

import static org.assertj.core.api.Assertions.assertThat;

import akka.actor.testkit.typed.javadsl.ActorTestKit;
import akka.actor.testkit.typed.javadsl.TestProbe;
import akka.actor.typed.ActorRef;
import akka.actor.typed.SupervisorStrategy;
import akka.actor.typed.eventstream.EventStream;
import akka.actor.typed.javadsl.Behaviors;
import castalia.actors.Tests;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** What becomes of more messages than an actor can take. */
@Tag("default")
@Timeout(60)
class MailboxTest {

    private static final int CAPACITY = 16384;
    private static final int MORE = 5000;

    private final ActorTestKit kit = Tests.kit(false);

    @AfterEach
    void stop() {
        kit.shutdownTestKit();
    }

    /** Until those that were asked for before are there: one after another is served. */
    private void awaitSubscriptions() {
        TestProbe<String> probe = kit.createTestProbe();
        kit.system().eventStream().tell(
                new EventStream.Subscribe<>(String.class, probe.getRef()));
        kit.system().eventStream().tell(new EventStream.Publish<>("there"));
        probe.expectMessage("there");
    }

    @Test
    void whatDoesNotFitAMailboxIsADeadLetterAndCounted() throws Exception {
        CountDownLatch gate = new CountDownLatch(1);
        AtomicInteger heard = new AtomicInteger();
        AtomicReference<Oddities> oddities = new AtomicReference<>();
        TestProbe<ActorRef<Integer>> spawned = kit.createTestProbe();
        kit.spawn(Behaviors.<Integer>setup(context -> {
            oddities.set(Oddities.count(context));
            spawned.getRef().tell(Instrumented.spawn(context, new ActorRegistry(), "slow",
                    Integer.class, Behaviors.receiveMessage(message -> {
                        gate.await();
                        heard.incrementAndGet();
                        return Behaviors.same();
                    }), SupervisorStrategy.stop()));
            return Behaviors.empty();
        }));
        ActorRef<Integer> slow = spawned.receiveMessage();
        awaitSubscriptions();
        for (int i = 0; i < CAPACITY + MORE; i++) {
            slow.tell(i);
        }
        gate.countDown();
        while (heard.get() + oddities.get().deadLetters() < CAPACITY + MORE) {
            TimeUnit.MILLISECONDS.sleep(10);
        }
        assertThat(heard.get()).isBetween(CAPACITY, CAPACITY + 1);
        assertThat(oddities.get().deadLetters()).isBetween(MORE - 1L, (long) MORE);
    }

    /** More than its counter can take: Akka's bounded mailbox would make dead letters of dead letters. */
    @Test
    void aFloodOfDeadLettersHarmsNobody() throws Exception {
        AtomicReference<Oddities> oddities = new AtomicReference<>();
        TestProbe<String> counting = kit.createTestProbe();
        ActorRef<Integer> gone = kit.spawn(Behaviors.<Integer>setup(context -> {
            oddities.set(Oddities.count(context));
            counting.getRef().tell("counting");
            return Behaviors.empty();
        }));
        counting.expectMessage("counting");
        awaitSubscriptions();
        ActorRef<Integer> stopped = kit.spawn(Behaviors.stopped());
        kit.createTestProbe().expectTerminated(stopped);
        for (int i = 0; i < 20 * CAPACITY; i++) {
            stopped.tell(i);
        }
        TestProbe<Integer> alive = kit.createTestProbe();
        alive.getRef().tell(1);
        alive.expectMessage(1);
        while (oddities.get().deadLetters() == 0) { // it may be busy with dropping them
            stopped.tell(0);
            TimeUnit.MILLISECONDS.sleep(10);
        }
        kit.stop(gone);
    }
}
