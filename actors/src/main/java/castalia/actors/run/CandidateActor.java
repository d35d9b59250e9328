package castalia.actors.run;

import akka.Done;
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
import castalia.actors.message.CandidateTraffic;
import castalia.actors.message.CoordinatorTraffic;
import castalia.actors.watch.ActorRegistry;
import castalia.actors.watch.Blocking;
import castalia.actors.watch.Instrumented;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.run.RunResult;
import castalia.protocol.run.RunStorage;
import java.time.Duration;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * Stands ready to lead a run. It claims the next term at once when the leader it knows is lost,
 * and at the start if it is first in line; whoever loses a claim follows the winner. Safety rests
 * on the exclusive record of the term, never on the cluster's view.
 */
public final class CandidateActor {

    /** Under which candidates are found. */
    public static final ServiceKey<CandidateTraffic> KEY =
            ServiceKey.create(CandidateTraffic.class, "castalia-candidate");

    private static final Duration CALL = Duration.ofSeconds(20);
    private static final Duration LOOK = Duration.ofMillis(500);

    /** Looks without a leader before a candidate that did not see one lost claims a term. */
    private static final int PATIENCE = 6;

    private static final int MOST_FAILURES = 5;

    /** What it is told. */
    public sealed interface Command {}

    private record Found(Receptionist.Listing listing) implements Command {}

    private record Peers(Receptionist.Listing listing) implements Command {}

    private record Heard(CandidateTraffic message) implements Command {}

    private record Look() implements Command {}

    private record TermRead(long newest) implements Command {}

    private record Claimed(Optional<Long> term) implements Command {}

    private record ClaimFailed(String why) implements Command {}

    private record Ended(long term, RunResult result) implements Command {}

    /** Lead now if nobody else does, whoever is first in line. */
    public record Lead() implements Command {}

    /** Hand a worker a message that no coordinator decided on, as fault-injection tests do. */
    public record Inject(Incarnation to, CoordinatorMessage message) implements Command {}

    /**
     * Stop, with the coordinator if it is here: its process leaves, and would take its own leaving
     * for the loss of all workers.
     */
    public record Retire(CompletableFuture<Done> retired) implements Command {}

    /** A node can be reached no more: if the leader is there, it is lost. */
    public record NodeLost(Address address) implements Command {}

    /** Whether this candidate is first in line when there never was a leader. */
    @FunctionalInterface
    public interface Line {
        boolean first();
    }

    private final ActorContext<Command> context;
    private final ActorRegistry registry;
    private final RunParts parts;
    private final Line line;
    private final Blocking blocking;
    private final Incarnation incarnation;
    private final Set<ActorRef<CoordinatorTraffic>> leaders = new HashSet<>();
    private Set<ActorRef<CandidateTraffic>> peers = Set.of();
    private @Nullable ActorRef<CoordinatorActor.Command> leading;
    private long known;
    private int leaderless;
    private int failures;
    private boolean claiming;
    private boolean over;

    private CandidateActor(ActorContext<Command> context, TimerScheduler<Command> timers,
            ActorRegistry registry, RunParts parts, Incarnation incarnation, Line line) {
        this.context = context;
        this.registry = registry;
        this.parts = parts;
        this.line = line;
        this.incarnation = incarnation;
        this.blocking = new Blocking(context.getSystem());
        ActorRef<Receptionist.Command> receptionist = context.getSystem().receptionist();
        receptionist.tell(Receptionist.register(
                KEY, context.messageAdapter(CandidateTraffic.class, Heard::new)));
        receptionist.tell(Receptionist.subscribe(CoordinatorActor.KEY,
                context.spawnAnonymous(Behaviors.<Receptionist.Listing>receiveMessage(listing -> {
                    context.getSelf().tell(new Found(listing));
                    return Behaviors.same();
                }))));
        receptionist.tell(Receptionist.subscribe(KEY,
                context.spawnAnonymous(Behaviors.<Receptionist.Listing>receiveMessage(listing -> {
                    context.getSelf().tell(new Peers(listing));
                    return Behaviors.same();
                }))));
        timers.startTimerWithFixedDelay("look", new Look(), LOOK);
    }

    /**
     * A candidate.
     *
     * @param incarnation of this process, which its claims carry
     */
    public static Behavior<Command> create(
            ActorRegistry registry, RunParts parts, Incarnation incarnation, Line line) {
        return Behaviors.setup(context -> Behaviors.withTimers(timers -> {
            CandidateActor actor =
                    new CandidateActor(context, timers, registry, parts, incarnation, line);
            return Behaviors.receive(
                    (c, message) -> actor.onMessage(message), (c, signal) -> actor.onSignal(signal));
        }));
    }

