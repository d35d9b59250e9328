package castalia.deploy.cluster;

import castalia.actors.NodeAddress;
import castalia.actors.node.AgentNews;
import castalia.deploy.train.ProgressLine;
import castalia.protocol.run.RunNews;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * A second process that may lead a run, beside the one that began it: started when the first
 * workers run, so that it delays nobody, and ended with the run or with this process.
 */
public final class Standby implements ClusterTraining.Companion, AutoCloseable {

    private static final String NAME = "standby";
    /** Enough for one that takes part to hear of the end. */
    private static final long HEARING_SECONDS = 3;
    /** Enough for any process to end when its standard input does. */
    private static final long ENDING_SECONDS = 5;

    private final ProgressLine line;
    private final Path run;
    private @Nullable Process process;

    /** @param run the run's folder */
    public Standby(ProgressLine line, Path run) {
        this.line = line;
        this.run = run;
    }

    @Override
    public RunCluster.Listener accompany(RunCluster cluster) {
        return new RunCluster.Listener() {
            @Override
            public void run(RunNews news) {
                if (news instanceof RunNews.Running) {
                    start(cluster.address());
                }
            }

            @Override
            public void agent(AgentNews news) {
                // It has no workers.
            }
        };
    }

    private synchronized void start(NodeAddress leader) {
        if (process != null) {
            return;
        }
        process = ChildJvms.launch(List.of("node", "--join", leader.toString(), "--workers", "0",
                        "--name", NAME, "--attached"),
                Path.of("").toAbsolutePath(),
                run.toAbsolutePath().resolve(RunCluster.LOGS).resolve(NAME + ".log"));
        line.say("standby     pid " + process.pid() + ", leads the run if this process is lost");
    }

    /**
     * Waits a moment for it to hear that the run is over. One that has only just started hears
     * nothing: it ends when its standard input does.
     */
    @Override
    public synchronized void close() {
        if (process == null) {
            return;
        }
        try {
            if (!process.waitFor(HEARING_SECONDS, TimeUnit.SECONDS)) {
                process.getOutputStream().close();
                if (!process.waitFor(ENDING_SECONDS, TimeUnit.SECONDS)) {
                    process.destroyForcibly();
                }
            }
        } catch (IOException e) {
            process.destroyForcibly();
        } catch (InterruptedException e) {
            process.destroyForcibly();
            Thread.currentThread().interrupt();
        }
    }
}
