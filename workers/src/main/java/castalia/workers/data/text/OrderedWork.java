package castalia.workers.data.text;

import castalia.workers.data.DataException;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Consumer;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Documents read by one thread, worked on by several, and taken in the order in which they were
 * read: what comes out does not depend on the number of threads, and of several faults the first
 * one is reported.
 */
public final class OrderedWork {
    private static final long BYTES_AT_ONCE = DocumentReader.MAXIMUM_DOCUMENT_BYTES;

    private record Running<T>(Future<T> result, long bytes) {}

    private OrderedWork() {}

    /**
     * Works on all documents that are left in a reader. Memory is bounded: a few blocks per thread
     * are under way, and no more than 64 MiB of text beside the block that is being taken.
     *
     * @param work called by the threads, for different blocks at once
     * @param sink called by the calling thread, in order
     * @throws DataException if a document cannot be read, or as the work throws
     */
    public static <T> void run(
            DocumentReader reader,
            int threads,
            Function<DocumentBlock, T> work,
            Consumer<T> sink) {
        if (threads < 1) {
            throw new IllegalArgumentException(threads + " threads");
        }
        Deque<Running<T>> running = new ArrayDeque<>();
        ExecutorService pool = Executors.newFixedThreadPool(threads, task -> {
            Thread thread = new Thread(task, "text");
            thread.setDaemon(true);
            return thread;
        });
        try {
            long bytes = 0;
            while (true) {
                DocumentBlock block = next(reader, running, sink);
                if (block == null) {
                    return;
                }
                while (!running.isEmpty() && (running.size() >= 2 * threads + 2
                        || bytes + block.bytes() > BYTES_AT_ONCE)) {
                    bytes -= running.getFirst().bytes();
                    sink.accept(result(running.removeFirst()));
                }
                bytes += block.bytes();
                running.add(new Running<>(pool.submit(() -> work.apply(block)), block.bytes()));
            }
        } finally {
            pool.shutdownNow();
        }
    }

    /** The next block; at the end, or when it cannot be read, everything before it is taken. */
    private static <T> @Nullable DocumentBlock next(
            DocumentReader reader, Deque<Running<T>> running, Consumer<T> sink) {
        DocumentBlock block = null;
        DataException unreadable = null;
        try {
            block = DocumentBlock.next(reader);
        } catch (DataException e) {
            unreadable = e;
        }
        if (block == null) {
            while (!running.isEmpty()) {
                sink.accept(result(running.removeFirst()));
            }
        }
        if (unreadable != null) {
            throw unreadable;
        }
        return block;
    }

    private static <T> T result(Running<T> one) {
        try {
            return one.result().get();
        } catch (ExecutionException e) {
            switch (e.getCause()) {
                case RuntimeException fault -> throw fault;
                case Error error -> throw error;
                case null, default -> throw new IllegalStateException(e);
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new DataException("the work was interrupted", e);
        }
    }
}
