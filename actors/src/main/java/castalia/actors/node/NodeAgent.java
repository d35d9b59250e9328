package castalia.actors.node;

import akka.actor.typed.ActorRef;
import akka.actor.typed.Behavior;
import akka.actor.typed.PostStop;
import akka.actor.typed.PreRestart;
import akka.actor.typed.Signal;
import akka.actor.typed.Terminated;
import akka.actor.typed.javadsl.ActorContext;
import akka.actor.typed.javadsl.Behaviors;
import akka.actor.typed.javadsl.TimerScheduler;
import akka.actor.typed.receptionist.Receptionist;
import akka.actor.typed.receptionist.ServiceKey;
import castalia.actors.message.AgentTraffic;
import castalia.actors.message.CoordinatorTraffic;
import castalia.actors.run.CoordinatorActor;
import castalia.actors.watch.Blocking;
import castalia.actors.watch.Instrumented;
import castalia.protocol.identity.Incarnation;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * A node's agent: parent of its worker processes. It sees one end within milliseconds, tells every
 * coordinator, and starts another with a pause that doubles; a worker that fails more than five
 * times in five minutes is started no more.
 */
public final class NodeAgent {

    /** Under which agents are found. */
    public static final ServiceKey<AgentTraffic> KEY =
            ServiceKey.create(AgentTraffic.class, "castalia-agent");

    /** Failures within {@link #MEMORY} that a worker is allowed. */
    static final int MOST_FAILURES = 5;

    static final Duration MEMORY = Duration.ofMinutes(5);
    static final Duration FIRST_PAUSE = Duration.ofSeconds(1);
    private static final Duration START = Duration.ofSeconds(30);
    private static final Duration PATIENCE = Duration.ofSeconds(5);
    private static final Duration AGAIN = Duration.ofSeconds(1);

    /**
     * What an agent works with. Consumers and suppliers are called by the actor and must not
     * block.
     *
     * @param node name of the node, unique in the cluster
     * @param build fingerprint of the program
     * @param workers regular workers, which make the run's target
     * @param spares workers started besides, so that a replacement need not start first
     * @param incarnations draws a life for each process
     */
    public record Parts(
            String node,
            String build,
            int workers,
            int spares,
            WorkerProcesses processes,
            Supplier<Incarnation> incarnations,
            Consumer<AgentNews> news) {}

    /** What it is told. */
    public sealed interface Command {}

    private record Found(Receptionist.Listing listing) implements Command {}

    private record Heard(AgentTraffic message) implements Command {}

    private record Launch(Slot slot) implements Command {}

    private record Launched(Slot slot, Incarnation life, WorkerProcesses.Handle process)
            implements Command {}

    private record NotLaunched(Slot slot, String why) implements Command {}

    private record Exited(Slot slot, Incarnation life, int code) implements Command {}

    private record Forgive(Slot slot) implements Command {}

    private record OfferAgain() implements Command {}

    private record KillRest() implements Command {}

    /** Ends a worker's process at once, as a fault would. */
    public record Kill(String worker) implements Command {}

    /** Asks all worker processes to end and starts none again; {@link AgentNews.Empty} follows. */
    public record EndWorkers() implements Command {}

    private final ActorContext<Command> context;
    private final TimerScheduler<Command> timers;
    private final Parts parts;
    private final Blocking blocking;
    private final ActorRef<AgentTraffic> self;
    private final List<Slot> slots = new ArrayList<>();
    private final Set<ActorRef<CoordinatorTraffic>> coordinators = new HashSet<>();
    private final Set<ActorRef<CoordinatorTraffic>> accepted = new HashSet<>();
    private long newest;
    private boolean ending;
    private boolean over;

    private NodeAgent(ActorContext<Command> context, TimerScheduler<Command> timers, Parts parts) {
        this.context = context;
        this.timers = timers;
        this.parts = parts;
        this.blocking = new Blocking(context.getSystem());
        this.self = context.messageAdapter(AgentTraffic.class, Heard::new);
        for (int i = 0; i < parts.workers() + parts.spares(); i++) {
            Slot slot = new Slot("w" + i);
            slots.add(slot);
            context.getSelf().tell(new Launch(slot));
        }
        context.getSystem().receptionist().tell(Receptionist.register(KEY, self));
        // a child, because adapters of one actor share an address, and the receptionist minds
        context.getSystem().receptionist().tell(Receptionist.subscribe(
                CoordinatorActor.KEY, Instrumented.listings(context, Found::new)));
        timers.startTimerWithFixedDelay("offer", new OfferAgain(), AGAIN);
    }

    /** An agent. */
    public static Behavior<Command> create(Parts parts) {
        return Behaviors.setup(context -> Behaviors.withTimers(timers -> {
            NodeAgent agent = new NodeAgent(context, timers, parts);
            return Behaviors.receive(
                    (c, message) -> agent.onMessage(message), (c, signal) -> agent.onSignal(signal));
        }));
    }

