package castalia.actors.run;

import akka.actor.Address;
import akka.actor.typed.ActorRef;
import akka.actor.typed.Behavior;
import akka.actor.typed.Signal;
import akka.actor.typed.Terminated;
import akka.actor.typed.javadsl.ActorContext;
import akka.actor.typed.javadsl.Behaviors;
import akka.actor.typed.javadsl.TimerScheduler;
import akka.actor.typed.receptionist.Receptionist;
import akka.actor.typed.receptionist.ServiceKey;
import akka.cluster.typed.Cluster;
import akka.cluster.typed.Down;
import castalia.actors.message.CoordinatorTraffic;
import castalia.actors.message.JobTraffic;
import castalia.actors.message.WorkerTraffic;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.layout.LayoutWish;
import castalia.protocol.run.RunEffect;
import castalia.protocol.run.RunEvent;
import castalia.protocol.run.RunResult;
import castalia.protocol.run.RunTimer;
import java.time.Duration;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;

/**
 * A run's coordinator under one term. It decides nothing: events go to the {@link RunLogic}, and
 * the effects that come back are performed. A failure stops it; the next term begins anew.
 */
public final class CoordinatorActor {

    /** Under which coordinators are found. */
    public static final ServiceKey<CoordinatorTraffic> KEY =
            ServiceKey.create(CoordinatorTraffic.class, "castalia-coordinator");

    private static final Duration LOOK = Duration.ofSeconds(1);
    private static final Duration SETTLE = Duration.ofMillis(300);
    /** How long one that ended its run stays, so that others hear of the end before its death. */
    private static final Duration LINGER = Duration.ofSeconds(2);

    private static final int MOST_BURIED = 1024;

    /** What it is told. */
    public sealed interface Command {}

    /** From another node. */
    record Heard(CoordinatorTraffic message) implements Command {}

    /** From storage. */
    record Happened(RunEvent event) implements Command {}

    /**
     * What others wrote to storage.
     *
     * @param newestTerm 0 where it could not be read
     * @param wish the layout asked for last
     */
    record Looked(long newestTerm, Optional<LayoutWish> wish) implements Command {}

    /** A generation's record was kept, or why not. */
    record Recorded(String failure) implements Command {}

    private record TimerElapsed(RunTimer timer, Fence fence) implements Command {}

    private record Look() implements Command {}

    private record Settled() implements Command {}

    private record Leave() implements Command {}

    /** Something for a worker that no machine decided: injected faults. */
    public record Relay(Incarnation to, CoordinatorMessage message) implements Command {}

    private final ActorContext<Command> context;
    private final TimerScheduler<Command> timers;
    private final RunLogic logic;
    private final RunParts parts;
    private final long term;
    private final Consumer<RunResult> end;
    private final StorageCalls storage;
    private final Offers offers;
    private final ActorRef<CoordinatorTraffic> self;
    private final Map<Incarnation, ActorRef<WorkerTraffic>> workers = new HashMap<>();
    private final Set<Incarnation> buried = new LinkedHashSet<>();
    private boolean ended;
    private Optional<LayoutWish> wish = Optional.empty();
    private boolean leaves;

    private CoordinatorActor(ActorContext<Command> context, TimerScheduler<Command> timers,
            RunParts parts, long term, Consumer<RunResult> end) {
        this.context = context;
        this.timers = timers;
        this.parts = parts;
        this.term = term;
        this.end = end;
        this.logic = parts.logic().create(term);
        this.storage = new StorageCalls(context, parts.storage(), term);
        this.offers = new Offers(parts.build(), term);
        this.self = context.messageAdapter(CoordinatorTraffic.class, Heard::new);
    }

    /**
     * A coordinator that holds {@code term}.
     *
     * @param end hears how it ended, before it stops
     */
    static Behavior<Command> create(RunParts parts, long term, Consumer<RunResult> end) {
        return Behaviors.setup(context -> Behaviors.withTimers(
                timers -> new CoordinatorActor(context, timers, parts, term, end).begin()));
    }

    private Behavior<Command> begin() {
        context.getSystem().receptionist().tell(Receptionist.register(KEY, self));
        timers.startTimerWithFixedDelay("look", new Look(), LOOK);
        parts.heartbeats().beat(term);
        perform(logic.start());
        return leaves ? Behaviors.stopped() : Behaviors.receive(
                (c, message) -> onMessage(message), (c, signal) -> onSignal(signal));
    }

    private Behavior<Command> onMessage(Command command) {
        switch (command) {
            case Heard(CoordinatorTraffic message) -> onTraffic(message);
            case Happened(RunEvent event) -> happen(event);
            case TimerElapsed(RunTimer timer, Fence fence) ->
                happen(new RunEvent.TimerFired(timer, fence));
            case Look() -> {
                parts.heartbeats().beat(term);
                storage.look();
            }
            case Looked(long newest, Optional<LayoutWish> asked) -> {
                if (newest > term) {
                    happen(new RunEvent.Deposed(newest));
                } else if (asked.isPresent() && !asked.equals(wish)) {
                    wish = asked;
                    happen(new RunEvent.LayoutRequested(asked.get()));
                }
            }
            case Settled() -> {
                if (offers.target() > 0) {
                    happen(new RunEvent.TargetChanged(offers.target()));
                }
            }
            case Recorded(String failure) -> {
                if (!failure.isEmpty()) {
                    context.getLog().warn("a generation's record was not kept: {}", failure);
                }
            }
            case Leave() -> leaves = true;
            case Relay(Incarnation to, CoordinatorMessage message) -> send(to, message);
        }
        return leaves ? Behaviors.stopped() : Behaviors.same();
    }

