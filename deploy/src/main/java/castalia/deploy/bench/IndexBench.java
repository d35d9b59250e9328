package castalia.deploy.bench;

import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.workers.data.DataProgress;
import castalia.workers.data.OrderPlan;
import castalia.workers.data.OrderStore;
import castalia.workers.data.SampleOrder;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.LongUnaryOperator;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** Times the making of a sample order over made-up documents, and numpy's same shuffles. */
public final class IndexBench {
    private static final int MEAN_TOKENS = 1530; // about that of the deduplicated Pile
    private static final int EPOCHS = 2;

    /** numpy's two shuffles of the same arrays; prints seconds and a few entries of each. */
    private static final String NUMPY = """
            import sys, time, numpy
            documents, epochs, samples, seed = map(int, sys.argv[1:5])
            random = numpy.random.RandomState(seed)
            a = numpy.tile(numpy.arange(documents, dtype=numpy.int32), epochs)
            start = time.perf_counter(); random.shuffle(a); first = time.perf_counter() - start
            places = numpy.linspace(0, len(a) - 1, 1000).astype(numpy.int64)
            one = int((a[places].astype(numpy.int64) * numpy.arange(1, 1001)).sum()); del a
            b = numpy.arange(samples, dtype=numpy.uint32)
            start = time.perf_counter(); random.shuffle(b); second = time.perf_counter() - start
            places = numpy.linspace(0, len(b) - 1, 1000).astype(numpy.int64)
            two = int((b[places].astype(numpy.int64) * numpy.arange(1, 1001)).sum())
            print(numpy.__version__, first, second, one, two)
            """;

    private IndexBench() {}

    /**
     * What was measured. Names are those of the JSON output.
     *
     * @param build_s seconds from nothing to the finished file, forced to disk
     * @param reopen_s seconds to open and verify the finished file
     * @param peak_bytes most resident memory of the process while it was built
     * @param idle_bytes resident memory of the process before
     * @param index_bytes the three arrays
     * @param ratio peak by index
     * @param numpy the peer, if one was asked for
     */
    public record Result(long samples, long documents, long epochs, double build_s,
            double reopen_s, long peak_bytes, long idle_bytes, long index_bytes, double ratio,
            @Nullable Numpy numpy) {}

    /**
     * The peer.
     *
     * @param same whether a thousand entries of each array agree with ours
     */
    public record Numpy(String version, double documents_s, double samples_s, boolean same) {}

    /**
     * Builds an order of at least {@code samples} samples.
     *
     * @param folder where its file may lie; emptied afterwards
     * @param python a Python with numpy to compare with, if any
     * @param notes takes a line where something does not work
     */
    public static Result run(long samples, int sequenceLength, long seed, Path folder,
            Optional<String> python, DataProgress progress, Consumer<String> notes) {
        // A fiftieth more, so that the epochs suffice whatever the draws come to.
        long documents = 2 + Math.multiplyExact(samples, (long) sequenceLength)
                / MEAN_TOKENS / EPOCHS / 50 * 51;
        SyntheticSizes sizes = new SyntheticSizes(documents, MEAN_TOKENS);
        SampleOrder.Request request =
                SampleOrder.Request.all(sizes, sequenceLength, samples, seed);
        OrderPlan plan = OrderPlan.of(sizes, request);
        Path own = folder.resolve("bench-index-" + ProcessHandle.current().pid());
        try {
            long idle = memory("VmRSS:");
            resetPeak();
            OrderStore store = OrderStore.alwaysIn(own, progress, notes);
            long start = System.nanoTime();
            store.build(sizes, request);
            double built = (System.nanoTime() - start) * 1e-9;
            long peak = memory("VmHWM:");
            start = System.nanoTime();
            SampleOrder order = store.order(sizes, request);
            double reopened = (System.nanoTime() - start) * 1e-9;
            long bytes = plan.bytes(request);
            return new Result(order.samples(), documents, plan.epochs(), built, reopened, peak,
                    idle, bytes, (double) peak / (double) bytes,
                    python.isEmpty() ? null : numpy(python.get(), documents, order));
        } finally {
            remove(own);
        }
    }

    private static Numpy numpy(String python, long documents, SampleOrder order) {
        Process process = start(python, documents, order);
        try {
            process.getOutputStream().close();
            if (!process.waitFor(1, TimeUnit.HOURS)) { // what it says fits in the pipe
                throw new CastaliaException(
                        ErrorCode.UNSUPPORTED, python + " did not end within an hour");
            }
            String text = new String(
                    process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
            List<String> words = List.of(text.split(" ", -1));
            if (process.exitValue() != 0 || words.size() != 5) {
                throw new CastaliaException(ErrorCode.UNSUPPORTED, python
                        + " with numpy did not work: " + text.lines().reduce((_, b) -> b).orElse(""));
            }
            long list = mark(order.documentPositions(), order::documentAt);
            long shuffle = mark(order.samples(), order::shuffled);
            boolean same = Long.parseLong(words.get(3)) == list
                    && Long.parseLong(words.get(4)) == shuffle;
            return new Numpy(words.get(0), Double.parseDouble(words.get(1)),
                    Double.parseDouble(words.get(2)), same);
        } catch (IOException e) {
            throw new CastaliaException(
                    ErrorCode.UNSUPPORTED, "cannot talk to " + python + ": " + e.getMessage(), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new CastaliaException(ErrorCode.UNSUPPORTED, "interrupted", e);
        } finally {
            process.destroyForcibly();
        }
    }

    private static Process start(String python, long documents, SampleOrder order) {
        try {
            return new ProcessBuilder(python, "-c", NUMPY, Long.toString(documents),
                    Long.toString(order.epochs()), Long.toString(order.samples()),
                    Long.toString(order.request().seed()))
                    .redirectErrorStream(true).start();
        } catch (IOException e) {
            throw new CastaliaException(ErrorCode.UNSUPPORTED, "cannot start " + python + ": "
                    + e.getMessage() + "; give --numpy a Python that has numpy", e);
        }
    }

    /** A weighted sum of a thousand entries, the same that the Python code computes. */
    private static long mark(long length, LongUnaryOperator value) {
        double step = (double) (length - 1) / 999;
        long sum = 0;
        for (int i = 0; i < 1000; i++) {
            long place = i == 999 ? length - 1 : (long) (i * step);
            sum += value.applyAsLong(place) * (i + 1);
        }
        return sum;
    }

    private static void resetPeak() {
        try {
            Files.writeString(Path.of("/proc/self/clear_refs"), "5");
        } catch (IOException _) {
            // The peak then includes what came before.
        }
    }

    private static long memory(String name) {
        try (Stream<String> lines = Files.lines(Path.of("/proc/self/status"))) {
            return lines.filter(line -> line.startsWith(name)).findFirst()
                    .map(line -> Long.parseLong(line.replaceAll("\\D", "")) * 1024).orElse(0L);
        } catch (IOException _) {
            return 0;
        }
    }

    private static void remove(Path folder) {
        if (!Files.exists(folder)) {
            return;
        }
        try (Stream<Path> all = Files.walk(folder)) {
            for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        } catch (IOException e) {
            throw new CastaliaException(
                    ErrorCode.STORAGE_FAILED, "cannot remove " + folder + ": " + e, e);
        }
    }
}
