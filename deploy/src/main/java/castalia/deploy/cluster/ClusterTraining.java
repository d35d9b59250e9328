package castalia.deploy.cluster;

import castalia.actors.NodeAddress;
import castalia.deploy.train.LayoutChoice;
import castalia.deploy.train.ProgressLine;
import castalia.deploy.train.RunMetrics;
import castalia.deploy.train.StopSignal;
import castalia.deploy.train.TrainingJob;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.LayoutRequest;
import castalia.protocol.layout.LayoutWish;
import castalia.protocol.run.RunResult;
import castalia.protocol.run.RunSettings;
import castalia.protocol.specification.RunSpecification;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
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
     * @param workers worker processes; empty for as many as the layout has
     * @param spares worker processes besides, to take over at once
     * @param threads computing threads of all workers
     * @param listen where actors listen
     * @param pagePort port of the page, 0 for any
     * @param layout what of the layout was named
     */
    public record Request(
            Path config,
            Path run,
            Optional<Path> initial,
            OptionalInt workers,
            int spares,
            int threads,
            NodeAddress listen,
            int pagePort,
            LayoutRequest layout) {

        /** In the layout wanted last, or the file's. */
        public Request(
                Path config, Path run, Optional<Path> initial, int workers, int spares,
                int threads, NodeAddress listen, int pagePort) {
            this(config, run, initial, OptionalInt.of(workers), spares, threads, listen, pagePort,
                    LayoutRequest.NOTHING);
        }
    }

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
        Path run = request.run().toAbsolutePath();
        try (FolderRunStorage storage = FolderRunStorage.lead(run, specification);
                RunMetrics metrics = RunMetrics.open(run);
                NewsThread news = new NewsThread();
                RunCredential.Making credential = RunCredential.ofLeader(run);
                RunCluster cluster = RunCluster.begin(
                        training, settings(training, request, storage), storage,
                        credential, news)) {
            news.add(new ClusterConsole(line, metrics, specification.trainSteps(),
                    specification.tokensPerStep(), System::nanoTime));
            news.add(storage.keeper(cluster));
            running.set(cluster);
            if (stop.getAsBoolean()) {
                stop(cluster);
            }
            line.say("node        " + NODE + ", pid " + ProcessHandle.current().pid() + ", at "
                    + cluster.address() + "; others join with: castalia node --join "
                    + cluster.address());
            line.say("logs        " + run.resolve(RunCluster.LOGS));
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

    /** Chooses and records the layout, with the folder's lock. */
    private RunCluster.Settings settings(
            TrainingJob training, Request request, FolderRunStorage storage) {
        training.keepInputs(request.run().toAbsolutePath()); // the folder is this run's, and locked
        LeftSockets.sweep(request.run().resolve(RunCluster.LOGS));
        LayoutChoice choice = storage.choose(training, request);
        LayoutWish wish = choice.wish();
        int workers = request.workers().orElse(wish.ranks());
        int there = workers + request.spares();
        int wanted = wish.ranks() > 0 ? wish.ranks() : workers;
        line.say("layout      " + wish.words() + " (" + choice.on() + ") on " + workers + " workers"
                + (wanted > there ? "; the other " + (wanted - there) + " have "
                        + RunSettings.Patience.USUAL.forming().toSeconds() + " s to join" : "")
                + (wish.ranks() > 0 && wanted < workers
                        ? "; the other " + (workers - wanted) + " wait" : ""));
        RunJob job = new RunJob(request.config().toAbsolutePath(),
                request.run().toAbsolutePath(), request.initial().map(Path::toAbsolutePath),
                workers, Path.of("").toAbsolutePath());
        return new RunCluster.Settings(job, NODE, request.listen(), workers, request.spares(),
                request.threads(), request.pagePort());
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
        int workers = request.workers().orElse(1);
        int t = Math.max(1, request.layout().tensorParallel().orElse(specification.tensorSlices()));
        int most = specification.virtualRanks() * Math.min(t, specification.tensorSlices());
        if (workers < 1 || workers > most) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "--local " + workers
                    + " must lie between 1 and " + most + ": the run has "
                    + specification.virtualRanks() + " virtual ranks and "
                    + specification.tensorSlices() + " tensor slices");
        }
        if (request.spares() < 0 || request.spares() > MOST_SPARES) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "--spares " + request.spares()
                    + " must lie between 0 and " + MOST_SPARES);
        }
    }
}
