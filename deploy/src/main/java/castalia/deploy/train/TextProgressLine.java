package castalia.deploy.train;

import castalia.workers.data.TextProgress;
import java.io.PrintWriter;
import java.util.Locale;
import java.util.OptionalDouble;

/**
 * A line with how far a pass over texts is, how fast, and how long it will still take. Not for
 * several threads.
 */
public final class TextProgressLine implements TextProgress, AutoCloseable {

    private final TimedLine line;
    private final String results;
    private long firstBytes = -1;

    /** @param results what is counted: tokens, documents */
    public TextProgressLine(String results, PrintWriter out, boolean terminal) {
        this.results = results;
        this.line = new TimedLine(out, terminal);
    }

    @Override
    public void show(long readBytes, long allBytes, long textBytes, long made) {
        if (firstBytes < 0) {
            firstBytes = readBytes;
        }
        OptionalDouble due = line.due();
        if (due.isEmpty()) {
            return;
        }
        double seconds = due.getAsDouble();
        double perByte = seconds / Math.max(1, readBytes - firstBytes);
        line.show(String.format(Locale.ROOT, "%,d of %,d MB, %.1f MB/s of text, %,.0f %s/s, %s left",
                readBytes / 1_000_000, allBytes / 1_000_000, textBytes / seconds * 1e-6,
                made / seconds, results,
                TimedLine.duration(perByte * Math.max(0, allBytes - readBytes))));
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
