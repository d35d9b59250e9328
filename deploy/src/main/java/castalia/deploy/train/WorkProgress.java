package castalia.deploy.train;

import castalia.workers.data.DataProgress;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.Locale;

/**
 * A line with how far some work is and how long it will still take, shown once it has taken more
 * than a second. Not for several threads.
 */
public final class WorkProgress implements DataProgress, AutoCloseable {
    private static final long FIRST_NANOS = 1_000_000_000L;
    private static final long NEXT_NANOS = 200_000_000L;

    private final ProgressLine line;
    private final String what;
    private boolean begun;
    private long startNanos;
    private long nextNanos;

    /** The time begins with the first call; {@code what} is what the work is called. */
    public WorkProgress(String what, PrintWriter out, boolean terminal) {
        this.what = what;
        this.line = new ProgressLine(out, terminal);
    }

    /** On standard error. */
    public static WorkProgress onError(String what) {
        return new WorkProgress(what, new PrintWriter(System.err, true, StandardCharsets.UTF_8),
                ProgressLine.onTerminal());
    }

    @Override
    public void at(long done, long total) {
        long now = System.nanoTime();
        if (!begun) {
            begun = true;
            startNanos = now;
            nextNanos = now + FIRST_NANOS;
        }
        if (done >= total) {
            line.end();
            return;
        }
        if (now < nextNanos) {
            return;
        }
        nextNanos = now + NEXT_NANOS;
        double seconds = (now - startNanos) * 1e-9;
        String left = 100 * done < total // too early to say
                ? ""
                : ", " + duration(seconds / (double) done * (double) (total - done)) + " left";
        line.show(String.format(Locale.ROOT, "%s: %.1f %%%s",
                what, 100.0 * (double) done / (double) total, left));
    }

    private static String duration(double seconds) {
        long whole = Math.round(seconds);
        return whole < 60
                ? whole + " s"
                : whole / 60 + " m " + whole % 60 + " s";
    }

    @Override
    public void close() {
        line.end();
    }
}
