package castalia.workers.exchange.socket;

import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.workers.exchange.DataPlane.Parcel;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.socket.FramePool.Lease;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/** Frames for a learner. When it is full, their connections are not read. */
final class Inbox implements AutoCloseable {

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private final Deque<Frame> frames = new ArrayDeque<>();
    private final FramePool pool;
    private Fence raised = Fence.NONE;
    private boolean closed;

    Inbox(long mostBytes) {
        this.pool = new FramePool(mostBytes);
    }

    private final class Frame implements Parcel {

        private final Incarnation from;
        private final Fence fence;
        private final FrameTag tag;
        private final Lease lease;
        private final AtomicBoolean returned = new AtomicBoolean();

        private Frame(Incarnation from, Fence fence, FrameTag tag, Lease lease) {
            this.from = from;
            this.fence = fence;
            this.tag = tag;
            this.lease = lease;
        }

        @Override
        public Fence fence() {
            return fence;
        }

        @Override
        public Incarnation from() {
            return from;
        }

        @Override
        public FrameTag tag() {
            return tag;
        }

        @Override
        public MemorySegment payload() {
            if (returned.get()) {
                throw new IllegalStateException("payload of a closed parcel: " + tag);
            }
            return lease.segment();
        }

        @Override
        public void close() {
            if (returned.compareAndSet(false, true)) {
                giveBack(lease);
            }
        }
    }

    /**
     * Waits for room for a frame.
     *
     * @return null if the frame's generation is over
     */
    @Nullable Lease room(Fence fence, int length) throws InterruptedException {
        lock.lockInterruptibly();
        try {
            while (true) {
                if (closed || raised.newerThan(fence)) {
                    return null;
                }
                Lease lease = pool.take(length);
                if (lease != null) {
                    return lease;
                }
                changed.await();
            }
        } finally {
            lock.unlock();
        }
    }

    /** Gives unused room back. */
    void giveBack(Lease lease) {
        lease.release();
        lock.lock();
        try {
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /** Appends a frame that is whole and intact; false if its generation is over. */
    boolean add(Incarnation from, Fence fence, FrameTag tag, Lease lease) {
        lock.lock();
        try {
            if (!closed && !raised.newerThan(fence)) {
                frames.add(new Frame(from, fence, tag, lease));
                changed.signalAll();
                return true;
            }
        } finally {
            lock.unlock();
        }
        giveBack(lease);
        return false;
    }

    @Nullable Parcel poll(Duration wait) {
        long end = System.nanoTime() + wait.toNanos();
        lock.lock();
        try {
            while (frames.isEmpty()) {
                long left = end - System.nanoTime();
                if (left <= 0 || closed) {
                    return null;
                }
                changed.awaitNanos(left);
            }
            return frames.remove();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            return null;
        } finally {
            lock.unlock();
        }
    }

    Fence raised() {
        lock.lock();
        try {
            return raised;
        } finally {
            lock.unlock();
        }
    }

    /** Drops frames of older generations. */
    void raise(Fence fence) {
        lock.lock();
        try {
            raised = fence;
            frames.removeIf(frame -> {
                boolean over = fence.newerThan(frame.fence);
                if (over) {
                    frame.close();
                }
                return over;
            });
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void close() {
        lock.lock();
        try {
            closed = true;
            frames.forEach(Frame::close);
            frames.clear();
            changed.signalAll();
        } finally {
            lock.unlock();
        }
        pool.close();
    }
}
