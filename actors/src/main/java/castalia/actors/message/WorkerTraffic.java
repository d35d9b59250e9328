package castalia.actors.message;

import akka.actor.typed.ActorRef;
import castalia.protocol.control.CoordinatorMessage;

/** What a worker's actor hears from other nodes. */
public sealed interface WorkerTraffic extends Traffic {

    /** Answers a registration: this coordinator holds {@code term}. */
    record Welcome(long term, ActorRef<CoordinatorTraffic> from) implements WorkerTraffic {}

    /** What a coordinator says. */
    record FromCoordinator(CoordinatorMessage message) implements WorkerTraffic {}
}
