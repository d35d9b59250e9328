package castalia.actors.watch;

import akka.actor.typed.ActorRef;
import akka.actor.typed.Behavior;
import akka.actor.typed.BehaviorInterceptor;
import akka.actor.typed.MailboxSelector;
import akka.actor.typed.PostStop;
import akka.actor.typed.PreRestart;
import akka.actor.typed.Signal;
import akka.actor.typed.SupervisorStrategy;
import akka.actor.typed.TypedActorContext;
import akka.actor.typed.javadsl.ActorContext;
import akka.actor.typed.javadsl.Behaviors;
import akka.actor.typed.receptionist.Receptionist;
import java.time.Duration;
import java.util.function.Function;

/** The one way actors are spawned: counted, supervised, with a bounded mailbox. */
public final class Instrumented {

    /** Start again at once; one that fails ten times in a minute stays stopped. */
    public static final SupervisorStrategy RESTART =
            SupervisorStrategy.restart().withLimit(10, Duration.ofMinutes(1));

    /** A failure ends the actor, and its parent hears of it. */
    public static final SupervisorStrategy STOP = SupervisorStrategy.stop();

    private static final String MAILBOX = "castalia.bounded-mailbox";

    private Instrumented() {}

    /**
     * Spawns a child whose messages, restarts and failures are counted.
     *
     * @param type of its messages
     */
    public static <C> ActorRef<C> spawn(
            ActorContext<?> parent,
            ActorRegistry registry,
            String name,
            Class<C> type,
            Behavior<C> behavior,
            SupervisorStrategy strategy) {
        String path = parent.getSelf().path().child(name).toStringWithoutAddress();
        ActorRegistry.Entry entry = registry.enter(path);
        Behavior<C> counted =
                Behaviors.intercept(() -> new Counting<>(type, entry), behavior);
        return parent.spawn(Behaviors.supervise(counted).onFailure(strategy), name,
                MailboxSelector.fromConfig(MAILBOX));
    }

    /** A child that hands what the receptionist lists on to its parent. */
    public static <C> ActorRef<Receptionist.Listing> listings(
            ActorContext<C> parent, Function<Receptionist.Listing, C> message) {
        ActorRef<C> to = parent.getSelf();
        return parent.spawnAnonymous(
                Behaviors.<Receptionist.Listing>receiveMessage(listing -> {
                    to.tell(message.apply(listing));
                    return Behaviors.same();
                }),
                MailboxSelector.fromConfig(MAILBOX));
    }

    private static final class Counting<C> extends BehaviorInterceptor<C, C> {
        private final ActorRegistry.Entry entry;

        Counting(Class<C> type, ActorRegistry.Entry entry) {
            super(type);
            this.entry = entry;
        }

        @Override
        public Behavior<C> aroundReceive(
                TypedActorContext<C> context, C message, ReceiveTarget<C> target) {
            entry.processed();
            try {
                return target.apply(context, message);
            } catch (RuntimeException e) {
                entry.failed(e);
                throw e;
            }
        }

        @Override
        public Behavior<C> aroundSignal(
                TypedActorContext<C> context, Signal signal, SignalTarget<C> target) {
            if (signal instanceof PreRestart) {
                entry.restarted();
            } else if (signal instanceof PostStop) {
                entry.stopped();
            }
            try {
                return target.apply(context, signal);
            } catch (RuntimeException e) {
                entry.failed(e);
                throw e;
            }
        }
    }
}
