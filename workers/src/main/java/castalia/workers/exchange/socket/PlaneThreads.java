package castalia.workers.exchange.socket;

import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/** The threads of a plane: daemons, joined when it closes. */
final class PlaneThreads implements AutoCloseable {

    private static final long END_MILLIS = 5000;

    private final String prefix;
    private final Set<Thread> running = ConcurrentHashMap.newKeySet();
    private final ScheduledThreadPoolExecutor timer;

    PlaneThreads(String prefix) {
        this.prefix = prefix;
        this.timer = new ScheduledThreadPoolExecutor(
                1, Thread.ofPlatform().daemon().name(prefix + "timer").factory());
        timer.setRemoveOnCancelPolicy(true);
        timer.setExecuteExistingDelayedTasksAfterShutdownPolicy(false);
    }

    void start(String name, Runnable body) {
        Thread thread = Thread.ofPlatform().daemon().name(prefix + name).unstarted(() -> {
            try {
                body.run();
            } finally {
                running.remove(Thread.currentThread());
            }
        });
        running.add(thread);
        thread.start();
    }

    /** Runs a short task later, on the one thread for that; never after {@link #close}. */
    Future<?> later(long nanos, Runnable task) {
        try {
            return timer.schedule(task, nanos, TimeUnit.NANOSECONDS);
        } catch (RejectedExecutionException e) {
            return CompletableFuture.completedFuture(null);
        }
    }

    /** Waits for threads whose channels are closed already. */
    @Override
    public void close() {
        timer.shutdownNow();
        long end = System.nanoTime() + TimeUnit.MILLISECONDS.toNanos(END_MILLIS);
        for (Thread thread : List.copyOf(running)) {
            long left = TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime());
            if (thread != Thread.currentThread() && left > 0) {
                try {
                    thread.join(left);
                } catch (InterruptedException e) {
                    Thread.currentThread().interrupt();
                    return;
                }
            }
        }
    }
}
