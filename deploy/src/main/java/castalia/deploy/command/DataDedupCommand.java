package castalia.deploy.command;

import castalia.deploy.shell.JsonOption;
import castalia.deploy.train.ProgressLine;
import castalia.deploy.train.TextProgressLine;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.workers.data.dedup.DedupOptions;
import castalia.workers.data.dedup.Deduplicator;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code data dedup}: drops documents that occur more than once. */
@Command(
        name = "dedup",
        description = {
            "Leave out documents that equal, or are much like, an earlier one that is kept.",
            "Likeness is the Jaccard similarity of the sets of all runs of five words; the Pile's",
            "threshold is 0.87. MinHash bands find candidates, the sets themselves decide.",
            "The same inputs and options give the same file, whatever the threads and the memory."
        },
        footer = {
            "",
            "Examples:",
            "  ./castalia data dedup pile/*.jsonl.zst --out deduped.jsonl.zst",
            "  ./castalia data dedup books/ --exact --out books.jsonl --report dropped.jsonl",
            "  ./castalia data dedup src.zip --match '*.java' --threshold 0.8 --out java.jsonl.gz"
        })
final class DataDedupCommand implements Callable<Integer> {
    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Mixin
    private TextSelection texts = new TextSelection();

    @Mixin
    private JsonOption json = new JsonOption();

    @Option(names = "--out", required = true, paramLabel = "FILE", description = {
        "New file of JSON lines; .gz or .zst at the end compresses it."})
    @SuppressWarnings("NullAway.Init") // picocli requires it
    private Path out;

    @Option(names = "--report", paramLabel = "FILE", description = {
        "What was dropped and what stands for it, one JSON line per cluster",
        "(default: FILE of --out with .report.jsonl)."})
    private @Nullable Path report;

    @Option(names = "--exact", description = {
        "Drop only documents whose texts are equal, apart from case and blanks."})
    private boolean exact;

    @Option(names = "--threshold", paramLabel = "X",
            description = "Similarity from which a document is dropped (default 0.87).")
    private double threshold = DedupOptions.PILE;

    @Option(names = "--shingle", paramLabel = "N",
            description = "Words of a run that is compared (default 5).")
    private int shingle = DedupOptions.WORDS;

    @Option(names = "--memory", paramLabel = "MIB",
            description = "Memory each sorter may take; more goes to files (default 256).")
    private int memory = 256;

    private record Result(
            long documents, long kept, long exact, long near, long candidates, long clusters,
            long bytes, double seconds) {}

    @Override
    public Integer call() {
        PrintWriter writer = spec.commandLine().getOut();
        if (out.getFileName() == null) {
            throw new CastaliaException(
                    ErrorCode.CONFIG_INVALID, "--out " + out + " names no file");
        }
        Path reportFile = Objects.requireNonNullElseGet(
                report, () -> out.resolveSibling(out.getFileName() + ".report.jsonl"));
        DedupOptions options = new DedupOptions(texts.options(), exact, threshold, shingle,
                texts.threads(), (long) memory << 20);
        long start = System.nanoTime();
        try (TextProgressLine progress = new TextProgressLine(
                "documents", spec.commandLine().getErr(), ProgressLine.onTerminal())) {
            Deduplicator.Summary summary =
                    Deduplicator.run(texts.inputs(), options, out, reportFile, progress);
            progress.end();
            double seconds = (System.nanoTime() - start) * 1e-9;
            writer.printf(Locale.ROOT, "%s: %,d of %,d documents; dropped %,d equal and %,d like"
                            + " others, for which %,d stand; %.1f s, %.1f MB/s%n",
                    out, summary.kept(), summary.documents(), summary.exact(), summary.near(),
                    summary.clusters(), seconds, summary.textBytes() / seconds * 1e-6);
            writer.printf("what was dropped: %s%n", reportFile);
            json.printLast(writer, new Result(summary.documents(), summary.kept(),
                    summary.exact(), summary.near(), summary.candidates(), summary.clusters(),
                    summary.textBytes(), seconds));
        }
        return 0;
    }
}
