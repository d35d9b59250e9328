package castalia.actors.watch;

import akka.actor.typed.ActorRef;
import akka.actor.typed.Behavior;
import akka.actor.typed.javadsl.ActorContext;
import akka.actor.typed.javadsl.Behaviors;
import akka.actor.typed.javadsl.TimerScheduler;
import akka.actor.typed.receptionist.Receptionist;
import castalia.actors.message.InspectorTraffic;
import castalia.actors.message.NodeSnapshot;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Set;

/** Asks all inspectors of the cluster for their snapshots: once per question, for a second. */
public final class Topology {

    /** How long answers are waited for. */
    public static final Duration DEADLINE = Duration.ofSeconds(1);

    private static final int MOST_NODES = 256;

    /** What it is told. */
    public sealed interface Command {}

    /** Collect now; a question while one is open gets the same answer. */
    public record Collect(ActorRef<Picture> replyTo) implements Command {}

    private record Found(Receptionist.Listing listing) implements Command {}

    private record Answer(NodeSnapshot snapshot) implements Command {}

    private record TimeUp() implements Command {}

    /**
     * The cluster.
     *
     * @param nodes those that answered, by name
     * @param silent how many did not
     */
    public record Picture(List<NodeSnapshot> nodes, int silent) {
        public Picture {
            nodes = List.copyOf(nodes);
        }
    }

    private final TimerScheduler<Command> timers;
    private final ActorRef<NodeSnapshot> self;
    private final List<ActorRef<Picture>> waiting = new ArrayList<>();
    private final List<NodeSnapshot> answers = new ArrayList<>();
    private Set<ActorRef<InspectorTraffic>> inspectors = Set.of();
    private int asked;

    private Topology(ActorContext<Command> context, TimerScheduler<Command> timers) {
        this.timers = timers;
        this.self = context.messageAdapter(NodeSnapshot.class, Answer::new);
        context.getSystem().receptionist().tell(Receptionist.subscribe(
                Inspector.KEY, context.messageAdapter(Receptionist.Listing.class, Found::new)));
    }

    /** A collector. */
    public static Behavior<Command> create() {
        return Behaviors.setup(context -> Behaviors.withTimers(timers -> {
            Topology topology = new Topology(context, timers);
            return Behaviors.receiveMessage(topology::onMessage);
        }));
    }

    private Behavior<Command> onMessage(Command command) {
        switch (command) {
            case Found(Receptionist.Listing listing) ->
                inspectors = listing.getServiceInstances(Inspector.KEY);
            case Collect(ActorRef<Picture> replyTo) -> collect(replyTo);
            case Answer(NodeSnapshot snapshot) -> {
                if (!waiting.isEmpty() && answers.size() < asked) {
                    answers.add(snapshot);
                    if (answers.size() == asked) {
                        answer();
                    }
                }
            }
            case TimeUp() -> answer();
        }
        return Behaviors.same();
    }

    private void collect(ActorRef<Picture> replyTo) {
        if (waiting.size() >= MOST_NODES) {
            return;
        }
        waiting.add(replyTo);
        if (waiting.size() > 1) {
            return;
        }
        answers.clear();
        asked = Math.min(inspectors.size(), MOST_NODES);
        inspectors.stream()
                .limit(MOST_NODES)
                .forEach(ref -> ref.tell(new InspectorTraffic.Inspect(self)));
        if (asked == 0) {
            answer();
        } else {
            timers.startSingleTimer("deadline", new TimeUp(), DEADLINE);
        }
    }

    private void answer() {
        timers.cancel("deadline");
        Picture picture = new Picture(
                answers.stream()
                        .sorted(Comparator.comparing(NodeSnapshot::node))
                        .toList(),
                asked - answers.size());
        waiting.forEach(ref -> ref.tell(picture));
        waiting.clear();
    }
}