    private Behavior<Command> onSignal(Signal signal) {
        if (signal instanceof Terminated gone) {
            Object dead = gone.getRef();
            if (offers.remove(dead)) {
                settle();
            }
            List<Incarnation> lost = workers.entrySet().stream()
                    .filter(entry -> entry.getValue().equals(dead))
                    .map(Map.Entry::getKey)
                    .toList();
            lost.forEach(worker -> gone(worker, "its actor is gone or its node left the cluster"));
        }
        return leaves ? Behaviors.stopped() : Behaviors.same();
    }

    private void onTraffic(CoordinatorTraffic traffic) {
        switch (traffic) {
            case CoordinatorTraffic.FromWorker(WorkerMessage message, var from) -> {
                if (message instanceof WorkerMessage.Registered registered) {
                    register(registered, from);
                } else {
                    happen(new RunEvent.FromWorker(message));
                }
            }
            case CoordinatorTraffic.Offer offer -> {
                if (offers.answer(offer, self)) {
                    context.watch(offer.from());
                    settle();
                }
            }
            case CoordinatorTraffic.WorkerExited(Incarnation worker, String how) ->
                gone(worker, how);
            case CoordinatorTraffic.StopRun() -> happen(new RunEvent.StopRequested());
            case CoordinatorTraffic.Describe(var replyTo) ->
                replyTo.tell(new JobTraffic.Job(parts.build(), parts.job()));
        }
    }

    private void register(WorkerMessage.Registered message, ActorRef<WorkerTraffic> from) {
        Incarnation worker = message.member().incarnation();
        if (buried.contains(worker)) {
            return;
        }
        ActorRef<WorkerTraffic> before = workers.put(worker, from);
        if (before != null && !before.equals(from)) {
            context.unwatch(before);
        }
        context.watch(from);
        from.tell(new WorkerTraffic.Welcome(term, self));
        happen(new RunEvent.FromWorker(message));
    }

    /** A process dies once, whoever sees it first. */
    private void gone(Incarnation worker, String how) {
        if (!buried.add(worker)) {
            return;
        }
        if (buried.size() > MOST_BURIED) {
            buried.remove(buried.iterator().next());
        }
        ActorRef<WorkerTraffic> ref = workers.remove(worker);
        if (ref != null) {
            happen(new RunEvent.WorkerGone(worker, how));
            forget(ref.path().address());
        }
    }

    /** Tells the cluster: nobody can join it while a member that is gone is waited for. */
    private void forget(Address process) {
        if (process.hasGlobalScope()) {
            Cluster.get(context.getSystem()).manager().tell(new Down(process));
        }
    }

    private void settle() {
        timers.startSingleTimer("settle", new Settled(), SETTLE);
    }

    private void happen(RunEvent event) {
        if (!ended) {
            perform(logic.on(event));
        }
    }

    private void perform(List<RunEffect> effects) {
        for (RunEffect effect : effects) {
            switch (effect) {
                case RunEffect.Send(Incarnation to, CoordinatorMessage message) ->
                    send(to, message);
                case RunEffect.FindCheckpoint find -> storage.find(find);
                case RunEffect.Publish publish -> storage.publish(publish);
                case RunEffect.LogGeneration log -> storage.log(log);
                case RunEffect.StartTimer(RunTimer timer, Fence fence, Duration after) ->
                    timers.startSingleTimer(timer, new TimerElapsed(timer, fence), after);
                case RunEffect.CancelTimer(RunTimer timer) -> timers.cancel(timer);
                case RunEffect.Announce(var news) -> announce(() -> parts.news().accept(news));
                case RunEffect.End(RunResult result) -> finish(result);
            }
        }
    }

    private void send(Incarnation to, CoordinatorMessage message) {
        ActorRef<WorkerTraffic> worker = workers.get(to);
        if (worker == null) {
            context.getLog().debug("nothing can be sent to {}, which is gone", to);
        } else {
            worker.tell(new WorkerTraffic.FromCoordinator(message));
        }
    }

    private void finish(RunResult result) {
        ended = true;
        timers.cancelAll();
        if (result instanceof RunResult.Deposed) {
            leaves = true;
        } else {
            offers.over(result.words());
            timers.startSingleTimer("leave", new Leave(), LINGER);
        }
        announce(() -> end.accept(result));
    }

    /** What listeners do wrong is theirs, not the run's. */
    private void announce(Runnable listener) {
        try {
            listener.run();
        } catch (RuntimeException e) {
            context.getLog().error("a listener of the run failed", e);
        }
    }
}
