package castalia.actors;

import akka.actor.AbstractActorWithTimers;
import akka.actor.ActorSystem;
import akka.actor.Props;
import akka.cluster.Cluster;
import akka.cluster.ClusterEvent;
import akka.cluster.ClusterEvent.CurrentClusterState;
import akka.cluster.DowningProvider;
import akka.cluster.Member;
import java.time.Duration;
import java.util.Set;
import java.util.stream.StreamSupport;
import scala.Option;
import scala.concurrent.duration.FiniteDuration;

/**
 * Who goes on when processes cannot be reached, where few may coordinate: whoever still reaches one
 * that may. Akka's own strategies would end a run of two candidates with the elder. Two sides may
 * both go on; that only one of them leads is not decided here but by the run's lock and terms.
 */
public final class CandidateDowning extends DowningProvider {

    static final String STABLE = "castalia.stable-after";

    private final ActorSystem system;

    /** Made by Akka, by its name in the configuration. */
    public CandidateDowning(ActorSystem system) {
        this.system = system;
    }

    @Override
    public FiniteDuration downRemovalMargin() {
        return FiniteDuration.Zero();
    }

    @Override
    public Option<Props> downingActorProps() {
        Duration stable = system.settings().config().getDuration(STABLE);
        return Option.apply(Props.create(Judge.class, () -> new Judge(stable)));
    }

    /** What the membership calls for. */
    enum Verdict {
        /** Everybody is reached. */
        NOTHING,
        /** Those that are not reached are removed. */
        REMOVE_THEM,
        /** Nobody that may coordinate is reached: this process ends. */
        END_SELF
    }

    static Verdict verdict(Iterable<Member> members, Set<Member> unreachable) {
        if (unreachable.isEmpty()) {
            return Verdict.NOTHING;
        }
        boolean led = StreamSupport.stream(members.spliterator(), false)
                .anyMatch(member -> member.hasRole(ProcessSettings.Kind.CANDIDATE.role())
                        && !unreachable.contains(member));
        return led ? Verdict.REMOVE_THEM : Verdict.END_SELF;
    }

    private record Stable() {}

    /** Judges when what is reached has not changed for a while. */
    private static final class Judge extends AbstractActorWithTimers {

        private final Duration stable;
        private final Cluster cluster = Cluster.get(getContext().getSystem());

        Judge(Duration stable) {
            this.stable = stable;
        }

        @Override
        public void preStart() {
            cluster.subscribe(getSelf(), ClusterEvent.initialStateAsEvents(),
                    ClusterEvent.MemberEvent.class, ClusterEvent.ReachabilityEvent.class);
        }

        @Override
        public void postStop() {
            cluster.unsubscribe(getSelf());
        }

        @Override
        public Receive createReceive() {
            return receiveBuilder()
                    .match(ClusterEvent.ClusterDomainEvent.class, _ -> getTimers()
                            .startSingleTimer(Stable.class, new Stable(), stable))
                    .match(Stable.class, _ -> judge())
                    .build();
        }

        private void judge() {
            CurrentClusterState state = cluster.state();
            switch (verdict(state.getMembers(), state.getUnreachable())) {
                case NOTHING -> {
                    // Nobody is missed.
                }
                case REMOVE_THEM -> state.getUnreachable().forEach(member ->
                        cluster.down(member.address()));
                case END_SELF -> cluster.down(cluster.selfMember().address());
            }
        }
    }
}
