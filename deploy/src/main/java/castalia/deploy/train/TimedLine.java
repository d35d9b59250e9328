package castalia.deploy.train;

import java.io.PrintWriter;
import java.util.OptionalDouble;

/**
 * A progress line of work that may take long: shown once a second has passed, then five times a
 * second at most. Its time begins when it is made. Not for several threads.
 */
final class TimedLine {

    private static final long FIRST_NANOS = 1_000_000_000L;
    private static final long NEXT_NANOS = 200_000_000L;
    private static final double NANO = 1e-9;

    private final ProgressLine line;
    private final long startNanos = System.nanoTime();
    private long nextNanos = startNanos + FIRST_NANOS;

    /** @param terminal whether {@code out} is a terminal */
    TimedLine(PrintWriter out, boolean terminal) {
        this.line = new ProgressLine(out, terminal);
    }

    /** Seconds since the start if the line is to be shown now. */
    OptionalDouble due() {
        long now = System.nanoTime();
        if (now < nextNanos) {
            return OptionalDouble.empty();
        }
        nextNanos = now + NEXT_NANOS;
        return OptionalDouble.of((now - startNanos) * NANO);
    }

    void show(String text) {
        line.show(text);
    }

    /** Leaves the last line as it is; what is printed next begins below. */
    void end() {
        line.end();
    }

    /** As people say it: {@code 40 s}, {@code 3 m 20 s}, {@code 5 h 12 m}. */
    static String duration(double seconds) {
        long whole = Math.round(seconds);
        if (whole < 60) {
            return whole + " s";
        }
        return whole < 3600
                ? whole / 60 + " m " + whole % 60 + " s"
                : whole / 3600 + " h " + whole % 3600 / 60 + " m";
    }
}
