package castalia.kernels.cpu;

import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import java.util.concurrent.locks.LockSupport;
import org.jspecify.annotations.Nullable;

/**
 * Threads that take the blocks of one task at a time, the caller among them. A call allocates
 * nothing. Which thread takes which block is left to chance, so tasks must not let it matter.
 */
final class WorkerPool implements AutoCloseable {

    /** Looks at the signal this often before a thread is parked: some tens of microseconds. */
    private static final int SPINS = 2000;

    private static final long SHORT_WAIT_NANOS = 20_000;

    private static final int PARTICIPANT_BITS = 16;

    /** Work cut into blocks. */
    abstract static class Task {
        /** Computes one block on thread {@code thread}; thread 0 is the caller's. */
        abstract void block(int block, int thread);
    }

    private static final class Idle extends Task {
        @Override
        void block(int block, int thread) {
            throw new IllegalStateException("no task");
        }
    }

    private final class Worker extends Thread {
        private final int index;
        private volatile boolean parked;

        Worker(String name, int index) {
            super(name);
            this.index = index;
            setDaemon(true);
        }

        @Override
        public void run() {
            long seen = 0;
            while (true) {
                seen = await(seen);
                if (closed) {
                    return;
                }
                if (index <= (int) (seen & ((1 << PARTICIPANT_BITS) - 1))) {
                    takeBlocks(index);
                    if (busy.decrementAndGet() == 0 && callerParked) {
                        LockSupport.unpark(caller);
                    }
                }
            }
        }

        private long await(long seen) {
            for (int spin = 0; spin < SPINS; spin++) {
                long now = signal;
                if (now != seen) {
                    return now;
                }
                Thread.onSpinWait();
            }
            parked = true;
            long now = signal;
            while (now == seen) {
                LockSupport.park(WorkerPool.this);
                now = signal;
            }
            parked = false;
            return now;
        }
    }

    private final Worker[] workers;
    private final AtomicInteger next = new AtomicInteger();
    private final AtomicInteger busy = new AtomicInteger();
    private final AtomicReference<@Nullable Throwable> failure = new AtomicReference<>();
    private Task task = new Idle();
    private int blocks;
    private @Nullable Thread caller;
    private volatile boolean callerParked;
    private volatile boolean closed;

    /** Number of the run in the upper bits, workers that take part in the lower ones. */
    private volatile long signal;

    WorkerPool(int threads) {
        workers = new Worker[threads - 1];
        for (int i = 0; i < workers.length; i++) {
            workers[i] = new Worker("castalia-cpu-" + (i + 1), i + 1);
        }
        for (Worker worker : workers) {
            worker.start();
        }
    }

    int threads() {
        return workers.length + 1;
    }

    /** Runs every block of the task; a failure of any thread is thrown here, after all stopped. */
    void run(Task work, int count) {
        int participants = Math.min(workers.length, count - 1);
        if (participants <= 0) {
            for (int block = 0; block < count; block++) {
                work.block(block, 0);
            }
            return;
        }
        start(work, count, participants);
        takeBlocks(0);
        finish();
    }

    /** Runs block {@code i} on thread {@code i}, for every thread of the pool. */
    void runOnEach(Task work) {
        EachThread each = new EachThread(work, threads());
        run(each, threads());
    }

    private static final class EachThread extends Task {
        private final Task work;
        private final AtomicInteger arrived;
        private final int threads;

        EachThread(Task work, int threads) {
            this.work = work;
            this.threads = threads;
            arrived = new AtomicInteger();
        }

        @Override
        void block(int block, int thread) {
            // No thread can take a second block before every thread has one.
            arrived.incrementAndGet();
            while (arrived.get() < threads) {
                LockSupport.parkNanos(SHORT_WAIT_NANOS);
            }
            work.block(thread, thread);
        }
    }

    private void start(Task work, int count, int participants) {
        if (closed) {
            throw new IllegalStateException("the CPU device is closed");
        }
        task = work;
        blocks = count;
        caller = Thread.currentThread();
        next.set(0);
        busy.set(participants);
        signal = (((signal >>> PARTICIPANT_BITS) + 1) << PARTICIPANT_BITS) | participants;
        for (int i = 0; i < participants; i++) {
            if (workers[i].parked) {
                LockSupport.unpark(workers[i]);
            }
        }
    }

    private void takeBlocks(int thread) {
        Task work = task;
        int count = blocks;
        try {
            for (int block = next.getAndIncrement(); block < count;
                    block = next.getAndIncrement()) {
                work.block(block, thread);
            }
        } catch (Throwable problem) {
            failure.compareAndSet(null, problem);
            next.set(count);
        }
    }

    private void finish() {
        for (int spin = 0; spin < SPINS && busy.get() > 0; spin++) {
            Thread.onSpinWait();
        }
        if (busy.get() > 0) {
            callerParked = true;
            while (busy.get() > 0) {
                LockSupport.park(this);
            }
            callerParked = false;
        }
        Throwable problem = failure.getAndSet(null);
        if (problem != null) {
            rethrow(problem);
        }
    }

    private static void rethrow(Throwable problem) {
        switch (problem) {
            case RuntimeException unchecked -> throw unchecked;
            case Error error -> throw error;
            default -> throw new IllegalStateException("a block of a kernel failed", problem);
        }
    }

    /** Ends the threads; no run may be in progress. */
    @Override
    public void close() {
        closed = true;
        signal = (((signal >>> PARTICIPANT_BITS) + 1) << PARTICIPANT_BITS);
        boolean interrupted = false;
        for (Worker worker : workers) {
            LockSupport.unpark(worker);
        }
        for (Worker worker : workers) {
            while (worker.isAlive()) {
                try {
                    worker.join();
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        }
        if (interrupted) {
            Thread.currentThread().interrupt();
        }
    }
}
