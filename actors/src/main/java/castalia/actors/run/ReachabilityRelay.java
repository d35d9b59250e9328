package castalia.actors.run;

import akka.actor.typed.ActorRef;
import akka.actor.typed.Behavior;
import akka.actor.typed.javadsl.Behaviors;
import akka.cluster.ClusterEvent.ClusterDomainEvent;
import akka.cluster.ClusterEvent.MemberRemoved;
import akka.cluster.ClusterEvent.UnreachableMember;
import akka.cluster.typed.Cluster;
import akka.cluster.typed.Subscribe;

/** Tells a candidate of nodes that can be reached no more, as the cluster sees it. */
public final class ReachabilityRelay {

    private ReachabilityRelay() {}

    /** A relay to {@code candidate}. */
    public static Behavior<ClusterDomainEvent> create(ActorRef<CandidateActor.Command> candidate) {
        return Behaviors.setup(context -> {
            Cluster.get(context.getSystem())
                    .subscriptions()
                    .tell(Subscribe.create(context.getSelf(), ClusterDomainEvent.class));
            return Behaviors.receiveMessage(event -> {
                if (event instanceof UnreachableMember lost) {
                    candidate.tell(new CandidateActor.NodeLost(lost.member().address()));
                } else if (event instanceof MemberRemoved lost) {
                    candidate.tell(new CandidateActor.NodeLost(lost.member().address()));
                }
                return Behaviors.same();
            });
        });
    }
}
