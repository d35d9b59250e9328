package castalia.deploy.command;

import castalia.actors.NodeAddress;
import castalia.deploy.cluster.RunJob;
import castalia.deploy.cluster.WorkerProcess;
import castalia.deploy.shell.CastaliaHome;
import castalia.protocol.identity.Incarnation;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;

/** {@code worker}: one worker process. Node agents start it; people do not. */
@Command(name = "worker", hidden = true,
        description = "One worker process of a run; started by a node's agent.")
@SuppressWarnings("NullAway.Init") // picocli requires every option that is not nullable
final class WorkerCommand implements Callable<Integer> {
    private final CastaliaHome home;

    @Option(names = "--config", required = true)
    private Path config;

    @Option(names = "--run", required = true)
    private Path run;

    @Option(names = "--init")
    private @Nullable Path initial;

    @Option(names = "--seed", required = true)
    private List<String> seeds;

    @Option(names = "--node", required = true)
    private String node;

    @Option(names = "--name", required = true)
    private String name;

    @Option(names = "--incarnation", required = true)
    private String incarnation;

    @Option(names = "--threads", required = true)
    private int threads;

    @Option(names = "--local", required = true)
    private int local;

    @Option(names = "--host", required = true)
    private String host;

    WorkerCommand(CastaliaHome home) {
        this.home = home;
    }

    @Override
    public Integer call() {
        RunJob job = new RunJob(config, run, Optional.ofNullable(initial), 1, Path.of(""));
        return new WorkerProcess(new WorkerProcess.Settings(job,
                seeds.stream().map(NodeAddress::parse).toList(), node, name,
                new Incarnation(Long.parseUnsignedLong(incarnation, 16)), threads, local, host),
                home).run();
    }
}
