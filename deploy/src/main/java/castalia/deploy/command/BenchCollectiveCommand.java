package castalia.deploy.command;

import castalia.deploy.bench.collective.CollectiveBench;
import castalia.deploy.bench.collective.CollectiveBench.Finding;
import castalia.deploy.bench.collective.CollectiveBench.Row;
import castalia.deploy.bench.collective.CollectiveBench.Votes;
import castalia.deploy.bench.collective.Way;
import castalia.deploy.shell.JsonOption;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code bench collective}. */
@Command(
        name = "collective",
        description = {
            "Time the exchanges between worker processes of this machine: reduce-scatter of gradients and",
            "all-gather of weights with the classes of train, beside a plain loop that moves the same",
            "bytes over the same kind of socket, checksums and adds, in turns; and the exchange of votes.",
            "GB/s is what reaches one rank; CPU is the processor time of all ranks per GB moved."
        },
        footer = {
            "",
            "Examples:",
            "  ./castalia bench collective --json",
            "  ./castalia bench collective --ranks 2 --ways unix --buckets 16M,64M --pairs 15"
        })
final class BenchCollectiveCommand implements Callable<Integer> {

    private static final int MOST_RANKS = 4; // a bucket has a chunk for each of so many
    private static final long LARGEST = 1L << 30;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Mixin
    private JsonOption json = new JsonOption();

    @Option(names = "--ranks", paramLabel = "N,...", split = ",",
            description = "Numbers of processes (default 2,4).")
    private List<Integer> ranks = List.of(2, 4);

    @Option(names = "--ways", paramLabel = "WAY,...", split = ",",
            description = "Kinds of sockets: unix, tcp (default both).")
    private List<String> ways = List.of("unix", "tcp");

    @Option(names = "--buckets", paramLabel = "SIZE,...", split = ",",
            description = "Bytes of a bucket, with K or M (default 64K,256K,1M,4M,16M,64M).")
    private List<String> buckets = List.of("64K", "256K", "1M", "4M", "16M", "64M");

    @Option(names = "--pairs", paramLabel = "N",
            description = "Samples of each, in turns (default 9).")
    private int pairs = 9;

    /** What is printed as JSON. */
    private record Findings(List<Row> collectives, List<Votes> votes) {}

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        CollectiveBench.Settings settings = settings();
        Findings all = new Findings(new ArrayList<>(), new ArrayList<>());
        out.printf("%-5s %5s  %-15s %8s  %6s %6s  %5s  %6s %6s%n", "way", "ranks", "collective",
                "bucket", "GB/s", "plain", "ratio", "CPU", "plain");
        out.flush();
        CollectiveBench.run(settings, found -> {
            print(out, found);
            out.flush();
            switch (found) {
                case Row row -> all.collectives.add(row);
                case Votes votes -> all.votes.add(votes);
            }
        });
        json.printLast(out, all);
        return 0;
    }

    private static void print(PrintWriter out, Finding found) {
        switch (found) {
            case Row row -> out.printf(Locale.ROOT,
                    "%-5s %5d  %-15s %8s  %6.2f %6.2f  %5.2f  %6.3f %6.3f%n", row.way(), row.ranks(),
                    row.collective(), size(row.bucket_bytes()), row.gb_per_s(),
                    row.plain_gb_per_s(), row.ratio(), row.cpu_s_per_gb(),
                    row.plain_cpu_s_per_gb());
            case Votes votes -> out.printf(Locale.ROOT,
                    "%-5s %5d  exchange of votes: median %.0f us, 99th percentile %.0f us%n",
                    votes.way(), votes.ranks(), votes.median_us(), votes.p99_us());
        }
    }

    private static String size(long bytes) {
        return bytes < 1 << 20
                ? Math.round(bytes / 1024.0) + " KiB" : Math.round(bytes / 1048576.0) + " MiB";
    }

    private CollectiveBench.Settings settings() {
        List<Long> sizes = buckets.stream().map(BenchCollectiveCommand::bytes).toList();
        if (pairs < 1 || ranks.stream().anyMatch(n -> n < 2 || n > MOST_RANKS)) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "--ranks " + ranks
                    + " must lie between 2 and " + MOST_RANKS + " and --pairs " + pairs
                    + " must be at least 1");
        }
        return new CollectiveBench.Settings(
                ranks, ways.stream().map(BenchCollectiveCommand::way).toList(), sizes, pairs);
    }

    private static Way way(String word) {
        for (Way way : Way.values()) {
            if (way.word().equals(word)) {
                return way;
            }
        }
        throw new CastaliaException(
                ErrorCode.CONFIG_INVALID, "--ways " + word + " is none of unix, tcp");
    }

    private static long bytes(String size) {
        if (size.matches("[0-9]{1,7}[KM]")) {
            long number = Long.parseLong(size.substring(0, size.length() - 1));
            long bytes = number << (size.endsWith("K") ? 10 : 20);
            if (bytes >= 1 << 14 && bytes <= LARGEST) {
                return bytes;
            }
        }
        throw new CastaliaException(ErrorCode.CONFIG_INVALID, "--buckets " + size
                + " is no size from 16K to 1024M");
    }
}
