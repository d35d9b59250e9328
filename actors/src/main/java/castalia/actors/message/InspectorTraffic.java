package castalia.actors.message;

import akka.actor.typed.ActorRef;

/** What a node's inspector hears from other nodes. */
public sealed interface InspectorTraffic extends Traffic {

    /** Say what your node and its actors are like. */
    record Inspect(ActorRef<NodeSnapshot> replyTo) implements InspectorTraffic {}
}
