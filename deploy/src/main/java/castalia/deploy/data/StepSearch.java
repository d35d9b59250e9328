package castalia.deploy.data;

import castalia.workers.data.BatchSource;
import castalia.workers.data.DataProgress;
import castalia.workers.data.SampleSearch;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Consumer;
import java.util.function.Supplier;

/** Looks through the rows of steps, several steps at once; finds come in the order of steps. */
public final class StepSearch {
    private static final int STEPS_AT_ONCE = 4;

    private StepSearch() {}

    /**
     * Where something was found.
     *
     * @param index dataset index
     * @param token position in the row, 0 to S, of the token in which it begins
     */
    public record Find(long step, int row, long index, int token) {}

    /**
     * Reads steps [first, end).
     *
     * @param search makes one search for each thread
     * @param most finds after which to stop
     * @return finds told
     */
    public static long run(BatchSource source, long first, long end,
            Supplier<SampleSearch> search, int threads, long most, Consumer<Find> found,
            DataProgress progress) {
        long told = 0;
        ExecutorService pool = Executors.newFixedThreadPool(
                threads, Thread.ofPlatform().daemon().name("data-find-", 0).factory());
        try {
            List<Future<List<Find>>> ahead = new ArrayList<>();
            long next = first;
            for (long step = first; step < end; step++) {
                for (; next < end && next < step + (long) STEPS_AT_ONCE * threads; next++) {
                    long one = next;
                    ahead.add(pool.submit(() -> step(source, one, search.get(), most)));
                }
                for (Find find : ahead.removeFirst().get()) {
                    if (told == most) {
                        return told;
                    }
                    found.accept(find);
                    told++;
                }
                progress.at(step + 1 - first, end - first);
            }
            return told;
        } catch (ExecutionException e) {
            if (e.getCause() instanceof RuntimeException failure) {
                throw failure;
            }
            throw new IllegalStateException(e.getCause());
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new IllegalStateException("interrupted", e);
        } finally {
            pool.shutdownNow();
        }
    }

    private static List<Find> step(
            BatchSource source, long step, SampleSearch search, long most) {
        List<Find> finds = new ArrayList<>();
        int rows = source.shape().globalBatch();
        int[] tokens = new int[source.shape().sequenceLength() + 1];
        try (StepRows reader = new StepRows(source)) {
            for (int row = 0; row < rows && finds.size() < most; row++) {
                int at = row;
                reader.read(step, row, tokens);
                search.in(tokens, token ->
                        finds.add(new Find(step, at, step * rows + at, token)));
            }
        }
        return finds;
    }
}
