package castalia.deploy.train;

import castalia.deploy.fetch.Fetcher;
import java.io.PrintWriter;
import java.util.Locale;

/** A line with how much of a download is there. */
public final class FetchProgressLine implements Fetcher.Progress, AutoCloseable {
    private static final long FIRST_NANOS = 1_000_000_000L;
    private static final long NEXT_NANOS = 200_000_000L;

    private final ProgressLine line;
    private final long startNanos = System.nanoTime();
    private long nextNanos = startNanos + FIRST_NANOS;
    private long firstBytes = -1;

    public FetchProgressLine(PrintWriter out, boolean terminal) {
        this.line = new ProgressLine(out, terminal);
    }

    @Override
    public synchronized void show(int filesDone, int files, long bytesDone, long bytes) {
        long now = System.nanoTime();
        if (firstBytes < 0) {
            firstBytes = bytesDone;
        }
        if (now < nextNanos) {
            return;
        }
        nextNanos = now + NEXT_NANOS;
        double rate = (bytesDone - firstBytes) / ((now - startNanos) * 1e-9);
        line.show(String.format(Locale.ROOT, "%d of %d files, %,d of %,d MB, %.1f MB/s%s",
                filesDone, files, bytesDone / 1_000_000, bytes / 1_000_000, rate * 1e-6,
                rate > 0
                        ? String.format(Locale.ROOT, ", %,.0f s left", (bytes - bytesDone) / rate)
                        : ""));
    }

    /** Leaves the last line as it is; what is printed next begins below. */
    public synchronized void end() {
        line.end();
    }

    @Override
    public void close() {
        end();
    }
}
