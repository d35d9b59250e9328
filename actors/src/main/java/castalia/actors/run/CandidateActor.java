package castalia.actors.run;

import akka.Done;
import akka.actor.typed.ActorRef;
import akka.actor.typed.Behavior;
import akka.actor.typed.PostStop;
import akka.actor.typed.Signal;
import akka.actor.typed.Terminated;
import akka.actor.typed.javadsl.ActorContext;
import akka.actor.typed.javadsl.Behaviors;
import akka.actor.typed.javadsl.TimerScheduler;
import akka.actor.typed.receptionist.Receptionist;
import akka.actor.typed.receptionist.ServiceKey;
import castalia.actors.heartbeat.Heartbeats;
import castalia.actors.message.CandidateTraffic;
import castalia.actors.watch.ActorRegistry;
import castalia.actors.watch.Blocking;
import castalia.actors.watch.Instrumented;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.identity.Claimant;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.run.RunNews;
import castalia.protocol.run.RunResult;
import castalia.protocol.run.RunStorage;
import java.time.Duration;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import org.jspecify.annotations.Nullable;

/**
 * Stands ready to lead a run. It follows whoever claimed the newest term, asks that process whether
 * it lives on a connection of its own, and claims the next term at once when it does not. Whoever
 * loses a claim follows the winner. Safety rests on the exclusive record of the term; the cluster's
 * view and its failure detector have no part in it.
 */
public final class CandidateActor {

    /** Under which candidates are found. */
    public static final ServiceKey<CandidateTraffic> KEY =
            ServiceKey.create(CandidateTraffic.class, "castalia-candidate");

    private static final Duration CALL = Duration.ofSeconds(20);
    private static final Duration LOOK = Duration.ofMillis(500);

    /** Looks at a run that nobody ever led before the first in line claims it. */
    private static final int PATIENCE = 2;

    private static final int MOST_FAILURES = 5;

    /** Looks at a leader that lives and is in no cluster with this process. */
    private static final int MOST_APART = 60;

    /** What it is told. */
    public sealed interface Command {}

    private record Peers(Receptionist.Listing listing) implements Command {}

    private record Coordinators(Receptionist.Listing listing) implements Command {}

    private record Heard(CandidateTraffic message) implements Command {}

    private record Look() implements Command {}

    private record Read(Optional<RunStorage.Claim> newest) implements Command {}

    private record Unread() implements Command {}

    private record LeaderLost(Heartbeats.Lost lost) implements Command {}

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
    private Optional<Heartbeats.Watch> watch = Optional.empty();
    private Set<ActorRef<CandidateTraffic>> peers = Set.of();
    private @Nullable ActorRef<CoordinatorActor.Command> leading;
    private long known;
    private long followed;
    private int looks;
    private int apart;
    private boolean coordinated;
    private int failures;
    private boolean reading;
    private boolean claiming;
    private boolean deposed;
    private boolean over;

    private CandidateActor(ActorContext<Command> context, TimerScheduler<Command> timers,
            ActorRegistry registry, RunParts parts, Line line) {
        this.context = context;
        this.registry = registry;
        this.parts = parts;
        this.line = line;
        this.blocking = new Blocking(context.getSystem());
        ActorRef<Receptionist.Command> receptionist = context.getSystem().receptionist();
        receptionist.tell(Receptionist.register(
                KEY, context.messageAdapter(CandidateTraffic.class, Heard::new)));
        receptionist.tell(
                Receptionist.subscribe(KEY, Instrumented.listings(context, Peers::new)));
        receptionist.tell(Receptionist.subscribe(
                CoordinatorActor.KEY, Instrumented.listings(context, Coordinators::new)));
        timers.startTimerWithFixedDelay("look", new Look(), LOOK);
    }

    /** A candidate. */
    public static Behavior<Command> create(ActorRegistry registry, RunParts parts, Line line) {
        return Behaviors.setup(context -> Behaviors.withTimers(timers -> {
            CandidateActor actor = new CandidateActor(context, timers, registry, parts, line);
            return Behaviors.receive(
                    (c, message) -> actor.onMessage(message), (c, signal) -> actor.onSignal(signal));
        }));
    }

