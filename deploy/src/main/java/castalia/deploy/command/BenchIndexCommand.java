package castalia.deploy.command;

import castalia.deploy.bench.IndexBench;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.JsonOption;
import castalia.deploy.train.ProgressLine;
import castalia.deploy.train.WorkProgress;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code bench index}. */
@Command(
        name = "index",
        description = {
            "Time the making of a sample order over made-up documents, two epochs of them: build,",
            "write, verify, and the most memory it took. No token file is needed; the file of about",
            "17 bytes a sample is removed afterwards."
        },
        footer = {
            "",
            "Examples:",
            "  ./castalia bench index --samples 200000000",
            "  ./castalia bench index --samples 200000000 --numpy python3 --json"
        })
final class BenchIndexCommand implements Callable<Integer> {
    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Mixin
    private JsonOption json = new JsonOption();

    @Option(names = "--samples", paramLabel = "N", description = "At least so many (default 200000000).")
    private long samples = 200_000_000;

    @Option(names = "--seq-length", paramLabel = "S", description = "Tokens of a sequence (default 2048).")
    private int sequenceLength = 2048;

    @Option(names = "--seed", paramLabel = "K", description = "Seed (default 1234).")
    private long seed = 1234;

    @Option(names = "--folder", paramLabel = "DIR",
            description = "Where the file may lie (default: castalia's own folder).")
    private @Nullable Path folder;

    @Option(names = "--numpy", paramLabel = "PYTHON",
            description = "Let this Python's numpy do the same shuffles, and compare.")
    private @Nullable String python;

    @Override
    public Integer call() {
        if (samples < 2 || sequenceLength < 1) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID,
                    "--samples " + samples + " must be at least 2, --seq-length at least 1");
        }
        PrintWriter out = spec.commandLine().getOut();
        PrintWriter err = spec.commandLine().getErr();
        IndexBench.Result result;
        try (WorkProgress progress =
                new WorkProgress("sample order", err, ProgressLine.onTerminal())) {
            result = IndexBench.run(samples, sequenceLength, seed,
                    folder == null ? CastaliaHome.ofProcess().temporary() : folder,
                    Optional.ofNullable(python), progress,
                    note -> err.println("castalia: " + note));
        }
        out.printf(Locale.ROOT, "%,d samples of %,d documents, %d epochs: %,d bytes%n",
                result.samples(), result.documents(), result.epochs(), result.index_bytes());
        out.printf(Locale.ROOT, "built and written in %.1f s, opened and verified in %.1f s%n",
                result.build_s(), result.reopen_s());
        out.printf(Locale.ROOT, "peak memory %,d bytes, %.2f times the index (%,d before)%n",
                result.peak_bytes(), result.ratio(), result.idle_bytes());
        IndexBench.Numpy peer = result.numpy();
        if (peer != null) {
            out.printf(Locale.ROOT,
                    "numpy %s: the two shuffles alone take %.1f s + %.1f s; entries %s%n",
                    peer.version(), peer.documents_s(), peer.samples_s(),
                    peer.same() ? "equal" : "DIFFERENT");
        }
        json.printLast(out, result);
        out.flush();
        return peer == null || peer.same() ? 0 : 1;
    }
}