    private Behavior<Command> onMessage(Command command) {
        switch (command) {
            case Found(Receptionist.Listing listing) ->
                found(listing.getServiceInstances(CoordinatorActor.KEY));
            case Peers(Receptionist.Listing listing) -> peers = listing.getServiceInstances(KEY);
            case Heard(CandidateTraffic.RunOver(long term, RunResult result)) -> {
                if (!over && term >= known) {
                    over = true;
                    parts.end().accept(new RunParts.End.Elsewhere(term, result));
                }
            }
            case Look() -> look();
            case Lead() -> claim(Long.MAX_VALUE);
            case Inject(Incarnation to, CoordinatorMessage message) -> {
                if (leading != null) {
                    leading.tell(new CoordinatorActor.Relay(to, message));
                }
            }
            case NodeLost(Address address) -> lost(leaders.stream()
                    .filter(ref -> ref.path().address().equals(address))
                    .findFirst());
            case TermRead(long newest) -> known = Math.max(known, newest);
            case Claimed(Optional<Long> term) -> claimed(term);
            case ClaimFailed(String why) -> {
                claiming = false;
                leaderless = 0;
                context.getLog().warn("no term could be claimed: {}", why);
            }
            case Ended(long term, RunResult result) -> ended(term, result);
            case Retire(CompletableFuture<Done> retired) -> {
                over = true;
                return Behaviors.stopped(() -> retired.complete(Done.getInstance()));
            }
        }
        return Behaviors.same();
    }

    private Behavior<Command> onSignal(Signal signal) {
        if (signal instanceof Terminated gone) {
            Object dead = gone.getRef();
            if (dead.equals(leading)) {
                childGone();
            }
            lost(leaders.stream().filter(ref -> ref.equals(dead)).findFirst());
        }
        return Behaviors.same();
    }

    private void found(Set<ActorRef<CoordinatorTraffic>> listed) {
        for (ActorRef<CoordinatorTraffic> ref : listed) {
            if (leaders.add(ref)) {
                context.watch(ref);
                leaderless = 0;
                context.pipeToSelf(blocking.run(CALL, parts.storage()::newestTerm),
                        (newest, failure) -> new TermRead(newest == null ? 0 : newest));
            }
        }
    }

    private void lost(Optional<ActorRef<CoordinatorTraffic>> leader) {
        if (leader.isPresent()) {
            leaders.remove(leader.get());
            context.unwatch(leader.get());
            if (leaders.isEmpty()) {
                claim(known);
            }
        }
    }

    private void look() {
        if (leading != null || !leaders.isEmpty() || claiming || over) {
            leaderless = 0;
            return;
        }
        leaderless++;
        if (leaderless >= 2 && known == 0 && line.first()) {
            claim(Long.MAX_VALUE);
        } else if (leaderless >= PATIENCE && (known > 0 || line.first())) {
            claim(Long.MAX_VALUE);
        }
    }

    /** Claims the next term unless one newer than {@code than} is claimed already. */
    private void claim(long than) {
        if (leading != null || claiming || over || failures >= MOST_FAILURES) {
            return;
        }
        claiming = true;
        RunStorage storage = parts.storage();
        context.pipeToSelf(
                blocking.run(CALL, () -> storage.newestTerm() > than
                        ? Optional.<Long>empty()
                        : storage.claimTerm(incarnation, parts.label())),
                (term, failure) -> term != null
                        ? new Claimed(term)
                        : new ClaimFailed(failure == null ? "" : Blocking.words(failure)));
    }

    private void claimed(Optional<Long> won) {
        claiming = false;
        leaderless = 0;
        if (won.isEmpty() || over) {
            known = Math.max(known, 1); // somebody leads or will
            return;
        }
        long term = won.get();
        known = term;
        ActorRef<Command> self = context.getSelf();
        leading = Instrumented.spawn(context, registry, "coordinator-" + term,
                CoordinatorActor.Command.class,
                CoordinatorActor.create(
                        parts, term, result -> self.tell(new Ended(term, result))),
                Instrumented.STOP);
        context.watch(leading);
    }

    private void ended(long term, RunResult result) {
        if (result instanceof RunResult.Deposed) {
            return; // the winner is followed
        }
        over = true;
        peers.forEach(peer -> peer.tell(new CandidateTraffic.RunOver(term, result)));
        parts.end().accept(new RunParts.End.Here(result));
    }

    /** The coordinator of this process stopped: deposed, done, or failed by a defect. */
    private void childGone() {
        leading = null;
        leaderless = 0;
        if (!over && ++failures >= MOST_FAILURES) {
            over = true;
            parts.end().accept(new RunParts.End.GaveUp(
                    failures + " coordinators of this process stopped before the run's end"));
        }
    }
}
