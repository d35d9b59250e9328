package castalia.workers.exchange.socket;

import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.socket.FramePool.Lease;
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
 * generation is over. Where the pool has no room a reader waits, and the connection's own flow control
 * holds the sender back; a frame that somebody waits for needs no room, so that ranks which take a
 * sender's frames in the order in which they were sent are never held up.
 */
final class Mailbox implements AutoCloseable {

    private final ReentrantLock lock = new ReentrantLock();
    /** Something that a rank awaits arrived, or its generation is over. */
    private final Condition arrival = lock.newCondition();
    /** A reader may find a place now. */
    private final Condition space = lock.newCondition();
    /** A reader is done with a destination. */
    private final Condition letGo = lock.newCondition();
    private final Set<Key> awaited = new HashSet<>();
    private final Map<Key, Wanted> waiting = new HashMap<>();
    private final Map<Key, Room> rooms = new HashMap<>();
    private final FramePool pool;
    private volatile Fence raised = Fence.NONE;
    private volatile boolean closed;

    Mailbox(long mostBytes) {
        this.pool = new FramePool(mostBytes);
    }

    /**
     * Names a frame among those of all senders and generations.
     *
     * @param left pieces of the same payload that come after it
     */
    record Key(Incarnation from, long term, FrameTag tag, int left) {

        /** Another piece of the same payload. */
        Key piece(int piecesLeft) {
            return left == piecesLeft ? this : new Key(from, term, tag, piecesLeft);
        }

        Fence fence() {
            return new Fence(term, tag.generation());
        }
    }

    /**
     * Where a frame is wanted.
     *
     * @param lastResort whether a buffer is preferred, which is more likely in the cache
     */
    private record Wanted(MemorySegment into, boolean lastResort) {

        boolean fits(int length) {
            return into.isNative() && into.byteSize() == length;
        }
    }

    /** What a reader is to do with a payload. */
    sealed interface Place {}

    /** To skip it: the generation is over. */
    record Over(Fence newest) implements Place {}

    /** To skip it: there is such a frame already, or nobody asked for it. */
    record Duplicate() implements Place {}

    /** It is waited for with memory that it cannot be read into, and there is no room for it. */
    record Full() implements Place {}

    /** It was asked for, but has another length. */
    record Misfit() implements Place {}

    /** Where to read it. Then it is to be reported as {@link #arrived} or {@link #failed}. */
    static final class Room implements Place {

        private final Key key;
        private final MemorySegment segment;
        private final @Nullable Lease lease;
        private final Runnable cut;
        private boolean ready;
        private boolean dropped;

        private Room(Key key, MemorySegment segment, @Nullable Lease lease, Runnable cut) {
            this.key = key;
            this.segment = segment;
            this.lease = lease;
            this.cut = cut;
        }

        MemorySegment segment() {
            return segment;
        }
    }

    /**
     * Finds a place for a frame, at the latest when its generation is over.
     *
     * @param answer whether there is a place only where somebody asked for it
     * @param cut ends the connection the frame comes from
     */
    Place place(Key key, int length, boolean answer, Runnable cut) {
        lock.lock();
        try {
            while (true) {
                if (closed || raised.newerThan(key.fence())) {
                    return new Over(raised);
                }
                if (rooms.containsKey(key)) {
                    return new Duplicate();
                }
                Wanted wanted = waiting.get(key);
                if (answer && (wanted == null || !wanted.fits(length))) {
                    return wanted == null ? new Duplicate() : new Misfit();
                }
                Room room = room(key, length, cut, wanted);
                if (room != null) {
                    rooms.put(key, room);
                    return room;
                }
                if (wanted != null) {
                    return new Full();
                }
                space.awaitUninterruptibly();
            }
        } finally {
            lock.unlock();
        }
    }

    private @Nullable Room room(Key key, int length, Runnable cut, @Nullable Wanted wanted) {
        if (wanted != null && wanted.fits(length) && !wanted.lastResort) {
            return new Room(key, wanted.into, null, cut);
        }
        Lease lease = pool.take(length);
        if (lease != null) {
            return new Room(key, lease.segment(), lease, cut);
        }
        return wanted != null && wanted.fits(length)
                ? new Room(key, wanted.into, null, cut) : null;
    }

