package castalia.deploy.bench.determinism;

import castalia.workers.exchange.FrameTag;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.Map;

/** Which folded gradients came to which rank, in the order in which they did. */
final class Arrivals {

    private static final long MOST_MILLIS = 600_000;

    private record Place(int rank, long step, int chunk) {}

    /** A frame and who sent it. */
    record Arrival(int from, FrameTag tag) {}

    private final Map<Place, Deque<Arrival>> all = new HashMap<>();

    synchronized void add(int rank, int from, FrameTag tag) {
        all.computeIfAbsent(new Place(rank, tag.step(), tag.chunk()), _ -> new ArrayDeque<>())
                .add(new Arrival(from, tag));
        notifyAll();
    }

    /** Takes the first of a chunk's that nobody took yet. */
    synchronized Arrival take(int rank, FrameTag like) {
        Place place = new Place(rank, like.step(), like.chunk());
        long end = System.currentTimeMillis() + MOST_MILLIS;
        try {
            while (!all.containsKey(place)) {
                long left = end - System.currentTimeMillis();
                if (left <= 0) {
                    throw new IllegalStateException("no gradient came for " + place);
                }
                wait(left);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        }
        Deque<Arrival> here = all.get(place);
        Arrival first = here.remove();
        if (here.isEmpty()) {
            all.remove(place);
        }
        return first;
    }
}
