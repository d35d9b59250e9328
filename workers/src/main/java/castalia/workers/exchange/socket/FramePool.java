package castalia.workers.exchange.socket;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Off-heap buffers in powers of two, whose sum is bounded, the kept free ones included. */
final class FramePool implements AutoCloseable {

    private static final int SMALLEST = 12;

    private final long most;
    private final List<Deque<Lease>> free = new ArrayList<>();
    private long used;
    private long kept;
    private boolean closed;

    /** A bound on the sum of buffers. */
    FramePool(long most) {
        this.most = most;
        for (int i = SMALLEST; i < Integer.SIZE; i++) {
            free.add(new ArrayDeque<>());
        }
    }

    /** Bytes of the buffer for a payload. */
    static long bufferBytes(long payload) {
        return 1L << sizeClass(payload);
    }

    private static int sizeClass(long payload) {
        return payload <= 1L << SMALLEST
                ? SMALLEST : Long.SIZE - Long.numberOfLeadingZeros(payload - 1);
    }

    /** A buffer of this pool, until it is released. */
    final class Lease {

        private final int sizeClass;
        private final Arena arena = Arena.ofShared();
        private final MemorySegment whole;
        private long length;

        private Lease(int sizeClass) {
            this.sizeClass = sizeClass;
            this.whole = arena.allocate(1L << sizeClass, 64);
        }

        /** As many bytes as were asked for. */
        MemorySegment segment() {
            return whole.asSlice(0, length);
        }

        /** Gives the buffer back; once. */
        void release() {
            giveBack(this);
        }
    }

    /** A buffer, or null if there is no room. */
    synchronized @Nullable Lease take(long length) {
        int sizeClass = sizeClass(length);
        long bytes = 1L << sizeClass;
        if (closed || used + bytes > most) {
            return null;
        }
        Lease lease = free.get(sizeClass - SMALLEST).poll();
        if (lease == null) {
            for (int i = 0; used + kept + bytes > most && i < free.size(); i++) {
                discard(free.get(i), used + kept + bytes - most);
            }
            lease = new Lease(sizeClass);
        } else {
            kept -= bytes;
        }
        used += bytes;
        lease.length = length;
        return lease;
    }

    private void discard(Deque<Lease> leases, long excess) {
        for (long left = excess; left > 0 && !leases.isEmpty(); ) {
            Lease lease = leases.remove();
            lease.arena.close();
            left -= 1L << lease.sizeClass;
            kept -= 1L << lease.sizeClass;
        }
    }

    private synchronized void giveBack(Lease lease) {
        long bytes = 1L << lease.sizeClass;
        used -= bytes;
        if (closed) {
            lease.arena.close();
        } else {
            free.get(lease.sizeClass - SMALLEST).push(lease);
            kept += bytes;
        }
    }

    /** Bytes of buffers in use. */
    synchronized long used() {
        return used;
    }

    /** Frees what is not in use now, and the rest when it is released. */
    @Override
    public synchronized void close() {
        closed = true;
        free.forEach(leases -> discard(leases, Long.MAX_VALUE));
    }
}
