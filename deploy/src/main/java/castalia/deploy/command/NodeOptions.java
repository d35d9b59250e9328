package castalia.deploy.command;

import castalia.actors.NodeAddress;
import castalia.deploy.cluster.ClusterTraining;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import java.util.Optional;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** What a node is given on its command line, whether it begins a run or joins one: a mixin. */
final class NodeOptions {
    private static final int LAST_PORT = 65_535;

    @Mixin
    @SuppressWarnings("UnusedVariable") // picocli calls it
    private ComputeDevice device = new ComputeDevice();

    @Option(names = "--spares", paramLabel = "N", defaultValue = "0",
            description = "Started processes that wait to take over (default: 0).")
    private int spares;

    @Option(names = "--threads", paramLabel = "N",
            description = "Computing threads together (default: the file's, else all processors).")
    private @Nullable Integer threads;

    @Option(names = "--host", paramLabel = "HOST",
            description = "Address of this machine that other nodes reach (default: "
                    + ClusterTraining.LOOPBACK + ", this machine only).")
    private @Nullable String host;

    @Option(names = "--port", paramLabel = "PORT", defaultValue = "0",
            description = "Port of this node's actors (default: any).")
    private int port;

    @Option(names = "--page-port", paramLabel = "PORT", defaultValue = "0",
            description = "Port of the live page (default: any).")
    private int pagePort;

    int spares() {
        return spares;
    }

    OptionalInt threads() {
        return threads == null ? OptionalInt.empty() : OptionalInt.of(threads);
    }

    /** The host, where one was named. */
    Optional<String> host() {
        return Optional.ofNullable(host);
    }

    /**
     * Where the node's actors listen.
     *
     * @throws CastaliaException if the options name no address
     */
    NodeAddress listen() {
        requirePort("--port", port);
        return Listening.address(host().orElse(ClusterTraining.LOOPBACK), port);
    }

    /**
     * The port of the page, 0 for any.
     *
     * @throws CastaliaException if there is no such port
     */
    int pagePort() {
        requirePort("--page-port", pagePort);
        return pagePort;
    }

    private static void requirePort(String option, int value) {
        if (value < 0 || value > LAST_PORT) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, option + " " + value
                    + " must lie between 0, for any, and " + LAST_PORT);
        }
    }
}
