package castalia.deploy.command;

import castalia.deploy.data.IndexReport;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.JsonOption;
import castalia.deploy.train.ProgressLine;
import castalia.deploy.train.WorkProgress;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.workers.data.OrderStore;
import castalia.workers.data.SampleOrder;
import castalia.workers.data.TokenSizes;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.concurrent.Callable;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code data index}: GPT-NeoX's three index arrays of a token file. */
@Command(
        name = "index",
        description = {
            "Build the sample order of a token file as GPT-NeoX v1.0 does: the shuffled list of",
            "documents, where each sample starts, the shuffled samples. Needs PREFIX.idx only.",
            "Large orders are kept in PREFIX.cache, where train finds them."
        },
        footer = {
            "",
            "Examples:",
            "  ./castalia data index data/pile --seq-length 2048 --samples 147164160 --seed 1234",
            "  ./castalia data index data/books --seq-length 16 --samples 100 --seed 1 \\",
            "      --documents 5:36 --json order.json",
            "  ./castalia data index data/pile --seq-length 2048 --samples 147164160 --seed 1234 \\",
            "      --npy data"
        })
final class DataIndexCommand implements Callable<Integer> {
    private static final Pattern RANGE = Pattern.compile("(\\d{1,18}):(\\d{1,18})");

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Parameters(paramLabel = "PREFIX", description = "Path of the token files without extension.")
    @SuppressWarnings("NullAway.Init") // picocli requires it
    private Path prefix;

    @Option(names = "--seq-length", required = true, paramLabel = "S",
            description = "Tokens of a sequence; a sample has one more.")
    private int sequenceLength;

    @Option(names = "--samples", required = true, paramLabel = "N",
            description = "Samples asked for: the documents are repeated until there are so many.")
    private long samples;

    @Option(names = "--seed", required = true, paramLabel = "K", description = "0 to 4294967295.")
    private long seed;

    @Option(names = "--documents", paramLabel = "A:B",
            description = "Documents A to B - 1 only (default: all).")
    private @Nullable String documents;

    @Option(names = "--json", paramLabel = "FILE",
            description = "Write arrays and hashes as JSON; '-' ends stdout with the hashes as JSON.")
    private @Nullable String json;

    @Option(names = "--npy", paramLabel = "FOLDER",
            description = "Write the arrays as GPT-NeoX's three .npy files.")
    private @Nullable Path numpy;

    @Option(names = "--use", paramLabel = "NAME",
            description = "GPT-NeoX's name of the data set in those files (default train_0).")
    private String use = "train_0";

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        PrintWriter err = spec.commandLine().getErr();
        try (TokenSizes sizes = TokenSizes.open(prefix)) {
            SampleOrder order = order(sizes, err);
            String name = Objects.requireNonNull(prefix.getFileName()).toString();
            IndexReport report = new IndexReport(name, sizes, order, documents == null);
            out.printf(Locale.ROOT, "%s: %,d tokens an epoch, %,d epochs, %,d samples of %,d + 1%n",
                    prefix, order.tokensPerEpoch(), order.epochs(), order.samples(), sequenceLength);
            line(out, "documents", order.documentPositions(),
                    report.facts().get("sha256_doc_idx_int32le"));
            line(out, "samples", order.samples() + 1,
                    report.facts().get("sha256_sample_idx_int64le"));
            line(out, "shuffle", order.samples(), report.facts().get("sha256_shuffle_idx_int64le"));
            if (numpy != null) {
                report.writeNumpy(numpy, use).forEach(file -> out.println("written to " + file));
            }
            if (json != null && json.equals("-")) {
                out.println(JsonOption.line(report.facts()));
            } else if (json != null) {
                report.write(Path.of(json));
                out.println("written to " + json);
            }
            out.flush();
        }
        return 0;
    }

    private SampleOrder order(TokenSizes sizes, PrintWriter err) {
        try (WorkProgress progress = new WorkProgress(
                "sample order of " + prefix, err, ProgressLine.onTerminal())) {
            return new OrderStore(
                    List.of(OrderStore.beside(prefix), CastaliaHome.ofProcess().dataCache()), progress,
                    note -> err.println("castalia: " + note)).order(sizes, request(sizes));
        }
    }

    private static void line(PrintWriter out, String name, long entries, @Nullable Object sha256) {
        out.printf(Locale.ROOT, "%-9s  %,15d entries  sha256 %s%n", name, entries, sha256);
    }

    private SampleOrder.Request request(TokenSizes sizes) {
        if (documents == null) {
            return SampleOrder.Request.all(sizes, sequenceLength, samples, seed);
        }
        Matcher range = RANGE.matcher(documents);
        if (!range.matches()) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "--documents " + documents
                    + ": write A:B, for example 0:1000 for the first thousand");
        }
        return new SampleOrder.Request(Long.parseLong(range.group(1)),
                Long.parseLong(range.group(2)), sequenceLength, samples, seed);
    }
}
