package castalia.deploy.command;

import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.workers.data.TextPreparer;
import castalia.workers.data.Tokenizer;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code data}: makes and looks at token files. */
@Command(
        name = "data",
        description = "Make token files from text, and look at them.",
        subcommands = {
            DataIndexCommand.class,
            DataViewCommand.class,
            DataFindCommand.class,
            DataStatsCommand.class,
            DataPartsCommands.Shard.class,
            DataPartsCommands.Unshard.class,
            DataPartsCommands.Checksum.class
        },
        footer = {
            "",
            "Examples:",
            "  ./castalia data prepare books/ --tokenizer tokenizer.json --append-eod --out data/books",
            "  ./castalia data prepare corpus.txt --separator '%%' --tokenizer tokenizer.json --out c",
            "  ./castalia data index data/books --seq-length 2048 --samples 100000 --seed 1234",
            "  ./castalia data view runs/books --step 100 --rows 0:4 --decode --source",
            "  ./castalia data find runs/books 'Melchizedek'",
            "  ./castalia data stats data/books"
        })
final class DataCommand {
    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Command(name = "prepare", description = {
        "Turn text files into PREFIX.bin and PREFIX.idx, the token files of GPT-NeoX.",
        "A folder stands for its .txt files, in the order of their paths."})
    int prepare(
            @Parameters(paramLabel = "INPUT", arity = "1..*", description = "Text files and folders.")
                    List<Path> inputs,
            @Option(names = "--tokenizer", required = true, paramLabel = "FILE",
                    description = "Any Hugging Face tokenizer.json.") Path tokenizerFile,
            @Option(names = "--out", required = true, paramLabel = "PREFIX",
                    description = "Path of the token files without extension.") Path prefix,
            @Option(names = "--append-eod", description = "End each document with <|endoftext|>.")
                    boolean appendEnd,
            @Option(names = "--separator", paramLabel = "LINE",
                    description = "The line between documents of a file (default: a file is one).")
                    @Nullable String separator) {
        if (prefix.getFileName() == null) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "--out " + prefix + " names no file");
        }
        long start = System.nanoTime();
        try (Tokenizer tokenizer = Tokenizer.load(tokenizerFile)) {
            TextPreparer.Summary summary = TextPreparer.prepare(inputs, tokenizer,
                    new TextPreparer.Options(Optional.ofNullable(separator), appendEnd), prefix);
            double seconds = (System.nanoTime() - start) * 1e-9;
            spec.commandLine().getOut().printf(Locale.ROOT,
                    "%s: %,d documents, %,d tokens (%s) from %,d bytes, %.1f MB/s%n", prefix,
                            summary.documents(),
                    summary.tokens(), summary.dtype().name().toLowerCase(Locale.ROOT), summary.bytes(),
                    summary.bytes() / seconds * 1e-6);
        }
        return 0;
    }
}
