package castalia.actors.message;

import akka.actor.typed.ActorRef;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Incarnation;

/** What a coordinator hears from other nodes. */
public sealed interface CoordinatorTraffic extends Traffic {

    /**
     * What a worker says.
     *
     * @param from the worker's actor
     */
    record FromWorker(WorkerMessage message, ActorRef<WorkerTraffic> from)
            implements CoordinatorTraffic {}

    /**
     * An agent says what it offers.
     *
     * @param node name of its node
     * @param build fingerprint of its program
     * @param workers regular workers it keeps running
     */
    record Offer(String node, String build, int workers, ActorRef<AgentTraffic> from)
            implements CoordinatorTraffic {}

    /** An agent saw a worker's process end. */
    record WorkerExited(Incarnation worker, String how) implements CoordinatorTraffic {}

    /** Stop the run at a step's boundary. */
    record StopRun() implements CoordinatorTraffic {}

    /** Say what the run is. */
    record Describe(ActorRef<JobTraffic> replyTo) implements CoordinatorTraffic {}
}
