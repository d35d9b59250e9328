package castalia.workers.exchange.socket;

import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.workers.exchange.socket.FramePool.Lease;
import castalia.workers.exchange.socket.Place.Room;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.HashSet;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * Where frames from readers and ranks that wait meet. A frame somebody waits for is read straight
 * into its destination; others into buffers of a bounded pool, until they are taken or their
 * generation is over. Where the pool has no room a connection waits, and the connection's own flow control
 * holds the sender back; a frame that somebody waits for needs no room, so that ranks which take a
 * sender's frames in the order in which they were sent are never held up.
 */
final class Mailbox implements AutoCloseable {

    private final ReentrantLock lock = new ReentrantLock();
    /** A delivery can go on or is done, or its generation is over. */
    private final Condition arrival = lock.newCondition();
    /** A reader is done with a destination. */
    private final Condition letGo = lock.newCondition();
    /** By the last piece of a payload. */
    private final Map<PieceKey, Wanted> waiting = new HashMap<>();
    private final Deliveries deliveries = new Deliveries();
    /** Whom to tell when a frame that waits may find a place. */
    private final Set<Reader> parked = new HashSet<>();
    private final Map<PieceKey, Room> rooms = new HashMap<>();
    /** When a piece of a process last arrived. */
    private final Map<Incarnation, Long> moved = new HashMap<>();

    private final FramePool pool;
    private volatile Fence raised = Fence.NONE;
    private volatile boolean closed;

    Mailbox(long mostBytes) {
        this.pool = new FramePool(mostBytes);
    }

    /**
     * Finds a place for a frame. Of payloads that are told together none is read further ahead of the
     * others than a piece, once all have begun: more would leave the cache before it is told.
     *
     * @param answer whether there is a place only where somebody asked for it
     * @param cut ends the connection the frame comes from
     * @param reader told, once, when there may be a place where it is to wait for one
     */
    Place place(PieceKey key, int length, boolean answer, Runnable cut, Reader reader) {
        lock.lock();
        try {
            if (closed || raised.newerThan(key.fence())) {
                return new Place.Over(raised);
            }
            if (rooms.containsKey(key)) {
                return new Place.Duplicate();
            }
            if (deliveries.isAhead(key, rooms)) {
                parked.add(reader);
                return new Place.Later();
            }
            Wanted wanted = waiting.get(key.piece(0));
            MemorySegment into = wanted == null ? null : wanted.piece(key.left(), length);
            if (answer && into == null) {
                return wanted == null ? new Place.Duplicate() : new Place.Misfit();
            }
            Room room = room(key, length, cut, into, wanted != null && wanted.lastResort());
            if (room != null) {
                rooms.put(key, room);
                return room;
            }
            if (wanted != null) {
                return new Place.Full();
            }
            parked.add(reader);
            return new Place.Later();
        } finally {
            lock.unlock();
        }
    }

    /** There may be a place now for who found none. */
    private void spaced() {
        parked.forEach(Reader::retry);
        parked.clear();
    }

    private @Nullable Room room(PieceKey key, int length, Runnable cut, @Nullable MemorySegment into,
            boolean lastResort) {
        if (into != null && !lastResort) {
            return new Room(key, into, null, cut);
        }
        Lease lease = pool.take(length);
        if (lease != null) {
            return new Room(key, lease.segment(), lease, cut);
        }
        return into == null ? null : new Room(key, into, null, cut);
    }

    /** The payload is whole and intact: whoever waits for it is told of it on this thread. */
    void arrived(Room room) {
        Delivery delivery;
        lock.lock();
        try {
            moved.put(room.key.from(), System.nanoTime());
            room.ready = true;
            if (room.dropped) {
                discard(room);
                return;
            }
            delivery = deliveries.of(room.key.piece(0));
        } finally {
            lock.unlock();
        }
        if (delivery != null) {
            for (Delivery next = next(delivery); next != null; next = next(delivery)) {
                next.tell(this, true);
            }
        }
    }

    /** The payload did not arrive; nobody sees what was read of it. */
    void failed(Room room) {
        lock.lock();
        try {
            discard(room);
        } finally {
            lock.unlock();
        }
    }

    private void discard(Room room) {
        rooms.remove(room.key, room);
        if (room.lease != null) {
            room.lease.release();
            spaced();
        } else {
            letGo.signalAll();
        }
    }

    /**
     * Says where a payload is wanted, now or later. To be followed by {@link #withdraw}.
     *
     * @param last its last piece
     * @param lastResort whether it is to be read there only where no buffer is free
     */
    void expect(PieceKey last, MemorySegment into, boolean lastResort) {
        lock.lock();
        try {
            if (waiting.putIfAbsent(last, new Wanted(into, lastResort)) != null) {
                throw new IllegalStateException("two receivers of " + last.tag());
            }
            spaced();
        } finally {
            lock.unlock();
        }
    }

    /** Has payloads' pieces told from now on. To be followed by {@link #end}. */
    void begin(Delivery delivery) {
        lock.lock();
        try {
            deliveries.begin(delivery);
        } finally {
            lock.unlock();
        }
    }

    /** Ends a delivery: nobody is told anything afterwards. */
    void end(Delivery delivery) {
        lock.lock();
        try {
            deliveries.end(delivery);
            spaced();
            while (deliveries.isTelling(delivery)) {
                letGo.awaitUninterruptibly();
            }
        } finally {
            lock.unlock();
        }
    }

