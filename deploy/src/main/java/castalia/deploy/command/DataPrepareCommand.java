package castalia.deploy.command;

import castalia.deploy.shell.JsonOption;
import castalia.deploy.train.ProgressLine;
import castalia.deploy.train.TextProgressLine;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.workers.data.Tokenizer;
import castalia.workers.data.prepare.TextPreparer;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code data prepare}: text to token files. */
@Command(
        name = "prepare",
        description = {
            "Turn text into PREFIX.bin and PREFIX.idx, the token files of GPT-NeoX.",
            "Interrupted, or stopped at a document that cannot be used, the same command goes on",
            "where it stopped; until it is done everything lies in the folder PREFIX.partial."
        },
        footer = {
            "",
            "Examples:",
            "  ./castalia data prepare books/ --tokenizer tokenizer.json --append-eod --out data/books",
            "  ./castalia data prepare corpus.txt --separator '%%' --tokenizer tokenizer.json --out c",
            "  ./castalia data prepare part-*.jsonl.zst --field content --append-eod \\",
            "      --tokenizer tokenizer.json --out data/pile",
            "  ./castalia data prepare src.zip --match '*.java' --tokenizer tokenizer.json --out java"
        })
final class DataPrepareCommand implements Callable<Integer> {
    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Mixin
    private TextSelection texts = new TextSelection();

    @Mixin
    private JsonOption json = new JsonOption();

    @Option(names = "--tokenizer", required = true, paramLabel = "FILE",
            description = "Any Hugging Face tokenizer.json.")
    @SuppressWarnings("NullAway.Init") // picocli requires it
    private Path tokenizerFile;

    @Option(names = "--out", required = true, paramLabel = "PREFIX",
            description = "Path of the token files without extension.")
    @SuppressWarnings("NullAway.Init") // picocli requires it
    private Path prefix;

    @Option(names = "--append-eod", description = "End each document with <|endoftext|>.")
    private boolean appendEnd;

    @Option(names = "--restart", description = "Throw away what an interrupted run left.")
    private boolean restart;

    private record Result(
            long files, long documents, long tokens, String dtype, long bytes, double seconds,
            long continuedAt) {}

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        if (prefix.getFileName() == null) {
            throw new CastaliaException(
                    ErrorCode.CONFIG_INVALID, "--out " + prefix + " names no file");
        }
        long start = System.nanoTime();
        try (Tokenizer tokenizer = Tokenizer.load(tokenizerFile);
                TextProgressLine progress = new TextProgressLine("tokens",
                        spec.commandLine().getErr(), ProgressLine.onTerminal())) {
            TextPreparer.Summary summary = TextPreparer.prepare(texts.inputs(), tokenizer,
                    new TextPreparer.Options(texts.options(), appendEnd, texts.threads(), restart),
                    prefix, progress);
            progress.end();
            double seconds = (System.nanoTime() - start) * 1e-9;
            Result result = new Result(summary.files(), summary.documents(), summary.tokens(),
                    summary.dtype().name().toLowerCase(Locale.ROOT), summary.bytes(), seconds,
                    summary.continuedAt());
            out.printf(Locale.ROOT, "%s: %,d documents, %,d tokens (%s) from %,d bytes%s%n", prefix,
                    result.documents(), result.tokens(), result.dtype(), result.bytes(),
                    result.continuedAt() == 0
                            ? rates(result)
                            : String.format(Locale.ROOT, "; went on after %,d documents",
                                    result.continuedAt()));
            json.printLast(out, result);
        }
        return 0;
    }

    private static String rates(Result result) {
        return String.format(Locale.ROOT, ", %.1f MB/s, %,.0f tokens/s",
                result.bytes() / result.seconds() * 1e-6, result.tokens() / result.seconds());
    }
}
