package castalia.deploy.train;

import castalia.workers.data.TextProgress;
import java.io.PrintWriter;
import java.util.Locale;

/**
 * A line with how far a pass over texts is, how fast, and how long it will still take; shown once
 * it has taken more than a second. Not for several threads.
 */
public final class TextProgressLine implements TextProgress, AutoCloseable {
    private static final long FIRST_NANOS = 1_000_000_000L;
    private static final long NEXT_NANOS = 200_000_000L;

    private final ProgressLine line;
    private final String results;
    private final long startNanos = System.nanoTime();
    private long nextNanos = startNanos + FIRST_NANOS;
    private long firstBytes = -1;

    /** @param results what is counted: tokens, documents */
    public TextProgressLine(String results, PrintWriter out, boolean terminal) {
        this.results = results;
        this.line = new ProgressLine(out, terminal);
    }

    @Override
    public void show(long readBytes, long allBytes, long textBytes, long made) {
        long now = System.nanoTime();
        if (firstBytes < 0) {
            firstBytes = readBytes;
        }
        if (now < nextNanos) {
            return;
        }
        nextNanos = now + NEXT_NANOS;
        double seconds = (now - startNanos) * 1e-9;
        double perByte = seconds / Math.max(1, readBytes - firstBytes);
        line.show(String.format(Locale.ROOT, "%,d of %,d MB, %.1f MB/s of text, %,.0f %s/s, %s left",
                readBytes / 1_000_000, allBytes / 1_000_000, textBytes / seconds * 1e-6,
                made / seconds, results, duration(perByte * Math.max(0, allBytes - readBytes))));
    }

    private static String duration(double seconds) {
        long whole = Math.round(seconds);
        return whole < 60
                ? whole + " s"
                : whole < 3600
                        ? whole / 60 + " min"
                        : whole / 3600 + " h " + whole % 3600 / 60 + " min";
    }

    /** Leaves the last line as it is; what is printed next begins below. */
    public void end() {
        line.end();
    }

    @Override
    public void close() {
        end();
    }
}
