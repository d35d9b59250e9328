package castalia.actors.wire;

import akka.actor.typed.ActorSystem;
import akka.actor.typed.Extension;
import akka.actor.typed.ExtensionId;
import castalia.actors.message.NodeSnapshot.TrafficView;
import java.util.Comparator;
import java.util.List;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicLong;

/**
 * Bytes that this process's actors sent to and received from other processes, by kind of message.
 * A tensor on the wrong way would show up here.
 */
public final class TrafficCounter implements Extension {

    private static final Id ID = new Id();

    private final ConcurrentHashMap<String, Counts> kinds = new ConcurrentHashMap<>();

    TrafficCounter() {}

    /** The counter of an actor system. */
    public static TrafficCounter of(ActorSystem<?> system) {
        return system.registerExtension(ID);
    }

    private static final class Id extends ExtensionId<TrafficCounter> {
        @Override
        public TrafficCounter createExtension(ActorSystem<?> system) {
            return new TrafficCounter();
        }
    }

    private static final class Counts {
        private final AtomicLong sent = new AtomicLong();
        private final AtomicLong sentBytes = new AtomicLong();
        private final AtomicLong received = new AtomicLong();
        private final AtomicLong receivedBytes = new AtomicLong();
        private final AtomicLong largest = new AtomicLong();
        private final AtomicLong refused = new AtomicLong();
    }

    private Counts counts(String kind) {
        return kinds.computeIfAbsent(kind, k -> new Counts());
    }

    void sent(String kind, int bytes) {
        Counts counts = counts(kind);
        counts.sent.incrementAndGet();
        counts.sentBytes.addAndGet(bytes);
        counts.largest.accumulateAndGet(bytes, Math::max);
    }

    void received(String kind, int bytes) {
        Counts counts = counts(kind);
        counts.received.incrementAndGet();
        counts.receivedBytes.addAndGet(bytes);
        counts.largest.accumulateAndGet(bytes, Math::max);
    }

    /** Something of a kind was not taken. */
    public void refused(String kind) {
        counts(kind).refused.incrementAndGet();
    }

    /** All kinds seen, by name. */
    public List<TrafficView> views() {
        return kinds.entrySet().stream()
                .map(entry -> {
                    Counts counts = entry.getValue();
                    return new TrafficView(entry.getKey(), counts.sent.get(),
                            counts.sentBytes.get(), counts.received.get(),
                            counts.receivedBytes.get(), counts.largest.get(),
                            counts.refused.get());
                })
                .sorted(Comparator.comparing(TrafficView::kind))
                .toList();
    }
}
