package castalia.actors.run;

import akka.actor.typed.ActorRef;
import castalia.actors.message.AgentTraffic;
import castalia.actors.message.CoordinatorTraffic;
import java.util.HashMap;
import java.util.Map;

/** What the agents known to a coordinator offer: one per name, all of one build. */
final class Offers {

    private final String build;
    private final long term;
    private final Map<String, CoordinatorTraffic.Offer> byNode = new HashMap<>();

    Offers(String build, long term) {
        this.build = build;
        this.term = term;
    }

    /** Answers an agent; true if the offer counts and is new or changed. */
    boolean answer(CoordinatorTraffic.Offer offer, ActorRef<CoordinatorTraffic> self) {
        CoordinatorTraffic.Offer known = byNode.get(offer.node());
        if (!offer.build().equals(build)) {
            offer.from().tell(new AgentTraffic.Refused("node '" + offer.node() + "' runs build "
                    + offer.build() + ", the run's coordinator " + build
                    + "; start it from the same build"));
            return false;
        }
        if (known != null && !known.from().equals(offer.from())) {
            offer.from().tell(new AgentTraffic.Refused("a node named '" + offer.node()
                    + "' is in the cluster already; give this one another name"));
            return false;
        }
        byNode.put(offer.node(), offer);
        offer.from().tell(new AgentTraffic.Accepted(term, self));
        return !offer.equals(known);
    }

    /** Forgets an agent that is gone; true if it was known. */
    boolean remove(Object agent) {
        return byNode.values().removeIf(offer -> offer.from().equals(agent));
    }

    /** Ranks wanted: the sum of what is offered. */
    int target() {
        return byNode.values().stream().mapToInt(CoordinatorTraffic.Offer::workers).sum();
    }

    void over(String how) {
        byNode.values().forEach(offer -> offer.from().tell(new AgentTraffic.RunOver(term, how)));
    }
}
