package castalia.workers.exchange.socket;

import java.util.Arrays;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/** Payloads under way to each peer, whose memory is still read. */
final class Receipts {

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private final int[] outstanding;
    private boolean over;

    Receipts(int peers) {
        this.outstanding = new int[peers];
    }

    /** A payload is about to be read. */
    void begin(int to) {
        lock.lock();
        try {
            outstanding[to]++;
        } finally {
            lock.unlock();
        }
    }

    /** It is read no more. */
    void end(int to) {
        lock.lock();
        try {
            outstanding[to]--;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /** Ends every {@link #await(int, long)}. */
    void abandon() {
        lock.lock();
        try {
            over = true;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /** Waits for those to one peer and says whether the wait is over. */
    boolean await(int to, long nanos) throws InterruptedException {
        long left = nanos;
        lock.lockInterruptibly();
        try {
            while (outstanding[to] > 0 && !over) {
                if (left <= 0) {
                    return false;
                }
                left = changed.awaitNanos(left);
            }
            return true;
        } finally {
            lock.unlock();
        }
    }

    /** Waits for all, whether or not it is interrupted; says whether none is left. */
    boolean awaitAll(long nanos) {
        boolean interrupted = false;
        long end = System.nanoTime() + nanos;
        lock.lock();
        try {
            while (Arrays.stream(outstanding).anyMatch(n -> n > 0)) {
                long left = end - System.nanoTime();
                if (left <= 0) {
                    return false;
                }
                try {
                    changed.awaitNanos(left);
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
            return true;
        } finally {
            lock.unlock();
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }
}
