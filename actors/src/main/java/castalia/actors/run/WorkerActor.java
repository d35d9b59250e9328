package castalia.actors.run;

import akka.actor.typed.ActorRef;
import akka.actor.typed.Behavior;
import akka.actor.typed.Signal;
import akka.actor.typed.Terminated;
import akka.actor.typed.javadsl.ActorContext;
import akka.actor.typed.javadsl.Behaviors;
import akka.actor.typed.javadsl.TimerScheduler;
import akka.actor.typed.receptionist.Receptionist;
import castalia.actors.message.CoordinatorTraffic;
import castalia.actors.message.WorkerTraffic;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.RankRuntime;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Fence;
import java.time.Duration;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.Consumer;
import org.jspecify.annotations.Nullable;

/**
 * One worker in the cluster: it offers its rank to every coordinator it finds, obeys the one with
 * the newest term and passes messages on. The rank computes on without any coordinator.
 */
public final class WorkerActor {

    private static final Duration AGAIN = Duration.ofSeconds(1);

    /** What it is told. */
    public sealed interface Command {}

    private record Heard(WorkerTraffic message) implements Command {}

    private record Said(WorkerMessage message) implements Command {}

    private record Found(Receptionist.Listing listing) implements Command {}

    private record Again() implements Command {}

    /** What was dropped in a process's life. */
    public static final class Dropped {
        private final AtomicLong stale = new AtomicLong();
        private final AtomicLong unheard = new AtomicLong();

        /** Messages of a coordinator with an older fence. */
        public long stale() {
            return stale.get();
        }

        /** Messages that no coordinator was there to hear. */
        public long unheard() {
            return unheard.get();
        }
    }

    /**
     * What a worker's actor works with.
     *
     * @param runtime the rank
     * @param outlet what the rank was given to speak into
     * @param dismissed hears the reason when the coordinator sends the worker away
     * @param dropped counts
     */
    public record Parts(
            RankRuntime runtime, Outlet outlet, Consumer<String> dismissed, Dropped dropped) {}

    private final ActorContext<Command> context;
    private final Parts parts;
    private final ActorRef<WorkerTraffic> self;
    private final Set<ActorRef<CoordinatorTraffic>> found = new HashSet<>();
    private final Set<ActorRef<CoordinatorTraffic>> welcomedBy = new HashSet<>();
    private final Kept kept = new Kept();
    private @Nullable ActorRef<CoordinatorTraffic> coordinator;
    private long term;
    private Fence newest = Fence.NONE;

    private WorkerActor(ActorContext<Command> context, TimerScheduler<Command> timers, Parts parts) {
        this.context = context;
        this.parts = parts;
        this.self = context.messageAdapter(WorkerTraffic.class, Heard::new);
        timers.startTimerWithFixedDelay("again", new Again(), AGAIN);
        context.getSystem().receptionist().tell(Receptionist.subscribe(
                CoordinatorActor.KEY,
                context.messageAdapter(Receptionist.Listing.class, Found::new)));
        ActorRef<Command> me = context.getSelf();
        parts.outlet().attach(message -> me.tell(new Said(message)));
    }

    /** A worker's actor. It does not own the rank: whoever opened it closes it. */
    public static Behavior<Command> create(Parts parts) {
        return Behaviors.setup(context -> Behaviors.withTimers(timers -> {
            WorkerActor actor = new WorkerActor(context, timers, parts);
            return Behaviors.receive(
                    (c, message) -> actor.onMessage(message), (c, signal) -> actor.onSignal(signal));
        }));
    }

    private Behavior<Command> onMessage(Command command) {
        switch (command) {
            case Heard(WorkerTraffic.Welcome(long of, var from)) -> welcome(of, from);
            case Heard(WorkerTraffic.FromCoordinator(CoordinatorMessage message)) ->
                obey(message);
            case Said(WorkerMessage message) -> say(message);
            case Found(Receptionist.Listing listing) ->
                found(listing.getServiceInstances(CoordinatorActor.KEY));
            case Again() -> found.stream()
                    .filter(ref -> !welcomedBy.contains(ref))
                    .forEach(this::register);
        }
        return Behaviors.same();
    }

    private Behavior<Command> onSignal(Signal signal) {
        if (signal instanceof Terminated gone) {
            Object dead = gone.getRef();
            found.removeIf(ref -> ref.equals(dead));
            welcomedBy.removeIf(ref -> ref.equals(dead));
            if (dead.equals(coordinator)) {
                coordinator = null;
            }
        }
        return Behaviors.same();
    }

    private void found(Set<ActorRef<CoordinatorTraffic>> listed) {
        for (ActorRef<CoordinatorTraffic> ref : listed) {
            if (found.add(ref)) {
                context.watch(ref);
                register(ref);
            }
        }
        for (ActorRef<CoordinatorTraffic> ref : Set.copyOf(found)) {
            if (!listed.contains(ref)) {
                found.remove(ref);
                welcomedBy.remove(ref);
                if (!ref.equals(coordinator)) {
                    context.unwatch(ref);
                }
            }
        }
    }

    private void register(ActorRef<CoordinatorTraffic> with) {
        with.tell(new CoordinatorTraffic.FromWorker(parts.runtime().registration(), self));
    }

    private void welcome(long of, ActorRef<CoordinatorTraffic> from) {
        welcomedBy.add(from);
        if (of < term || (of == term && coordinator != null)) {
            return;
        }
        term = of;
        coordinator = from;
        context.watch(from);
        kept.take().forEach(this::say);
    }

    private void obey(CoordinatorMessage message) {
        if (newest.newerThan(message.fence())) {
            parts.dropped().stale.incrementAndGet();
            return;
        }
        newest = message.fence();
        if (message instanceof CoordinatorMessage.Dismiss dismiss) {
            parts.dismissed().accept(dismiss.reason());
        } else {
            parts.runtime().accept(message);
        }
    }

    private void say(WorkerMessage message) {
        if (coordinator != null) {
            coordinator.tell(new CoordinatorTraffic.FromWorker(message, self));
        } else if (!kept.keep(message)) {
            parts.dropped().unheard.incrementAndGet();
        }
    }
}
