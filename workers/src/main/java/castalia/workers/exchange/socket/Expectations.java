package castalia.workers.exchange.socket;

import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** What a rank is going to receive, as it said, and did not receive yet. Used by its thread only. */
final class Expectations {

    private final Mailbox mailbox;
    private final Set<PieceKey> all = new HashSet<>(); // by the last piece
    private final Map<PieceKey, Delivery> begun = new HashMap<>(); // by its first payload

    Expectations(Mailbox mailbox) {
        this.mailbox = mailbox;
    }

    /** Has the pieces of payloads told from now on. */
    void begin(Delivery delivery) {
        mailbox.begin(delivery);
        begun.put(delivery.last().getFirst(), delivery);
    }

    /** A delivery that was begun, or null. */
    @Nullable Delivery begun(List<PieceKey> last) {
        return begun.get(last.getFirst());
    }

    /** Ends a delivery: nobody is told anything afterwards. */
    void end(Delivery delivery) {
        mailbox.end(delivery);
        begun.remove(delivery.last().getFirst());
    }

    /**
     * Expects a payload, named by its last piece. If it is expected already, it goes on to where it was first
     * expected, because some of it may be there; who receives it elsewhere is told of it there.
     */
    void add(PieceKey last, MemorySegment into, boolean lastResort) {
        if (!all.contains(last)) {
            mailbox.expect(last, into, lastResort); // refuses what another expects, which stays the other's
            all.add(last);
        }
    }

    /** Withdraws one of them: nothing is written to its destination from now on. */
    void remove(PieceKey last) {
        mailbox.withdraw(last, SocketTransport.GRACE_NANOS);
        all.remove(last);
    }

    /** Withdraws all. */
    void clear() {
        for (Delivery delivery : begun.values().toArray(Delivery[]::new)) {
            end(delivery);
        }
        for (PieceKey last : all.toArray(PieceKey[]::new)) {
            remove(last);
        }
    }
}
