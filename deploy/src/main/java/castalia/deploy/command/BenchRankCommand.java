package castalia.deploy.command;

import castalia.deploy.bench.collective.CollectiveRank;
import castalia.deploy.bench.collective.Way;
import castalia.deploy.shell.CastaliaHome;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code bench-rank}: one process of {@code bench collective}, which starts it; people do not. */
@Command(name = "bench-rank", hidden = true,
        description = "One process of 'bench collective'; started by it.")
@SuppressWarnings("NullAway.Init") // picocli requires every option
final class BenchRankCommand implements Callable<Integer> {
    private final CastaliaHome home;

    @Spec
    private CommandSpec spec;

    @Option(names = "--rank", required = true)
    private int rank;

    @Option(names = "--ranks", required = true)
    private int ranks;

    @Option(names = "--ways", required = true, split = ",")
    private List<Way> ways;

    @Option(names = "--buckets", required = true, split = ",")
    private List<Long> buckets;

    @Option(names = "--pairs", required = true)
    private int pairs;

    BenchRankCommand(CastaliaHome home) {
        this.home = home;
    }

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        BufferedReader in =
                new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        try {
            new CollectiveRank(new CollectiveRank.Settings(rank, ranks, ways, buckets, pairs), home,
                    out).run(in);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return 0;
    }
}
