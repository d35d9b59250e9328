package castalia.deploy.cluster;

import castalia.actors.node.AgentNews;
import castalia.protocol.identity.Incarnation;
import java.time.Duration;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.TimeUnit;

/** The worker processes of this node that run. */
final class Children {

    private final Set<Incarnation> running = new HashSet<>();

    synchronized void accept(AgentNews news) {
        if (news instanceof AgentNews.Started(_, Incarnation life, _)) {
            running.add(life);
        } else if (news instanceof AgentNews.Ended(_, Incarnation life, _)) {
            running.remove(life);
            notifyAll();
        }
    }

    /** Waits until none runs, or the time is over. */
    synchronized void awaitNone(Duration limit) {
        long end = System.nanoTime() + limit.toNanos();
        try {
            while (!running.isEmpty()) {
                long left = end - System.nanoTime();
                if (left <= 0) {
                    return;
                }
                TimeUnit.NANOSECONDS.timedWait(this, left);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
