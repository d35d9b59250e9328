package castalia.deploy.command;

import castalia.deploy.bench.DedupBench;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.JsonOption;
import castalia.deploy.shell.Storage;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code bench dedup}: how the time of {@code data dedup} grows. */
@Command(
        name = "dedup",
        description = {
            "Time 'data dedup' on made-up corpora, each twice as large as the one before.",
            "A fifth of the documents are planted near-duplicates of earlier ones."
        },
        footer = {
            "",
            "Examples:",
            "  ./castalia bench dedup --documents 20000 --sizes 4 --threads 2"
        })
final class BenchDedupCommand implements Callable<Integer> {
    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Mixin
    private JsonOption json = new JsonOption();

    @Option(names = "--documents", paramLabel = "N",
            description = "Documents of the smallest corpus (default 20000).")
    private int documents = 20_000;

    @Option(names = "--sizes", paramLabel = "N", description = "Corpora (default 4).")
    private int sizes = 4;

    @Option(names = "--seed", paramLabel = "N", description = "Seed of the texts (default 1).")
    private long seed = 1;

    @Option(names = "--threads", paramLabel = "N",
            description = "Computing threads (default: all processors).")
    private int threads = Runtime.getRuntime().availableProcessors();

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        if (documents < 1 || sizes < 1 || sizes > 20
                || ((long) documents << sizes) > Integer.MAX_VALUE) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "--documents " + documents
                    + " --sizes " + sizes + " are no corpora");
        }
        List<DedupBench.Result> results = new ArrayList<>();
        Path folder = CastaliaHome.ofProcess().temporary();
        Storage.attempt(() -> {
            Files.createDirectories(folder);
            DedupBench.run(folder, Math.min(documents, 5000), seed, threads); // compiles the code
            for (int size = 0; size < sizes; size++) {
                DedupBench.Result result =
                        DedupBench.run(folder, documents << size, seed + size, threads);
                results.add(result);
                out.printf(Locale.ROOT, "%,11d documents, %,8.1f MB: %7.2f s, %6.1f us a document,"
                                + " %5.1f MB/s; %,d planted, %,d dropped, %,d candidates%n",
                        result.documents(), result.bytes() * 1e-6, result.seconds(),
                        result.seconds() / result.documents() * 1e6,
                        result.bytes() / result.seconds() * 1e-6, result.planted(),
                        result.dropped(), result.candidates());
                out.flush();
            }
            return results;
        });
        json.printLast(out, results);
        return 0;
    }
}
