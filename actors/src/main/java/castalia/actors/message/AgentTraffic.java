package castalia.actors.message;

import akka.actor.typed.ActorRef;

/** What a node's agent hears from other nodes. */
public sealed interface AgentTraffic extends Traffic {

    /** The coordinator of {@code term} counts on the agent's workers. */
    record Accepted(long term, ActorRef<CoordinatorTraffic> from) implements AgentTraffic {}

    /** The coordinator will not have this agent. */
    record Refused(String reason) implements AgentTraffic {}

    /**
     * The run is over: start no worker again.
     *
     * @param term of the coordinator that says so; one of an older term does not know
     */
    record RunOver(long term, String how) implements AgentTraffic {}
}