    /** The payload is whole and intact. */
    void arrived(Room room) {
        lock.lock();
        try {
            room.ready = true;
            if (room.dropped) {
                discard(room);
            } else if (awaited.contains(room.key)) {
                arrival.signalAll();
            }
        } finally {
            lock.unlock();
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
            space.signalAll();
        } else {
            letGo.signalAll();
        }
    }

    /**
     * Says where a frame is wanted, now or later. To be followed by {@link #withdraw}.
     *
     * @param lastResort whether it is to be read there only where no buffer is free
     */
    void expect(Key key, MemorySegment into, boolean lastResort) {
        lock.lock();
        try {
            if (waiting.putIfAbsent(key, new Wanted(into, lastResort)) != null) {
                throw new IllegalStateException("two receivers of " + key.tag());
            }
            space.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /**
     * Waits for a frame.
     *
     * @return whether the wait is over: the frame is there, or its generation is over
     */
    boolean await(Key key, long nanos) throws InterruptedException {
        long end = System.nanoTime() + nanos;
        lock.lockInterruptibly();
        awaited.add(key);
        try {
            while (true) {
                Room room = rooms.get(key);
                if (closed || raised.newerThan(key.fence()) || (room != null && room.ready)) {
                    return true;
                }
                long left = end - System.nanoTime();
                if (left <= 0) {
                    return false;
                }
                arrival.awaitNanos(left);
            }
        } finally {
            awaited.remove(key);
            lock.unlock();
        }
    }

    /**
     * Takes a frame that was awaited.
     *
     * @param into where it was expected
     * @return where it lies: there, or in a buffer until that is released; null if the generation
     *     ended in the meantime
     * @throws IllegalStateException if it has another size than {@code into}
     */
    @Nullable Taken take(Key key, MemorySegment into) {
        Room room;
        lock.lock();
        try {
            room = rooms.get(key);
            if (room == null || !room.ready) {
                return null;
            }
            rooms.remove(key);
        } finally {
            lock.unlock();
        }
        Taken taken = new Taken(room.segment, room.lease);
        if (room.segment.byteSize() != into.byteSize()) {
            taken.release();
            throw new IllegalStateException(key.tag() + " from " + key.from() + " has "
                    + room.segment.byteSize() + " bytes instead of " + into.byteSize());
        }
        return taken;
    }

    /** A frame that is nobody else's any more. */
    final class Taken {

        private final MemorySegment segment;
        private final @Nullable Lease lease;

        private Taken(MemorySegment segment, @Nullable Lease lease) {
            this.segment = segment;
            this.lease = lease;
        }

        MemorySegment segment() {
            return segment;
        }

        /** Once, when its memory is read no more. */
        void release() {
            if (lease != null) {
                lease.release();
                roomAgain();
            }
        }
    }

    private void roomAgain() {
        lock.lock();
        try {
            space.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /**
     * Ends a wait. If a reader is at work in the destination, it may finish within {@code grace};
     * then its connection is ended. Nothing is written to the destination afterwards.
     */
    void withdraw(Key key, long graceNanos) {
        boolean interrupted = false;
        long left = graceNanos;
        lock.lock();
        try {
            waiting.remove(key);
            Room room = rooms.get(key);
            if (room == null || room.lease != null) {
                return;
            }
            room.dropped = true;
            if (room.ready) {
                discard(room);
            }
            boolean cut = false;
            while (rooms.get(key) == room) {
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
        } finally {
            lock.unlock();
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /** Drops frames of older generations and ends the waits for them. */
    void raise(Fence fence) {
        lock.lock();
        try {
            raised = fence;
            for (Room room : rooms.values().toArray(Room[]::new)) {
                if (fence.newerThan(room.key.fence())) {
                    drop(room);
                }
            }
            arrival.signalAll();
            space.signalAll();
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
            space.signalAll();
        } finally {
            lock.unlock();
        }
        pool.close();
    }
}
