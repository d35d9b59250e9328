package castalia.deploy.cluster;

import castalia.actors.ClusterProcess;
import castalia.actors.NodeAddress;
import castalia.actors.node.AgentNews;
import castalia.actors.run.RunParts;
import castalia.actors.tls.Credential;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.train.ProgressLine;
import castalia.deploy.train.RunMetrics;
import castalia.deploy.train.StopSignal;
import castalia.deploy.train.TrainingJob;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.run.RunNews;
import castalia.protocol.run.RunResult;
import castalia.protocol.specification.RunSpecification;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;

/** This process as one more node of a run that another process began. */
public final class NodeTraining implements AutoCloseable {

    private static final int MOST_SPARES = 64;

    private final CastaliaHome home;
    private final ProgressLine line;
    private final StopSignal stop;
    private final CompletableFuture<Ending> ending = new CompletableFuture<>();
    private final AtomicReference<@Nullable RunCluster> running = new AtomicReference<>();

    /**
     * What was asked for.
     *
     * @param seed a node of the run
     * @param name of this node, unique in the cluster
     * @param listen where its actors and workers listen
     * @param workers worker processes; with none and no spares it only stands by to coordinate
     * @param spares worker processes besides
     * @param threads computing threads of all its workers; empty for the file's or all processors
     * @param pagePort port of the page, 0 for any
     * @param patience how long the seed is tried
     */
    public record Request(
            NodeAddress seed,
            String name,
            NodeAddress listen,
            int workers,
            int spares,
            OptionalInt threads,
            int pagePort,
            Duration patience) {}

    /** Why this node's part ended. */
    private sealed interface Ending {

        record Over(RunParts.End end) implements Ending {}

        record Refused(String why) implements Ending {}

        record Left() implements Ending {}
    }

    /** From now on a signal does not end this process until {@link #close}. */
    public NodeTraining(CastaliaHome home, ProgressLine line) {
        this.home = home;
        this.line = line;
        this.stop = new StopSignal(this::leave);
    }

    /** To be called when the result was told: lets a process that was signalled end. */
    @Override
    public void close() {
        stop.close();
    }

    /**
     * Takes part until the run is over or a signal comes.
     *
     * @return how the run ended; empty if this node left before
     * @throws CastaliaException if no run is found, it does not take this node, or it failed
     */
    public Optional<RunResult> takePart(Request request) {
        long begun = System.nanoTime();
        Credential credential = Introduction.to(request.seed(), request.patience());
        try (ClusterProcess process = RunCluster.process(request.name(), request.listen(),
                        List.of(request.seed()), () -> credential)) {
            process.join(request.patience().minusNanos(System.nanoTime() - begun));
            return takePart(request, process, job(process.describeRun()));
        }
    }

    /** Where nobody else could lead the run, leaving it would lose what was done since it was stored. */
    private void leave() {
        RunCluster cluster = running.get();
        if (cluster == null || !cluster.leadsAlone()) {
            line.say("leaving; the run goes on without this node");
            ending.complete(new Ending.Left());
            return;
        }
        line.say("stopping the run at the next boundary: no other node stands by to lead it");
        cluster.stop().whenComplete((led, failure) -> {
            if (failure != null || !led) {
                ending.complete(new Ending.Left());
            }
        });
    }

    private Optional<RunResult> takePart(Request request, ClusterProcess process, RunJob job) {
        try (TrainingJob training = TrainingJob.read(job.config(),
                        OptionalInt.of(Math.max(1, request.workers())), request.threads(),
                        job.initial(), working(job), home);
                FolderRunStorage storage =
                        new FolderRunStorage(job.run(), training.specification());
                RunMetrics metrics = RunMetrics.later(job.run());
                NewsThread news = new NewsThread()) {
            RunSpecification specification = training.specification();
            requireFits(request, specification);
            news.add(new ClusterConsole(line, metrics, specification.trainSteps(),
                    specification.tokensPerStep(), System::nanoTime));
            news.add(new Refusals(ending));
            RunCluster.Settings settings = new RunCluster.Settings(job, request.name(),
                    request.listen(), request.workers(), request.spares(),
                    training.hosting().threads(), request.pagePort());
            try (RunCluster cluster =
                    RunCluster.join(process, training, settings, storage, news)) {
                running.set(cluster);
                news.add(storage.keeperLater(cluster));
                cluster.ended().thenAccept(how -> ending.complete(new Ending.Over(how)));
                line.say("node        " + request.name() + ", pid "
                        + ProcessHandle.current().pid() + ", at " + cluster.address()
                        + ", joined " + request.seed() + "; run folder " + job.run());
                line.say("page        " + cluster.page());
                Optional<RunResult> how = switch (ending.join()) {
                    case Ending.Over _ -> Optional.of(RunCluster.result(cluster.await()));
                    case Ending.Refused(String why) ->
                            throw new CastaliaException(ErrorCode.CONFIG_INVALID, why);
                    case Ending.Left() -> Optional.empty();
                };
                line.end();
                return how;
            } finally {
                running.set(null);
            }
        }
    }

    /** Listens for a coordinator that will not have this node. */
    private record Refusals(CompletableFuture<Ending> ending) implements RunCluster.Listener {

        @Override
        public void run(RunNews news) {
            // The console shows it.
        }

        @Override
        public void agent(AgentNews news) {
            if (news instanceof AgentNews.Refused(String why)) {
                ending.complete(new Ending.Refused(why));
            }
        }
    }

    /** What the coordinator says the run is; its files must be here too. */
    private static RunJob job(String text) {
        RunJob job;
        try {
            job = RunJob.parse(text);
        } catch (IllegalArgumentException e) {
            throw new CastaliaException(ErrorCode.UNSUPPORTED,
                    "the run's coordinator describes it in a way this build does not know: "
                            + e.getMessage(), e);
        }
        requireHere("configuration", job.config(), Files.isRegularFile(job.config()));
        requireHere("run folder", job.run(), Files.isDirectory(job.run()));
        job.initial().ifPresent(folder ->
                requireHere("folder of first weights", folder, Files.isDirectory(folder)));
        return job;
    }

    private static void requireHere(String what, Path path, boolean there) {
        if (!there) {
            throw notHere(what, path);
        }
    }

    static CastaliaException notHere(String what, Path path) {
        return new CastaliaException(ErrorCode.CONFIG_INVALID, "the run's " + what + " " + path
                + " is not on this machine; nodes of a run share its storage under the same"
                + " paths");
    }

    private static Path working(RunJob job) {
        return Files.isDirectory(job.working()) ? job.working() : Path.of("");
    }

    private static void requireFits(Request request, RunSpecification specification) {
        int most = specification.virtualRanks() * specification.tensorSlices();
        if (request.workers() < 0 || request.workers() > most) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "--workers " + request.workers()
                    + " must lie between 0 and the run's " + most + " virtual ranks and slices");
        }
        if (request.spares() < 0 || request.spares() > MOST_SPARES) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "--spares " + request.spares()
                    + " must lie between 0 and " + MOST_SPARES);
        }
    }
}
