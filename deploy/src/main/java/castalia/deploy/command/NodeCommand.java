package castalia.deploy.command;

import castalia.actors.NodeAddress;
import castalia.deploy.cluster.NodeTraining;
import castalia.deploy.cluster.OrphanWatch;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.train.ProgressLine;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.run.RunResult;
import java.io.PrintWriter;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code node}: joins a run that another process began. */
@Command(
        name = "node",
        description = {
            "Join a run with worker processes of this machine, and stand by to lead it.",
            "HOST:PORT is the address that train --local prints. The run's configuration, folder and data",
            "must be here under the same paths. The node ends with the run; SIGINT and SIGTERM end it",
            "and its workers, and the run goes on without them; where no other node stands by to lead, the",
            "run is stopped with a checkpoint first."
        },
        footer = {
            "",
            "Examples:",
            "  ./castalia node --join 127.0.0.1:40123",
            "  ./castalia node --join 127.0.0.1:40123 --workers 2 --spares 1 --name second",
            "  ./castalia node --join 127.0.0.1:40123 --workers 0 --name standby"
        })
final class NodeCommand implements Callable<Integer> {
    private static final int LONGEST_WAIT = 3600;

    private final CastaliaHome home;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Option(names = "--join", required = true, paramLabel = "HOST:PORT",
            description = "Any node of the run.")
    @SuppressWarnings("NullAway.Init") // picocli requires it
    private String join;

    @Option(names = "--workers", paramLabel = "N", defaultValue = "1",
            description = "Worker processes (default: 1; with 0 it only stands by to lead).")
    private int workers;

    @Mixin
    private NodeOptions node = new NodeOptions();

    @Option(names = "--name", paramLabel = "NAME",
            description = "Name of this node, unique in the run (default: node and its pid).")
    private @Nullable String name;

    @Option(names = "--join-timeout", paramLabel = "SECONDS", defaultValue = "30",
            description = "How long the node is tried that is joined (default: 30).")
    private int patience;

    @Option(names = "--attached", hidden = true,
            description = "End when standard input ends, as children of this program do.")
    private boolean attached;

    NodeCommand(CastaliaHome home) {
        this.home = home;
    }

    @Override
    public Integer call() {
        if (attached) {
            OrphanWatch.start(System.in);
        }
        PrintWriter out = spec.commandLine().getOut();
        NodeAddress seed = seed();
        NodeAddress listen = node.listen();
        int pagePort = node.pagePort();
        warn(seed, listen);
        String called = name == null ? "node" + ProcessHandle.current().pid() : name;
        if (!called.matches("[A-Za-z0-9_.-]{1,64}")) {
            throw invalid("--name '" + called
                    + "' must have 1 to 64 letters, digits, dots, dashes or underscores");
        }
        if (patience < 1 || patience > LONGEST_WAIT) {
            throw invalid("--join-timeout " + patience + " must lie between 1 and " + LONGEST_WAIT);
        }
        NodeTraining.Request request = new NodeTraining.Request(seed, called, listen, workers,
                node.spares(), node.threads(), pagePort, Duration.ofSeconds(patience));
        ProgressLine line = new ProgressLine(out, ProgressLine.onTerminal());
        try (NodeTraining training = new NodeTraining(home, line)) {
            Optional<RunResult> how = training.takePart(request);
            out.println(how.map(result -> "the run " + result.words())
                    .orElse("left; the run goes on without this node"));
            out.flush();
        }
        return 0;
    }

    private NodeAddress seed() {
        try {
            NodeAddress seed = NodeAddress.parse(join);
            if (seed.port() > 0) {
                return seed;
            }
        } catch (IllegalArgumentException _) {
            // Said below.
        }
        throw invalid("--join '" + join + "' is not HOST:PORT, as train --local prints it");
    }

    private void warn(NodeAddress seed, NodeAddress listen) {
        if (!Listening.onLoopback(seed.host()) && node.host().isEmpty()) {
            throw invalid(seed + " is another machine: name the address of this one that it reaches"
                    + " with --host");
        }
        Listening.warn(listen, spec.commandLine().getErr());
    }

    private static CastaliaException invalid(String message) {
        return new CastaliaException(ErrorCode.CONFIG_INVALID, message);
    }
}
