package castalia.actors.watch;

import akka.actor.typed.Behavior;
import akka.actor.typed.javadsl.ActorContext;
import akka.actor.typed.javadsl.Behaviors;
import akka.actor.typed.receptionist.Receptionist;
import akka.actor.typed.receptionist.ServiceKey;
import akka.cluster.ClusterEvent.CurrentClusterState;
import akka.cluster.Member;
import akka.cluster.typed.Cluster;
import castalia.actors.message.InspectorTraffic;
import castalia.actors.message.NodeSnapshot;
import castalia.actors.message.NodeSnapshot.MemberView;
import castalia.actors.wire.TrafficCounter;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.StreamSupport;

/** Says what its process and its actors are like. */
public final class Inspector {

    /** Under which inspectors are found. */
    public static final ServiceKey<InspectorTraffic> KEY =
            ServiceKey.create(InspectorTraffic.class, "castalia-inspector");

    /** What it is told. */
    public sealed interface Command {}

    private record Heard(InspectorTraffic message) implements Command {}

    private final ActorContext<Command> context;
    private final ActorRegistry registry;
    private final String node;
    private final long pid;
    private final Oddities oddities;

    private Inspector(
            ActorContext<Command> context, ActorRegistry registry, String node, long pid) {
        this.context = context;
        this.registry = registry;
        this.node = node;
        this.pid = pid;
        this.oddities = Oddities.count(context);
    }

    /** An inspector of the process called {@code node}. */
    public static Behavior<Command> create(ActorRegistry registry, String node, long pid) {
        return Behaviors.setup(context -> {
            Inspector inspector = new Inspector(context, registry, node, pid);
            context.getSystem().receptionist().tell(Receptionist.register(
                    KEY, context.messageAdapter(InspectorTraffic.class, Heard::new)));
            return Behaviors.receiveMessage(inspector::onMessage);
        });
    }

    private Behavior<Command> onMessage(Command command) {
        switch (command) {
            case Heard(InspectorTraffic.Inspect(var replyTo)) -> replyTo.tell(snapshot());
        }
        return Behaviors.same();
    }

    private NodeSnapshot snapshot() {
        Cluster cluster = Cluster.get(context.getSystem());
        CurrentClusterState state = cluster.state();
        Set<Member> unreachable = state.getUnreachable();
        List<MemberView> members = StreamSupport.stream(state.getMembers().spliterator(), false)
                .map(member -> new MemberView(
                        Addresses.text(member.address()),
                        member.status().toString(),
                        !unreachable.contains(member),
                        String.join(" ", member.getRoles())))
                .toList();
        return new NodeSnapshot(
                node,
                Addresses.text(cluster.selfMember().address()),
                pid,
                new ArrayList<>(cluster.selfMember().getRoles()),
                members,
                registry.views(),
                TrafficCounter.of(context.getSystem()).views(),
                oddities.deadLetters());
    }
}
