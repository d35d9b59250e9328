package castalia.deploy.command;

import castalia.deploy.data.RunInput;
import castalia.deploy.data.StepSearch;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.JsonOption;
import castalia.deploy.train.ProgressLine;
import castalia.deploy.train.RunData;
import castalia.deploy.train.WorkProgress;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.workers.data.SampleSearch;
import castalia.workers.data.Tokenizer;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.function.Supplier;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code data find}: when a run reads a text. */
@Command(
        name = "find",
        description = {
            "Say at which steps and rows a run reads a text, however it is cut into tokens, or a",
            "sequence of tokens. Reads the rows as training does, so this takes as long as reading",
            "all that the steps read. Exit code 1 if it is nowhere."
        },
        footer = {
            "",
            "Examples:",
            "  ./castalia data find runs/70m 'Melchizedek'",
            "  ./castalia data find 70m.yml --tokens 521,369,253 --steps 0:1000 --json"
        })
final class DataFindCommand implements Callable<Integer> {
    private static final Pattern RANGE = Pattern.compile("(\\d{1,18}):(\\d{1,18})");

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Mixin
    private JsonOption json = new JsonOption();

    @Parameters(index = "0", paramLabel = "RUN_OR_CONFIG",
            description = "A run's folder, or a configuration file.")
    @SuppressWarnings("NullAway.Init") // picocli requires it
    private Path run;

    @Parameters(index = "1", arity = "0..1", paramLabel = "TEXT", description = "What to look for.")
    private @Nullable String text;

    @Option(names = "--tokens", split = ",", paramLabel = "ID",
            description = "Token ids to look for instead, separated by commas.")
    private int @Nullable [] tokens;

    @Option(names = "--steps", paramLabel = "A:B",
            description = "Steps A to B - 1 only (default: all of the run).")
    private @Nullable String steps;

    @Option(names = "--part", paramLabel = "PART", description = "train (default), valid or test.")
    private String part = "train";

    @Option(names = "--limit", paramLabel = "N", description = "Stop after N finds (default 100).")
    private long limit = 100;

    @Option(names = "--threads", paramLabel = "N",
            description = "Reading threads (default: all processors).")
    private int threads = Runtime.getRuntime().availableProcessors();

    @Option(names = "--tokenizer", paramLabel = "FILE",
            description = "tokenizer.json (default: the run's).")
    private @Nullable Path tokenizerFile;

    /** The last line of {@code --json}. */
    private record Report(List<StepSearch.Find> finds, boolean complete, long first, long end) {}

    @Override
    public Integer call() {
        if ((text == null) == (tokens == null)) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID,
                    "give either TEXT or --tokens to look for");
        }
        if (limit < 1 || threads < 1) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID,
                    "--limit " + limit + " and --threads " + threads + " must be at least 1");
        }
        PrintWriter out = spec.commandLine().getOut();
        RunData.Part wanted = DataViewCommand.part(part);
        try (RunInput input = RunInput.open(run, wanted, CastaliaHome.ofProcess())) {
            long[] range = range(input.data().batches(wanted));
            List<StepSearch.Find> finds = new ArrayList<>();
            try (WorkProgress progress = new WorkProgress("steps " + range[0] + ":" + range[1],
                    spec.commandLine().getErr(), ProgressLine.onTerminal())) {
                StepSearch.run(input.data().source(wanted).orElseThrow(), range[0], range[1],
                        search(input), threads, limit, find -> {
                            out.printf(Locale.ROOT, "step %d  row %d  index %d  token %d%n",
                                    find.step(), find.row(), find.index(), find.token());
                            finds.add(find);
                        }, progress);
            }
            boolean complete = finds.size() < limit;
            out.println(finds.isEmpty()
                    ? "nowhere in steps " + range[0] + " to " + (range[1] - 1)
                    : complete
                            ? finds.size() + " finds"
                            : "stopped after " + finds.size() + " finds; --limit allows more");
            json.printLast(out, new Report(finds, complete, range[0], range[1]));
            out.flush();
            return finds.isEmpty() ? 1 : 0;
        }
    }

    private long[] range(long all) {
        if (steps == null) {
            return new long[] {0, all};
        }
        Matcher range = RANGE.matcher(steps);
        if (range.matches()) {
            long first = Long.parseLong(range.group(1));
            long end = Long.parseLong(range.group(2));
            if (first < end && end <= all) {
                return new long[] {first, end};
            }
        }
        throw new CastaliaException(ErrorCode.CONFIG_INVALID, "--steps " + steps
                + ": write A:B with A < B, for steps A to B - 1 of the " + all + " there are");
    }

    private Supplier<SampleSearch> search(RunInput input) {
        if (tokens != null) {
            int[] ids = tokens;
            return () -> SampleSearch.tokens(ids);
        }
        byte[] wanted = String.valueOf(text).getBytes(StandardCharsets.UTF_8);
        try (Tokenizer tokenizer = input.loadTokenizer(Optional.ofNullable(tokenizerFile))) {
            byte[][] spellings = tokenizer.spellings().orElseThrow(() -> new CastaliaException(
                    ErrorCode.UNSUPPORTED, "this tokenizer is not a byte-level one, whose tokens can"
                            + " be searched for a text; give --tokens"));
            return () -> SampleSearch.bytes(wanted, spellings);
        }
    }
}
