package castalia.deploy.train;

import castalia.workers.data.DataProgress;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.util.Locale;
import java.util.OptionalDouble;
import org.jspecify.annotations.Nullable;

/** A line with how far some work is and how long it will still take. Not for several threads. */
public final class WorkProgress implements DataProgress, AutoCloseable {

    private final PrintWriter out;
    private final boolean terminal;
    private final String what;
    private @Nullable TimedLine line;

    /** The time begins with the first call; {@code what} is what the work is called. */
    public WorkProgress(String what, PrintWriter out, boolean terminal) {
        this.what = what;
        this.out = out;
        this.terminal = terminal;
    }

    /** On standard error. */
    public static WorkProgress onError(String what) {
        return new WorkProgress(what, new PrintWriter(System.err, true, StandardCharsets.UTF_8),
                ProgressLine.onTerminal());
    }

    @Override
    public void at(long done, long total) {
        TimedLine begun = line;
        if (begun == null) {
            begun = new TimedLine(out, terminal);
            line = begun;
        }
        if (done >= total) {
            begun.end();
            return;
        }
        OptionalDouble due = begun.due();
        if (due.isEmpty()) {
            return;
        }
        String left = 100 * done < total // too early to say
                ? ""
                : ", " + TimedLine.duration(due.getAsDouble() / (double) done * (double) (total - done))
                        + " left";
        begun.show(String.format(Locale.ROOT, "%s: %.1f %%%s",
                what, 100.0 * (double) done / (double) total, left));
    }

    @Override
    public void close() {
        if (line != null) {
            line.end();
        }
    }
}
