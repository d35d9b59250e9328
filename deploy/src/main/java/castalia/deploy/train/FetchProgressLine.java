package castalia.deploy.train;

import castalia.deploy.fetch.Fetcher;
import java.io.PrintWriter;
import java.util.Locale;
import java.util.OptionalDouble;

/** A line with how much of a download is there. */
public final class FetchProgressLine implements Fetcher.Progress, AutoCloseable {

    private final TimedLine line;
    private long firstBytes = -1;

    public FetchProgressLine(PrintWriter out, boolean terminal) {
        this.line = new TimedLine(out, terminal);
    }

    @Override
    public synchronized void show(int filesDone, int files, long bytesDone, long bytes) {
        if (firstBytes < 0) {
            firstBytes = bytesDone;
        }
        OptionalDouble due = line.due();
        if (due.isEmpty()) {
            return;
        }
        double rate = (bytesDone - firstBytes) / due.getAsDouble();
        line.show(String.format(Locale.ROOT, "%d of %d files, %,d of %,d MB, %.1f MB/s%s",
                filesDone, files, bytesDone / 1_000_000, bytes / 1_000_000, rate * 1e-6,
                rate > 0 ? ", " + TimedLine.duration((bytes - bytesDone) / rate) + " left" : ""));
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
