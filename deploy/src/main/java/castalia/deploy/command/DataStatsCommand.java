package castalia.deploy.command;

import castalia.deploy.shell.JsonOption;
import castalia.deploy.train.ProgressLine;
import castalia.deploy.train.WorkProgress;
import castalia.workers.data.TokenFile;
import castalia.workers.data.TokenStats;
import castalia.workers.data.Tokenizer;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code data stats}: a token file in numbers. */
@Command(
        name = "stats",
        description = "Count documents and tokens of a token file, their lengths and ids.",
        footer = {
            "",
            "Examples:",
            "  ./castalia data stats data/books --tokenizer tokenizer.json",
            "  ./castalia data stats data/pile --quick --json"
        })
final class DataStatsCommand implements Callable<Integer> {
    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Mixin
    private JsonOption json = new JsonOption();

    @Parameters(paramLabel = "PREFIX", description = "Path of the token files without extension.")
    @SuppressWarnings("NullAway.Init") // picocli requires it
    private Path prefix;

    @Option(names = "--quick", description = "Read the index only, not the tokens.")
    private boolean quick;

    @Option(names = "--tokenizer", paramLabel = "FILE",
            description = "tokenizer.json, to spell the frequent ids out.")
    private @Nullable Path tokenizerFile;

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        TokenStats stats;
        try (TokenFile file = TokenFile.open(prefix);
                WorkProgress progress = new WorkProgress("stats of " + prefix,
                        spec.commandLine().getErr(), ProgressLine.onTerminal())) {
            stats = TokenStats.of(file, !quick, progress);
        }
        out.printf(Locale.ROOT, "%s: %,d documents (sequences), %,d tokens, %s%n", prefix,
                stats.sequences(), stats.tokens(), stats.dtype().name().toLowerCase(Locale.ROOT));
        out.printf(Locale.ROOT, "document index  %s, %,d empty sequences%n",
                stats.documents() > 0 ? String.format(Locale.ROOT, "%,d documents", stats.documents())
                        : "not kept", stats.empty());
        TokenStats.Lengths lengths = stats.lengths();
        out.printf(Locale.ROOT,
                "lengths         shortest %,d, median %,d, 90 %% %,d, 99 %% %,d, longest %,d, mean %.1f%n",
                lengths.shortest(), lengths.median(), lengths.p90(), lengths.p99(), lengths.longest(),
                (double) stats.tokens() / (double) stats.sequences());
        if (!quick) {
            try (Tokenizer tokenizer =
                    tokenizerFile == null ? null : Tokenizer.load(tokenizerFile)) {
                out.printf(Locale.ROOT, "ids             %,d different, %d to %d%n",
                        stats.distinct(), stats.smallest(), stats.largest());
                out.println("most frequent   " + list(stats.common(), Optional.ofNullable(tokenizer)));
                out.println("last of a document  "
                        + list(stats.lastTokens(), Optional.ofNullable(tokenizer)));
            }
        }
        json.printLast(out, stats);
        out.flush();
        return 0;
    }

    private static String list(List<TokenStats.Count> counts, Optional<Tokenizer> tokenizer) {
        return counts.stream().map(count -> count.id()
                        + tokenizer.map(t -> " " + JsonOption.line(t.decode(new int[] {count.id()})))
                                .orElse("")
                        + String.format(Locale.ROOT, " x %,d", count.count()))
                .collect(Collectors.joining(", "));
    }
}
