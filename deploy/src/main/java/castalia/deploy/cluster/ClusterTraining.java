package castalia.deploy.cluster;

import castalia.actors.NodeAddress;
import castalia.deploy.train.ProgressLine;
import castalia.deploy.train.RunMetrics;
import castalia.deploy.train.StopSignal;
import castalia.deploy.train.TrainingJob;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.run.RunResult;
import castalia.protocol.specification.RunSpecification;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/** A run on worker processes that this process starts and leads, from start to end. */
public final class ClusterTraining implements AutoCloseable {

    /** Where nodes listen by default: this machine only. */
    public static final String LOOPBACK = "127.0.0.1";

    private static final String NODE = "node0";
    private static final int MOST_SPARES = 64;

    private final ProgressLine line;
    private final AtomicReference<@Nullable RunCluster> running = new AtomicReference<>();
    private final StopSignal stop;

    /**
     * What was asked for.
     *
     * @param config the configuration's file
     * @param run the run's folder
     * @param initial folder of first weights
     * @param workers worker processes
     * @param spares worker processes besides, to take over at once
     * @param threads computing threads of all workers
     * @param listen where actors listen
     * @param pagePort port of the page, 0 for any
     */
    public record Request(
            Path config,
            Path run,
            Optional<Path> initial,
            int workers,
            int spares,
            int threads,
            NodeAddress listen,
            int pagePort) {}

    /** From now on a signal does not end this process until {@link #close}. */
    public ClusterTraining(ProgressLine line) {
        this.line = line;
        this.stop = new StopSignal(() -> stop(running.get()));
    }

    /** Somebody beside a run: watches it and may do things to it. */
    @FunctionalInterface
    public interface Companion {

        /** Called when the cluster stands; gives who hears all news from then on. */
        RunCluster.Listener accompany(RunCluster cluster);
    }

    /**
     * Trains until the run is finished or stopped by a signal.
     *
     * @throws CastaliaException if it cannot begin or go on
     */
    public RunResult train(TrainingJob training, Request request, Companion... companions) {
        RunSpecification specification = training.specification();
        requireFits(request, specification);
        RunJob job = new RunJob(request.config().toAbsolutePath(),
                request.run().toAbsolutePath(), request.initial().map(Path::toAbsolutePath),
                request.workers(), Path.of("").toAbsolutePath());
        RunCluster.Settings settings = new RunCluster.Settings(job, NODE, request.listen(),
                request.workers(), request.spares(), request.threads(),
                request.pagePort());
        try (FolderRunStorage storage = FolderRunStorage.lead(job.run(), specification);
                RunMetrics metrics = RunMetrics.open(job.run());
                NewsThread news = new NewsThread();
                RunCluster cluster =
                        RunCluster.begin(training, settings, storage, news)) {
            news.add(new ClusterConsole(line, metrics, specification.trainSteps(),
                    specification.tokensPerStep(), System::nanoTime));
            running.set(cluster);
            if (stop.getAsBoolean()) {
                stop(cluster);
            }
            line.say("node        " + NODE + ", pid " + ProcessHandle.current().pid() + ", at "
                    + cluster.address() + "; others join with: castalia node --join "
                    + cluster.address());
            line.say("logs        " + job.run().resolve(RunCluster.LOGS));
            line.say("page        " + cluster.page());
            for (Companion companion : companions) {
                news.add(companion.accompany(cluster));
            }
            RunResult result = RunCluster.result(cluster.await());
            line.end();
            return result;
        } finally {
            running.set(null);
        }
    }

    /** To be called when the result was told: lets a process that was signalled end. */
    @Override
    public void close() {
        stop.close();
    }

    private void stop(@Nullable RunCluster cluster) {
        line.say("stopping at the next boundary");
        if (cluster != null) {
            cluster.stop();
        }
    }

    private static void requireFits(Request request, RunSpecification specification) {
        int most = specification.virtualRanks();
        if (request.workers() < 1 || request.workers() > most) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "--local " + request.workers()
                    + " must lie between 1 and the " + most + " virtual ranks of the run");
        }
        if (request.spares() < 0 || request.spares() > MOST_SPARES) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "--spares " + request.spares()
                    + " must lie between 0 and " + MOST_SPARES);
        }
    }
}
