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
import castalia.protocol.run.Candidacy;
import castalia.protocol.run.CandidacyEffect;
import castalia.protocol.run.CandidacyEvent;
import castalia.protocol.run.RunNews;
import castalia.protocol.run.RunResult;
import castalia.protocol.run.RunStorage;
import java.time.Duration;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.function.Consumer;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Stands ready to lead a run: performs what {@link Candidacy} decides. Whether the leader lives is
 * asked on a connection of its own; the cluster's failure detector has no part in it.
 */
public final class CandidateActor {

    /** Under which candidates are found. */
    public static final ServiceKey<CandidateTraffic> KEY =
            ServiceKey.create(CandidateTraffic.class, "castalia-candidate");

    private static final Duration CALL = Duration.ofSeconds(20);
    private static final Duration LOOK = Duration.ofMillis(500);

    /** What it is told. */
    public sealed interface Command {}

    private record Peers(Receptionist.Listing listing) implements Command {}

    private record Happened(CandidacyEvent event) implements Command {}

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
    private final Candidacy candidacy;
    private Candidacy.State state;
    private Optional<Heartbeats.Watch> watch = Optional.empty();
    private Set<ActorRef<CandidateTraffic>> peers = Set.of();
    private @Nullable ActorRef<CoordinatorActor.Command> leading;

    private CandidateActor(ActorContext<Command> context, TimerScheduler<Command> timers,
            ActorRegistry registry, RunParts parts, Line line) {
        this.context = context;
        this.registry = registry;
        this.parts = parts;
        this.line = line;
        this.blocking = new Blocking(context.getSystem());
        this.candidacy = new Candidacy(parts.claimant());
        this.state = candidacy.begin();
        ActorRef<Receptionist.Command> receptionist = context.getSystem().receptionist();
        receptionist.tell(Receptionist.register(
                KEY, context.messageAdapter(CandidateTraffic.class, CandidateActor::heard)));
        receptionist.tell(
                Receptionist.subscribe(KEY, Instrumented.listings(context, Peers::new)));
        receptionist.tell(Receptionist.subscribe(
                CoordinatorActor.KEY, Instrumented.listings(context, listing -> new Happened(
                        new CandidacyEvent.Listed(!listing.getServiceInstances(
                                CoordinatorActor.KEY).isEmpty())))));
        timers.startTimerWithFixedDelay("look", new Happened(new CandidacyEvent.Look()), LOOK);
    }

    private static Command heard(CandidateTraffic message) {
        return switch (message) {
            case CandidateTraffic.RunOver(long term, RunResult result) ->
                new Happened(new CandidacyEvent.RunOver(term, result));
        };
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
            case Happened(CandidacyEvent event) -> take(event);
            case Lead() -> take(new CandidacyEvent.Lead());
            case Inject(Incarnation to, CoordinatorMessage message) -> {
                if (leading != null) {
                    leading.tell(new CoordinatorActor.Relay(to, message));
                }
            }
            case Retire(CompletableFuture<Done> retired) -> {
                take(new CandidacyEvent.Retired());
                return Behaviors.stopped(() -> retired.complete(Done.getInstance()));
            }
        }
        return Behaviors.same();
    }

    private Behavior<Command> onSignal(Signal signal) {
        if (signal instanceof Terminated) {
            leading = null; // nothing else is watched
            take(new CandidacyEvent.Stopped());
        } else if (signal instanceof PostStop) {
            unwatch();
            parts.heartbeats().rest();
        }
        return Behaviors.same();
    }

    private void take(CandidacyEvent event) {
        Candidacy.Transition transition = candidacy.next(state, event);
        state = transition.state();
        transition.effects().forEach(this::perform);
    }

    private void perform(CandidacyEffect effect) {
        switch (effect) {
            case CandidacyEffect.ReadNewest() -> readNewest();
            case CandidacyEffect.Claim(long than) -> claim(than);
            case CandidacyEffect.Watch(long term, Claimant leader) -> watch = Optional.of(
                    parts.heartbeats().watch(term, leader, tells(lost ->
                            new CandidacyEvent.LeaderLost(lost.term(), lost.how()))));
            case CandidacyEffect.Unwatch() -> unwatch();
            case CandidacyEffect.Coordinate(long term) -> coordinate(term);
            case CandidacyEffect.Rest() -> parts.heartbeats().rest();
            case CandidacyEffect.Say(RunNews news) -> parts.news().accept(news);
            case CandidacyEffect.Warn(String what) -> context.getLog().warn(what);
            case CandidacyEffect.EndHere(long term, RunResult result) -> {
                peers.forEach(peer -> peer.tell(new CandidateTraffic.RunOver(term, result)));
                parts.end().accept(new RunParts.End.Here(result));
            }
            case CandidacyEffect.EndElsewhere(long term, RunResult result) ->
                parts.end().accept(new RunParts.End.Elsewhere(term, result));
            case CandidacyEffect.GiveUp(String why) ->
                parts.end().accept(new RunParts.End.GaveUp(why));
        }
    }

    /** Turns what other threads say into events. */
    private <T> Consumer<T> tells(Function<T, CandidacyEvent> event) {
        ActorRef<Command> self = context.getSelf();
        return said -> self.tell(new Happened(event.apply(said)));
    }

    private void readNewest() {
        context.pipeToSelf(blocking.run(CALL, parts.storage()::newestClaim),
                (newest, failure) -> new Happened(newest == null
                        ? new CandidacyEvent.Unread()
                        : new CandidacyEvent.Read(newest, newest.isEmpty() && line.first())));
    }

    private void claim(long than) {
        RunStorage storage = parts.storage();
        context.pipeToSelf(
                blocking.run(CALL, () -> storage.newestTerm() > than
                        ? Optional.<Long>empty()
                        : storage.claimTerm(parts.claimant())),
                (term, failure) -> new Happened(term != null
                        ? new CandidacyEvent.Claimed(term)
                        : new CandidacyEvent.ClaimFailed(
                                failure == null ? "" : Blocking.words(failure))));
    }

    private void coordinate(long term) {
        leading = Instrumented.spawn(context, registry, "coordinator-" + term,
                CoordinatorActor.Command.class,
                CoordinatorActor.create(parts, term,
                        tells(result -> new CandidacyEvent.Ended(term, result))),
                Instrumented.STOP);
        context.watch(leading);
    }

    private void unwatch() {
        watch.ifPresent(Heartbeats.Watch::close);
        watch = Optional.empty();
    }
}