    private Behavior<Command> onMessage(Command command) {
        switch (command) {
            case Peers(Receptionist.Listing listing) -> peers = listing.getServiceInstances(KEY);
            case Coordinators(Receptionist.Listing listing) ->
                coordinated = !listing.getServiceInstances(CoordinatorActor.KEY).isEmpty();
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
            case Read(Optional<RunStorage.Claim> newest) -> {
                reading = false;
                newest.ifPresent(claim -> known = Math.max(known, claim.term()));
                if (!busy()) {
                    follow(newest);
                }
            }
            case Unread() -> reading = false;
            case LeaderLost(Heartbeats.Lost(long term, String how)) -> {
                if (term == followed && !busy()) {
                    context.getLog().warn("term {}: {}", term, how);
                    claim(term);
                }
            }
            case Claimed(Optional<Long> term) -> claimed(term);
            case ClaimFailed(String why) -> {
                claiming = false;
                unfollow();
                context.getLog().warn("no term could be claimed: {}", why);
            }
            case Ended(long term, RunResult result) -> ended(term, result);
            case Retire(CompletableFuture<Done> retired) -> {
                over = true;
                parts.heartbeats().rest();
                return Behaviors.stopped(() -> retired.complete(Done.getInstance()));
            }
        }
        return Behaviors.same();
    }

    private Behavior<Command> onSignal(Signal signal) {
        if (signal instanceof Terminated) {
            childGone(); // nothing else is watched
        } else if (signal instanceof PostStop) {
            unfollow();
            parts.heartbeats().rest();
        }
        return Behaviors.same();
    }

    /** Whether who leads is not to be looked for now. */
    private boolean busy() {
        return leading != null || claiming || over;
    }

    private void look() {
        if (busy() || reading) {
            return;
        }
        apart = followed > 0 && !coordinated ? apart + 1 : 0;
        if (apart > MOST_APART) {
            giveUp("this node is not in the cluster of the run's leader any more; start it again");
            return;
        }
        reading = true;
        context.pipeToSelf(blocking.run(CALL, parts.storage()::newestClaim),
                (newest, failure) -> newest == null ? new Unread() : new Read(newest));
    }

    /** Watches who claimed the newest term; claims the next where nobody can be asked. */
    private void follow(Optional<RunStorage.Claim> newest) {
        if (newest.isEmpty()) {
            looks++;
            if (looks >= PATIENCE && known == 0 && line.first()) {
                claim(0);
            }
            return;
        }
        long term = newest.get().term();
        if (term == followed) {
            return;
        }
        unfollow();
        Optional<Claimant> leader = newest.get().by()
                .filter(by -> !by.incarnation().equals(parts.claimant().incarnation()));
        if (leader.isEmpty()) {
            claim(term); // it was this one, or nobody knows who
            return;
        }
        followed = term;
        ActorRef<Command> self = context.getSelf();
        watch = Optional.of(parts.heartbeats()
                .watch(term, leader.get(), lost -> self.tell(new LeaderLost(lost))));
        parts.news().accept(new RunNews.Led(term, leader.get().node()));
    }

    private void unfollow() {
        followed = 0;
        watch.ifPresent(Heartbeats.Watch::close);
        watch = Optional.empty();
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
                        : storage.claimTerm(parts.claimant())),
                (term, failure) -> term != null
                        ? new Claimed(term)
                        : new ClaimFailed(failure == null ? "" : Blocking.words(failure)));
    }

    private void claimed(Optional<Long> won) {
        claiming = false;
        unfollow();
        if (won.isEmpty() || over) {
            return; // somebody else leads: the next look finds who
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
        parts.news().accept(new RunNews.Led(term, parts.claimant().node()));
    }

    private void ended(long term, RunResult result) {
        if (result instanceof RunResult.Deposed) {
            deposed = true; // the winner is followed
            return;
        }
        over = true;
        peers.forEach(peer -> peer.tell(new CandidateTraffic.RunOver(term, result)));
        parts.end().accept(new RunParts.End.Here(result));
    }

    /** The coordinator of this process stopped: deposed, done, or failed by a defect. */
    private void childGone() {
        leading = null;
        parts.heartbeats().rest();
        boolean failed = !deposed;
        deposed = false;
        if (!over && failed && ++failures >= MOST_FAILURES) {
            giveUp(failures + " coordinators of this process stopped before the run's end");
        }
        look();
    }

    private void giveUp(String why) {
        over = true;
        parts.end().accept(new RunParts.End.GaveUp(why));
    }
}
