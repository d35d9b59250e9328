package castalia.checkpoints;

import java.io.IOException;
import java.io.InterruptedIOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;

/** A range of indices shared between a few threads of their own. */
final class Parallel {

    private Parallel() {}

    /** Hands out indices until none are left. */
    static final class Indices {

        private final AtomicInteger next = new AtomicInteger();
        private final int count;

        private Indices(int count) {
            this.count = count;
        }

        /** The next index, -1 at the end. */
        int next() {
            int index = next.getAndUpdate(i -> Math.min(i + 1, count));
            return index < count ? index : -1;
        }

        private void end() {
            next.set(count);
        }
    }

    /** Work of one thread. */
    @FunctionalInterface
    interface Work {
        void on(Indices indices) throws IOException;
    }

    /** Runs the work on each thread and waits; the first failure ends all and is thrown. */
    static void run(int threads, int count, Work work) throws IOException {
        Indices indices = new Indices(count);
        int used = Math.clamp(threads, 1, Math.max(1, count));
        if (used == 1) {
            work.on(indices);
            return;
        }
        try (ExecutorService executor = Executors.newFixedThreadPool(used)) {
            List<Future<?>> futures = new ArrayList<>();
            for (int i = 0; i < used; i++) {
                futures.add(executor.submit(() -> {
                    try {
                        work.on(indices);
                    } finally {
                        indices.end();
                    }
                    return null;
                }));
            }
            for (Future<?> future : futures) {
                await(future);
            }
        }
    }

    private static void await(Future<?> future) throws IOException {
        try {
            future.get();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw (IOException) new InterruptedIOException("interrupted").initCause(e);
        } catch (ExecutionException e) {
            switch (e.getCause()) {
                case IOException io -> throw io;
                case RuntimeException runtime -> throw runtime;
                case Error error -> throw error;
                case null, default -> throw new IllegalStateException(e);
            }
        }
    }
}
