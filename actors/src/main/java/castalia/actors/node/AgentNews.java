package castalia.actors.node;

import castalia.protocol.identity.Incarnation;

/** What people want to know of a node's workers. */
public sealed interface AgentNews {

    /** A worker process runs. */
    record Started(String worker, Incarnation incarnation, long pid) implements AgentNews {}

    /** A worker process ended; {@code how} names its pid and exit code. */
    record Ended(String worker, Incarnation incarnation, String how) implements AgentNews {}

    /** A worker could not be started. */
    record NotStarted(String worker, String why) implements AgentNews {}

    /** A worker failed too often and is started no more. */
    record Quarantined(String worker, int failures) implements AgentNews {}

    /** The coordinator will not have this node. */
    record Refused(String why) implements AgentNews {}

    /** The run is over. */
    record RunOver(String how) implements AgentNews {}

    /** All worker processes ended after the agent was told to end them. */
    record Empty() implements AgentNews {}
}
