package castalia.workers.exchange.socket;

import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;

/** What a rank said that it is going to receive, and did not receive yet. Used by its thread only. */
final class Expectations {

    private final Mailbox mailbox;
    private final Map<Mailbox.Key, MemorySegment> all = new HashMap<>();

    Expectations(Mailbox mailbox) {
        this.mailbox = mailbox;
    }

    /** Expects a payload of whatever length, in place of another destination. */
    void add(Mailbox.Key last, MemorySegment into, boolean lastResort) {
        int count = Piece.count(into.byteSize());
        for (int i = 0; i < count; i++) {
            Mailbox.Key key = last.piece(count - 1 - i);
            MemorySegment piece = Piece.of(into, i);
            MemorySegment before = all.put(key, piece);
            if (before != null && !before.equals(piece)) {
                mailbox.withdraw(key, SocketTransport.GRACE_NANOS);
                before = null;
            }
            if (before == null) {
                mailbox.expect(key, piece, lastResort);
            }
        }
    }

    /** Withdraws one of them: nothing is written to its destination from now on. */
    void remove(Mailbox.Key key) {
        mailbox.withdraw(key, SocketTransport.GRACE_NANOS);
        all.remove(key);
    }

    /** Withdraws all pieces of a payload. */
    void remove(Mailbox.Key last, int count) {
        for (int left = 0; left < count; left++) {
            remove(last.piece(left));
        }
    }

    /** Withdraws all. */
    void clear() {
        for (Mailbox.Key key : all.keySet().toArray(Mailbox.Key[]::new)) {
            remove(key);
        }
    }
}
