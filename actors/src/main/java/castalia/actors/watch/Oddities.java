package castalia.actors.watch;

import akka.actor.AllDeadLetters;
import akka.actor.typed.ActorRef;
import akka.actor.typed.MailboxSelector;
import akka.actor.typed.eventstream.EventStream;
import akka.actor.typed.javadsl.ActorContext;
import akka.actor.typed.javadsl.Behaviors;
import akka.event.Logging;
import castalia.actors.wire.TrafficCounter;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Counts what Akka could not deliver and what its transport refused. The latter it tells by warnings
 * alone. Of a flood only a part is counted.
 */
final class Oddities {

    private static final String TRANSPORT = "akka.remote.artery.";
    private static final String MAILBOX = "castalia.dropping-mailbox";

    private final AtomicLong deadLetters = new AtomicLong();

    private Oddities() {}

    /** Counts from now on, by a child of an actor. */
    static Oddities count(ActorContext<?> parent) {
        Oddities counts = new Oddities();
        TrafficCounter traffic = TrafficCounter.of(parent.getSystem());
        ActorRef<Object> counter = parent.spawnAnonymous(
                Behaviors.receiveMessage(event -> {
                    if (event instanceof AllDeadLetters) {
                        counts.deadLetters.incrementAndGet();
                    } else if (event instanceof Logging.Warning warning
                            && warning.logClass().getName().startsWith(TRANSPORT)) {
                        traffic.refused("transport");
                    }
                    return Behaviors.same();
                }),
                MailboxSelector.fromConfig(MAILBOX));
        ActorRef<EventStream.Command> events = parent.getSystem().eventStream();
        events.tell(new EventStream.Subscribe<>(AllDeadLetters.class, counter.narrow()));
        events.tell(new EventStream.Subscribe<>(Logging.Warning.class, counter.narrow()));
        return counts;
    }

    long deadLetters() {
        return deadLetters.get();
    }
}
