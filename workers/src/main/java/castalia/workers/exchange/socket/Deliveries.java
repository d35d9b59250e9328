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
