package castalia.protocol.planner;

/**
 * What a rank sends and receives in a step, and how much of it crosses the border of its node.
 *
 * @param sent everything it sends
 * @param received everything it receives
 * @param sentAcross what of it goes to another node
 * @param receivedAcross what of it comes from another node
 */
public record RankTraffic(
        Traffic sent, Traffic received, Traffic sentAcross, Traffic receivedAcross) {}