    /**
     * Takes the next pieces of the delivery that a rank waits for, or else of another: who asks tells them.
     *
     * @return null if they are not here, others are being told, or the delivery or generation is over
     */
    @Nullable Delivery next(Delivery delivery) {
        lock.lock();
        try {
            Delivery waited = deliveries.awaited();
            Delivery of = waited != null && ready(waited) ? waited : delivery;
            if (deliveries.isTelling() || !ready(of)) {
                return null;
            }
            deliveries.take(of, rooms);
            return of;
        } finally {
            lock.unlock();
        }
    }

    private boolean ready(Delivery delivery) {
        return !over(delivery.fence()) && deliveries.ready(delivery, rooms);
    }

    /** Pieces of a delivery were told: their memory is read no more. */
    void told(Delivery delivery, @Nullable Throwable failure, long nanos) {
        lock.lock();
        try {
            for (Room room : delivery.pieces()) {
                if (room.lease != null) {
                    room.lease.release();
                }
            }
            delivery.told(failure, nanos);
            spaced();
            deliveries.told();
            Delivery waited = deliveries.awaited();
            if (waited != null && (waited.done() || ready(waited))) {
                arrival.signalAll();
            }
            if (!deliveries.goesOn(delivery)) {
                letGo.signalAll();
            }
        } finally {
            lock.unlock();
        }
    }

    /** Whether nothing of a delivery is left to be told. */
    boolean isDone(Delivery delivery) {
        lock.lock();
        try {
            return delivery.done();
        } finally {
            lock.unlock();
        }
    }

    /** The first payload of a delivery that is not done whose next piece is not here; else the first. */
    int missing(Delivery delivery) {
        lock.lock();
        try {
            return delivery.done() ? 0 : Math.max(0, Deliveries.missing(delivery, rooms));
        } finally {
            lock.unlock();
        }
    }

    /** When a piece of a process last arrived, or {@code begun} if that is later. */
    long movedAt(Incarnation from, long begun) {
        lock.lock();
        try {
            long last = moved.getOrDefault(from, begun);
            return last - begun > 0 ? last : begun;
        } finally {
            lock.unlock();
        }
    }

    /**
     * Waits for a delivery, for a time at most.
     *
     * @return whether the wait is over: it is done, can go on, or its generation is over
     */
    boolean await(Delivery delivery, long nanos) throws InterruptedException {
        long left = nanos;
        lock.lockInterruptibly();
        deliveries.await(delivery);
        try {
            while (true) {
                if (delivery.done() || over(delivery.fence())
                        || (!deliveries.isTelling() && ready(delivery))) {
                    return true;
                }
                if (left <= 0) {
                    return false;
                }
                left = arrival.awaitNanos(left);
            }
        } finally {
            deliveries.await(null);
            lock.unlock();
        }
    }

    /**
     * Ends a wait. If a reader is at work in the destination, it may finish within {@code grace};
     * then its connection is ended. Nothing is written to the destination afterwards.
     *
     * @param last the payload's last piece
     */
    void withdraw(PieceKey last, long graceNanos) {
        lock.lock();
        try {
            Wanted wanted = waiting.remove(last);
            for (int left = 0; wanted != null && left < wanted.pieces(); left++) {
                Room room = rooms.get(last.piece(left));
                if (room != null && room.lease == null) {
                    withdraw(room, graceNanos);
                }
            }
        } finally {
            lock.unlock();
        }
    }

    private void withdraw(Room room, long graceNanos) {
        boolean interrupted = false;
        boolean cut = false;
        long left = graceNanos;
        room.dropped = true;
        if (room.ready) {
            discard(room);
        }
        while (rooms.get(room.key) == room) {
            if (left <= 0 && !cut) {
                cut = true;
                room.cut.run();
            }
            try {
                if (cut) {
                    letGo.await();
                } else {
                    left = letGo.awaitNanos(left);
                }
            } catch (InterruptedException e) {
                interrupted = true;
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }

    /** Drops frames of older generations and ends the waits for them. */
    void raise(Fence fence) {
        lock.lock();
        try {
            raised = fence;
            moved.clear();
            for (Room room : rooms.values().toArray(Room[]::new)) {
                if (fence.newerThan(room.key.fence())) {
                    drop(room);
                }
            }
            arrival.signalAll();
            spaced();
        } finally {
            lock.unlock();
        }
    }

    /** What is read straight into a destination is left to whoever waits there. */
    private void drop(Room room) {
        if (room.lease == null) {
            return;
        }
        if (room.ready) {
            discard(room);
        } else {
            rooms.remove(room.key);
            room.dropped = true;
        }
    }

    /** Bytes of buffers in use. */
    long earlyBytes() {
        return pool.used();
    }

    /** Whether the frame's generation is over. */
    boolean over(Fence fence) {
        return closed || raised.newerThan(fence);
    }

    @Override
    public void close() {
        lock.lock();
        try {
            closed = true;
            for (Room room : rooms.values().toArray(Room[]::new)) {
                drop(room);
            }
            arrival.signalAll();
            spaced();
        } finally {
            lock.unlock();
        }
        pool.close();
    }
}
