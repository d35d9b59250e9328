package castalia.actors.watch;

import castalia.actors.message.NodeSnapshot;
import castalia.actors.message.NodeSnapshot.ActorView;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/** What the actors of one process did, for people. Actors that were spawned last are kept longest. */
public final class ActorRegistry {

    private final ConcurrentHashMap<String, Entry> entries = new ConcurrentHashMap<>();

    /** Counts of one actor; a new life at the same path goes on with them. */
    static final class Entry {
        private final String path;
        private final AtomicLong restarts = new AtomicLong();
        private final AtomicLong processed = new AtomicLong();
        private volatile boolean running = true;
        private volatile String failure = "";

        private Entry(String path) {
            this.path = path;
        }

        void processed() {
            processed.incrementAndGet();
        }

        void restarted() {
            restarts.incrementAndGet();
            running = true;
        }

        void failed(Throwable failure) {
            this.failure = failure.toString();
            running = false;
        }

        void stopped() {
            running = false;
        }

        private ActorView view() {
            return new ActorView(path, running, restarts.get(), processed.get(), failure);
        }
    }

    Entry enter(String path) {
        if (entries.size() >= NodeSnapshot.MOST) {
            entries.values().removeIf(entry -> !entry.running);
        }
        Entry entry = entries.computeIfAbsent(path, Entry::new);
        entry.running = true;
        return entry;
    }

    /** All actors known, parents before children. */
    public List<ActorView> views() {
        return entries.values().stream()
                .map(Entry::view)
                .sorted(Comparator.comparing(ActorView::path))
                .limit(NodeSnapshot.MOST)
                .toList();
    }
}
