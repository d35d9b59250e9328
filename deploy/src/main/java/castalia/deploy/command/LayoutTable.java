package castalia.deploy.command;

import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.planner.LayoutEstimate;
import castalia.protocol.planner.RankMemory;
import castalia.protocol.planner.Traffic;
import java.io.PrintWriter;
import java.util.List;
import java.util.Locale;

/** Layouts and their costs as two tables of text. */
final class LayoutTable {
    private static final double GIB = 1L << 30;
    private static final double GB = 1e9;

    private LayoutTable() {}

    /** A layout in few letters: {@code 16x4 ZeRO 1 b1}. */
    static String name(ParallelLayout layout) {
        return layout.dataParallel() + "x" + layout.tensorParallel() + " ZeRO " + layout.zero()
                + (layout.zero() == 0 ? "" : " b" + layout.buddies());
    }

    static void print(PrintWriter out, List<LayoutEstimate> estimates) {
        if (estimates.isEmpty()) {
            return;
        }
        out.println();
        line(out, "seconds a step; GiB of the fullest rank", "step", "exposed", "memory", "weights",
                "windows", "gradient", "owned", "further", "activat.", "buffers");
        for (LayoutEstimate e : estimates) {
            RankMemory m = e.memory();
            line(out, name(e.layout()), number(e.time().total()), number(e.time().exposed()),
                    gib(m.total()), gib(m.weights()), gib(m.windows()), gib(m.gradients()),
                    gib(m.owned()), gib(m.further()), gib(m.activations()), gib(m.transport()));
        }
        out.println();
        line(out, "GB a step of the busiest rank, sent", "sent", "partials", "finished", "weights",
                "slices", "votes", "received");
        for (LayoutEstimate e : estimates) {
            Traffic t = e.sent();
            line(out, name(e.layout()), gb(t.total()), gb(t.partials()), gb(t.finished()),
                    gb(t.weights()), gb(t.slices()), gb(t.votes()), gb(e.received().total()));
        }
        out.println();
    }

    private static void line(PrintWriter out, String first, String... cells) {
        StringBuilder line = new StringBuilder(String.format(Locale.ROOT, "%-39s", first));
        for (String cell : cells) {
            line.append(String.format(Locale.ROOT, " %8s", cell));
        }
        out.println(line);
    }

    private static String gib(long bytes) {
        return number(bytes / GIB);
    }

    private static String gb(long bytes) {
        return number(bytes / GB);
    }

    /** Three digits that count, at most three places. */
    private static String number(double value) {
        return value == 0 ? "-" : String.format(Locale.ROOT,
                value >= 100 ? "%.0f" : value >= 10 ? "%.1f" : value >= 1 ? "%.2f" : "%.3f", value);
    }
}
