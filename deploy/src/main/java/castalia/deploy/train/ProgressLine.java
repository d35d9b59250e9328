package castalia.deploy.train;

import castalia.protocol.step.Scaling;
import java.io.Console;
import java.io.PrintWriter;
import java.util.Locale;
import java.util.Optional;

/** One line that is redrawn on a terminal; elsewhere now and then a line of its own. */
public final class ProgressLine {

    private static final long QUIET_NANOS = 5_000_000_000L;

    private final PrintWriter out;
    private final boolean terminal;
    private int width;
    private long lastNanos;
    private boolean shown;

    /** @param terminal whether {@code out} is a terminal */
    public ProgressLine(PrintWriter out, boolean terminal) {
        this.out = out;
        this.terminal = terminal;
    }

    /** Whether standard error is a terminal, as far as Java can say. */
    public static boolean onTerminal() {
        Console console = System.console();
        return console != null
                && console.isTerminal()
                && System.getenv("CASTALIA_PLAIN") == null;
    }

    /** What a line says of loss scaling; nothing where there is none. */
    public static String scaling(Optional<Scaling> scaling) {
        return scaling.map(s -> String.format(Locale.ROOT, "  scale %,.0f%s", s.lossScale(),
                        s.skippedSteps() == 0
                                ? ""
                                : " (" + s.skippedSteps() + " steps skipped)"))
                .orElse("");
    }

    /** Shows the current state. */
    public void show(String text) {
        if (terminal) {
            out.print("\r" + text + " ".repeat(Math.max(0, width - text.length())));
            out.flush();
            width = text.length();
            shown = true;
            return;
        }
        long now = System.nanoTime();
        if (!shown || now - lastNanos >= QUIET_NANOS) {
            out.println(text);
            out.flush();
            lastNanos = now;
            shown = true;
        }
    }

    /** Prints a line that stays, above the progress line. */
    public void say(String text) {
        if (terminal && width > 0) {
            out.print("\r" + " ".repeat(width) + "\r");
            width = 0;
        }
        out.println(text);
        out.flush();
    }

    /** Leaves the last state on the screen. */
    public void end() {
        if (terminal && width > 0) {
            out.println();
            out.flush();
            width = 0;
        }
    }
}