    private Behavior<Command> onMessage(Command command) {
        switch (command) {
            case Found(Receptionist.Listing listing) -> found(
                    listing.getServiceInstances(CoordinatorActor.KEY));
            case Heard(AgentTraffic message) -> onTraffic(message);
            case Launch(Slot slot) -> launch(slot);
            case Launched(Slot slot, Incarnation life, WorkerProcesses.Handle process) ->
                launched(slot, life, process);
            case NotLaunched(Slot slot, String why) -> {
                int failures = planned(slot);
                parts.news().accept(new AgentNews.NotStarted(slot.name(), why));
                sayIfQuarantined(slot, failures);
            }
            case Exited(Slot slot, Incarnation life, int code) -> exited(slot, life, code);
            case Forgive(Slot slot) -> slot.forgive();
            case OfferAgain() -> coordinators.stream()
                    .filter(ref -> !accepted.contains(ref))
                    .forEach(this::offer);
            case Kill(String worker) -> slots.stream()
                    .filter(slot -> slot.name().equals(worker))
                    .forEach(Slot::kill);
            case EndWorkers() -> {
                ending = true;
                slots.forEach(Slot::destroy);
                timers.startSingleTimer("rest", new KillRest(), PATIENCE);
                reportEmpty();
            }
            case KillRest() -> slots.forEach(Slot::kill);
        }
        return Behaviors.same();
    }

    private Behavior<Command> onSignal(Signal signal) {
        if (signal instanceof Terminated gone) {
            Object dead = gone.getRef();
            coordinators.removeIf(ref -> ref.equals(dead));
            accepted.removeIf(ref -> ref.equals(dead));
        } else if (signal instanceof PostStop || signal instanceof PreRestart) {
            ending = true;
            slots.forEach(Slot::kill);
        }
        return Behaviors.same();
    }

    private void found(Set<ActorRef<CoordinatorTraffic>> listed) {
        for (ActorRef<CoordinatorTraffic> ref : listed) {
            if (coordinators.add(ref)) {
                context.watch(ref);
                offer(ref);
            }
        }
    }

    private void offer(ActorRef<CoordinatorTraffic> to) {
        long usable = slots.stream().filter(slot -> !slot.quarantined()).count();
        int offered = (int) Math.min(parts.workers(), usable);
        to.tell(new CoordinatorTraffic.Offer(parts.node(), parts.build(), offered, self));
    }

    private void onTraffic(AgentTraffic message) {
        switch (message) {
            case AgentTraffic.Accepted(long term, var from) -> {
                accepted.add(from);
                newest = Math.max(newest, term);
            }
            case AgentTraffic.Refused(String reason) ->
                parts.news().accept(new AgentNews.Refused(reason));
            case AgentTraffic.RunOver(long term, String how) -> {
                if (!over && term >= newest) {
                    over = true;
                    parts.news().accept(new AgentNews.RunOver(how));
                }
            }
        }
    }

    private void launch(Slot slot) {
        if (ending || over) {
            return;
        }
        Incarnation life = parts.incarnations().get();
        context.pipeToSelf(
                blocking.run(START, () -> parts.processes().start(slot.name(), life)),
                (process, failure) -> process != null
                        ? new Launched(slot, life, process)
                        : new NotLaunched(slot, failure == null ? "" : Blocking.words(failure)));
    }

    private void launched(Slot slot, Incarnation life, WorkerProcesses.Handle process) {
        slot.started(life, process);
        ActorRef<Command> me = context.getSelf();
        process.exit().whenComplete((code, failure) ->
                me.tell(new Exited(slot, life, code == null ? -1 : code)));
        parts.news().accept(new AgentNews.Started(slot.name(), life, process.pid()));
        if (ending) {
            slot.destroy();
        }
    }

    /** What follows is planned before the end is told: whoever hears of it may count on the plan. */
    private void exited(Slot slot, Incarnation life, int code) {
        String how = slot.ended(life, code);
        int failures = code == 0 || ending || over ? 0 : planned(slot);
        parts.news().accept(new AgentNews.Ended(slot.name(), life, how));
        coordinators.forEach(ref -> ref.tell(new CoordinatorTraffic.WorkerExited(life, how)));
        sayIfQuarantined(slot, failures);
        if (ending) {
            reportEmpty();
        }
    }

    private void sayIfQuarantined(Slot slot, int failures) {
        if (failures > MOST_FAILURES) {
            parts.news().accept(new AgentNews.Quarantined(slot.name(), failures));
            coordinators.forEach(this::offer);
        }
    }

    /** Plans another process or none; the failures that are not forgiven yet. */
    private int planned(Slot slot) {
        int failures = slot.failed();
        timers.startSingleTimer("forgive-" + slot.name() + "-" + slot.total(),
                new Forgive(slot), MEMORY);
        if (failures > MOST_FAILURES) {
            slot.quarantine();
        } else {
            timers.startSingleTimer("launch-" + slot.name(), new Launch(slot),
                    FIRST_PAUSE.multipliedBy(1L << (failures - 1)));
        }
        return failures;
    }

    private void reportEmpty() {
        if (slots.stream().noneMatch(Slot::runs)) {
            timers.cancel("rest");
            parts.news().accept(new AgentNews.Empty());
        }
    }
}
