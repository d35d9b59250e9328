package castalia.workers.exchange.socket;

import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;

/** What a rank said that it is going to receive, and did not receive yet. Used by its thread only. */
final class Expectations {

    private final Mailbox mailbox;
    private final Map<PieceKey, MemorySegment> all = new HashMap<>();

    Expectations(Mailbox mailbox) {
        this.mailbox = mailbox;
    }

    /** Expects a payload, named by its last piece, in place of another destination. */
    void add(PieceKey last, MemorySegment into, boolean lastResort) {
        MemorySegment before = all.get(last);
        if (before != null && before.equals(into)) {
            return;
        }
        if (before != null) {
            remove(last);
        }
        mailbox.expect(last, into, lastResort);
        all.put(last, into);
    }

    /** Withdraws one of them: nothing is written to its destination from now on. */
    void remove(PieceKey last) {
        mailbox.withdraw(last, SocketTransport.GRACE_NANOS);
        all.remove(last);
    }

    /** Withdraws all. */
    void clear() {
        for (PieceKey last : all.keySet().toArray(PieceKey[]::new)) {
            remove(last);
        }
    }
}
