package castalia.workers.exchange.socket;

import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.workers.exchange.FrameTag;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * Weights that this worker publishes, and what others asked for before it did. Requests are answered
 * by the plane's threads, so that an owner which computes delays nobody.
 *
 * <p>Nothing is answered after {@link #retract} or {@link #raise} of a newer fence; what was answered
 * before is the transport's to wait for, and it does before its memory may change.
 */
final class Shelf {

    /** Requests of one connection that wait or are answered: those of a few layers. */
    static final int MOST_REQUESTS = 4096;

    private final ReentrantLock lock = new ReentrantLock();
    private final Deque<Request> early = new ArrayDeque<>();
    private @Nullable Offer offer;
    private Fence raised = Fence.NONE;

    /** What a generation publishes. */
    interface Offer {

        Fence fence();

        /** Step of the weights. */
        long version();

        /**
         * Starts sending a chunk.
         *
         * @param done run when that is over; not if the request is refused
         * @return false if it makes no sense: who asks is no member, or no such chunk is served
         */
        boolean answer(Incarnation to, FrameTag request, Runnable done);
    }

    /** A connection that asks. */
    static final class Asker {

        private final Runnable refuse;
        private int open;

        /** @param refuse ends the connection: it asked for what makes no sense */
        Asker(Runnable refuse) {
            this.refuse = refuse;
        }
    }

    private record Request(Asker asker, Incarnation from, Fence fence, FrameTag tag) {}

    /**
     * Takes a request: answers it, or keeps it until what it asks for is published.
     *
     * @return the newest fence; where it is newer than the request's, nothing else was done
     * @throws RefusedException if the request makes no sense, or the connection has too many
     */
    Fence ask(Asker asker, Incarnation from, Fence fence, FrameTag tag) throws RefusedException {
        lock.lock();
        try {
            if (raised.newerThan(fence)) {
                return raised;
            }
            if (asker.open >= MOST_REQUESTS) {
                throw new RefusedException("more than " + MOST_REQUESTS + " requests at once");
            }
            asker.open++;
            Request request = new Request(asker, from, fence, tag);
            if (isEarly(request)) {
                early.add(request);
            } else if (!answer(request)) {
                throw new RefusedException("damaged frame: nothing is served for " + tag);
            }
            return raised;
        } finally {
            lock.unlock();
        }
    }

    private boolean isEarly(Request request) {
        Offer now = offer;
        return now == null || request.fence.newerThan(now.fence())
                || request.tag.step() > now.version();
    }

    private boolean answer(Request request) {
        Offer now = offer;
        return now != null && request.fence.equals(now.fence())
                && request.tag.step() == now.version()
                && now.answer(request.from, request.tag, () -> answered(request.asker));
    }

    private void answered(Asker asker) {
        lock.lock();
        try {
            asker.open--;
        } finally {
            lock.unlock();
        }
    }

    /** A connection ended: what it asked for and has not got is forgotten. */
    void leave(Asker asker) {
        lock.lock();
        try {
            early.removeIf(request -> request.asker == asker);
        } finally {
            lock.unlock();
        }
    }

    /** Publishes, in place of what was published before, and answers who asked already. */
    void publish(Offer next) {
        List<Asker> refused = new ArrayList<>();
        lock.lock();
        try {
            if (raised.newerThan(next.fence())) {
                return;
            }
            offer = next;
            early.removeIf(request -> {
                if (isEarly(request)) {
                    return false;
                }
                if (!answer(request)) {
                    refused.add(request.asker);
                }
                return true;
            });
        } finally {
            lock.unlock();
        }
        refused.forEach(asker -> asker.refuse.run());
    }

    /** Ends what a generation publishes: nothing is answered from it any more. */
    void retract(Fence fence) {
        lock.lock();
        try {
            Offer now = offer;
            if (now != null && now.fence().equals(fence)) {
                offer = null;
            }
        } finally {
            lock.unlock();
        }
    }

    /** Ends what older generations publish, and drops what was asked of them. */
    void raise(Fence fence) {
        lock.lock();
        try {
            raised = fence;
            Offer now = offer;
            if (now != null && fence.newerThan(now.fence())) {
                offer = null;
            }
            early.removeIf(request -> {
                boolean over = fence.newerThan(request.fence);
                if (over) {
                    request.asker.open--;
                }
                return over;
            });
        } finally {
            lock.unlock();
        }
    }
}
