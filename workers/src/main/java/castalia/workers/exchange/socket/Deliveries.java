package castalia.workers.exchange.socket;

import castalia.workers.exchange.socket.Place.Room;
import java.util.HashMap;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/** The deliveries of a mailbox, which guards them. */
final class Deliveries {

    private final Map<PieceKey, Delivery> all = new HashMap<>(); // by the last piece of each payload
    private @Nullable Delivery telling;
    private @Nullable Delivery awaited;

    void begin(Delivery delivery) {
        for (PieceKey last : delivery.last()) {
            if (all.putIfAbsent(last, delivery) != null) {
                throw new IllegalStateException("two receivers of " + last.tag());
            }
        }
    }

    void end(Delivery delivery) {
        for (PieceKey last : delivery.last()) {
            all.remove(last, delivery);
        }
    }

    /** The delivery of a payload, by its last piece. */
    @Nullable Delivery of(PieceKey last) {
        return all.get(last);
    }

    boolean goesOn(Delivery delivery) {
        return of(delivery.last().getFirst()) == delivery;
    }

    /** The delivery of which pieces are told just now. */
    boolean isTelling(Delivery delivery) {
        return telling == delivery;
    }

    boolean isTelling() {
        return telling != null;
    }

    /** The delivery that a rank waits for, or null. */
    @Nullable Delivery awaited() {
        return awaited;
    }

    void await(@Nullable Delivery delivery) {
        awaited = delivery;
    }

    /** Whether the next piece of all payloads of a delivery is here. */
    boolean ready(Delivery delivery, Map<PieceKey, Room> rooms) {
        return goesOn(delivery) && !delivery.done() && missing(delivery, rooms) < 0;
    }

    /** The first payload whose next piece is not here, or -1. */
    static int missing(Delivery delivery, Map<PieceKey, Room> rooms) {
        for (int i = 0; i < delivery.last().size(); i++) {
            Room room = rooms.get(delivery.next(i));
            if (room == null || !room.ready) {
                return i;
            }
        }
        return -1;
    }

    /**
     * Whether a piece is to wait until those before it were told. Not while another payload has not begun:
     * its sender is late, and this one's may as well be done before it comes.
     */
    boolean isAhead(PieceKey piece, Map<PieceKey, Room> rooms) {
        Delivery delivery = of(piece.piece(0));
        if (delivery == null || !delivery.isInStep() || delivery.done() || !delivery.isAfterNext(piece)) {
            return false;
        }
        boolean begun = delivery.hasBegun();
        for (int i = 0; !begun && i < delivery.last().size(); i++) {
            if (!rooms.containsKey(delivery.next(i))) {
                return false;
            }
        }
        return true;
    }

    /** Takes the pieces of a delivery that are to be told now; they are ready. */
    void take(Delivery delivery, Map<PieceKey, Room> rooms) {
        Room[] taken = delivery.pieces();
        for (int i = 0; i < taken.length; i++) {
            taken[i] = Objects.requireNonNull(rooms.remove(delivery.next(i)));
        }
        telling = delivery;
    }

    void told() {
        telling = null;
    }
}
