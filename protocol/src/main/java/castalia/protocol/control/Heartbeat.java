package castalia.protocol.control;

import castalia.protocol.identity.Incarnation;

/** What candidates and the coordinator they would replace say to each other, on a connection of its own. */
public sealed interface Heartbeat {

    /**
     * Do you live?
     *
     * @param to the process that is meant; another one does not answer
     * @param sequence number of the question
     */
    record Ping(Incarnation to, long sequence) implements Heartbeat {}

    /**
     * Yes.
     *
     * @param sequence the question's
     * @param term what this process coordinates under, 0 for none
     */
    record Pong(Incarnation from, long sequence, long term) implements Heartbeat {}
}
