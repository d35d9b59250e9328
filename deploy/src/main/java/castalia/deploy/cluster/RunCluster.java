package castalia.deploy.cluster;

import akka.actor.typed.ActorRef;
import castalia.actors.ClusterProcess;
import castalia.actors.NodeAddress;
import castalia.actors.ProcessSettings;
import castalia.actors.heartbeat.Heartbeats;
import castalia.actors.heartbeat.Pace;
import castalia.actors.message.NodeSnapshot;
import castalia.actors.node.AgentNews;
import castalia.actors.node.NodeAgent;
import castalia.actors.run.CandidateActor;
import castalia.actors.run.RunParts;
import castalia.actors.tls.Credential;
import castalia.actors.watch.Topology;
import castalia.deploy.console.RunView;
import castalia.deploy.console.StatusPage;
import castalia.deploy.shell.BuildInfo;
import castalia.deploy.status.RunStatus;
import castalia.deploy.train.TrainingJob;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.identity.Claimant;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.LayoutWish;
import castalia.protocol.run.RunNews;
import castalia.protocol.run.RunResult;
import castalia.protocol.run.RunSettings;
import castalia.protocol.specification.RunSpecification;
import castalia.protocol.wire.RunIdentity;
import castalia.workers.exchange.socket.SocketSettings;
import java.security.SecureRandom;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.function.Supplier;

/**
 * This process as a node of a run's cluster: its agent, parent of its worker processes; a candidate
 * for coordinator; and the page people look at.
 */
public final class RunCluster implements AutoCloseable {

    /** Folder of the workers' output in a run's folder. */
    public static final String LOGS = "logs";

    /**
     * Nodes come and go, so that no number of them is known that all processes could agree on. Two
     * says: few, and any may be lost.
     */
    static final int ELIGIBLE = 2;

    private static final SecureRandom RANDOM = new SecureRandom();
    private static final long PICTURE_SECONDS = 3;

    /** How long workers that were told that the run is over may take to end by themselves. */
    private static final Duration GOODBYE = Duration.ofSeconds(5);

    private final Deque<AutoCloseable> opened = new ArrayDeque<>();
    private final CompletableFuture<RunParts.End> end = new CompletableFuture<>();
    private final Children children = new Children();
    private final ClusterProcess cluster;
    private final Heartbeats heartbeats;
    private final ActorRef<NodeAgent.Command> agent;
    private final ActorRef<CandidateActor.Command> candidate;
    private final RunView view;
    private final StatusPage page;
    private final RunStatus.Machine machine;

    /**
     * What this node does.
     *
     * @param job the run
     * @param node its name, unique in the cluster
     * @param listen where its actors listen
     * @param workers worker processes it keeps running
     * @param spares worker processes besides
     * @param threads computing threads of all its workers
     * @param pagePort port of the page, 0 for any
     */
    public record Settings(
            RunJob job,
            String node,
            NodeAddress listen,
            int workers,
            int spares,
            int threads,
            int pagePort) {

        public Settings {
            if (workers < 0 || spares < 0) {
                throw new IllegalArgumentException(workers + " workers and " + spares + " spares");
            }
        }
    }

    /** Is told what happens, by actors: it must not block. */
    public interface Listener {

        /** News of the run where this node coordinates; and who leads, wherever. */
        void run(RunNews news);

        /** News of this node's workers. */
        void agent(AgentNews news);
    }

    /**
     * Begins a cluster and starts everything; the run begins when its workers are there.
     *
     * @param storage the run's durable part; stays the caller's
     * @param credential asked when the first worker connects, or before
     * @throws CastaliaException if a port is in use
     */
    static RunCluster begin(
            TrainingJob training, Settings settings, FolderRunStorage storage,
            Supplier<Credential> credential, Listener listener) {
        ClusterProcess cluster =
                process(settings.node(), settings.listen(), List.of(), credential);
        try {
            var _ = credential.get(); // said here, where a failure is one line
            cluster.join();
        } catch (RuntimeException e) {
            cluster.close();
            throw e;
        }
        return new RunCluster(cluster, true, training, settings, storage, listener);
    }

    /** Takes part in a run whose cluster this process joined. The process becomes the node's. */
    static RunCluster join(
            ClusterProcess joined, TrainingJob training, Settings settings, FolderRunStorage storage,
            Listener listener) {
        return new RunCluster(joined, false, training, settings, storage, listener);
    }

    /**
     * A node's process, which has not joined yet.
     *
     * @param seeds nodes to join; empty to begin a cluster
     */
    static ClusterProcess process(String node, NodeAddress listen, List<NodeAddress> seeds,
            Supplier<Credential> credential) {
        return ClusterProcess.start(new ProcessSettings(node, ProcessSettings.Kind.CANDIDATE,
                listen, seeds, ELIGIBLE, BuildInfo.ofProgram().build(),
                ProcessSettings.Patience.STEADY, credential));
    }

    private RunCluster(
            ClusterProcess process, boolean leads, TrainingJob training, Settings settings,
            FolderRunStorage storage, Listener listener) {
        try {
            this.cluster = opened(process);
            cluster.ended().thenAccept(_ -> end.complete(new RunParts.End.GaveUp(
                    "this process was removed from the cluster")));
            RunSpecification specification = training.specification();
            String run = RunIdentity.of(specification).hash();
            String build = BuildInfo.ofProgram().build();
            this.view = new RunView(new RunView.Facts(run.substring(0, 12),
                    settings.job().run().toString(), specification.trainSteps(),
                    specification.tokensPerStep(), specification.virtualRanks()),
                    System::nanoTime);
            this.page = opened(new StatusPage(settings.pagePort(), this::state));
            this.machine = new RunStatus.Machine(settings.node(),
                    training.hosting().usableBytes(settings.workers(), settings.spares()),
                    training.recomputation(Math.max(1, settings.workers() + settings.spares()),
                            SocketSettings.Bounds.DEFAULT.earlyBytes()));
            Consumer<RunNews> news = item -> {
                view.accept(item);
                listener.run(item);
            };
            RunSettings machine = new RunSettings(run, specification.numericVersion(), build,
                    ChunkGrid.of(FlatLayout.of(
                            specification.model(), specification.tensorSlices())),
                    specification.virtualRanks(), settings.job().ranks(), LayoutWish.USUAL,
                    specification.trainSteps(), RunSettings.Patience.USUAL);
            Incarnation self = incarnation();
            this.heartbeats =
                    opened(Heartbeats.open(settings.listen().host(), self, Pace.USUAL));
            Claimant claimant = new Claimant(self, settings.node(), settings.listen().host(),
                    heartbeats.port(), FolderRunStorage.thisProcess());
            this.candidate = cluster.startCandidate(new RunParts(
                    term -> new MachineLogic(
                            storage.seenWish().map(machine::with).orElse(machine), term),
                    storage, build, claimant, settings.job().text(), news, end::complete,
                    heartbeats));
            if (leads) {
                candidate.tell(new CandidateActor.Lead());
            }
            this.agent = cluster.startAgent(new NodeAgent.Parts(settings.node(), build,
                    settings.workers(), settings.spares(),
                    new ChildJvms(settings.job().run().resolve(LOGS), settings.job().working(),
                            (name, life) -> workerArguments(settings, name, life)),
                    RunCluster::incarnation, item -> {
                        children.accept(item);
                        listener.agent(item);
                    }));
        } catch (RuntimeException | Error e) {
            closeAfter(e);
            throw e;
        }
    }

    private <T extends AutoCloseable> T opened(T resource) {
        opened.push(resource);
        return resource;
    }

    private static Incarnation incarnation() {
        return new Incarnation(RANDOM.nextLong());
    }

    private List<String> workerArguments(Settings settings, String name, Incarnation life) {
        RunJob job = settings.job();
        int workers = settings.workers() + settings.spares();
        List<String> all = new ArrayList<>(List.of("worker",
                "--config", job.config().toString(), "--run", job.run().toString(),
                "--seed", cluster.address().toString(), "--node", settings.node(), "--name", name,
                "--incarnation", life.toString(),
                "--threads", Integer.toString(
                        Math.max(1, settings.threads() / Math.max(1, settings.workers()))),
                "--local", Integer.toString(workers), "--host", settings.listen().host()));
        job.initial().ifPresent(folder -> all.addAll(List.of("--init", folder.toString())));
        return all;
    }

    /** Where its actors listen: what other nodes join. */
    public NodeAddress address() {
        return cluster.address();
    }

    /** Address of the page. */
    public String page() {
        return page.address();
    }

    /** This node's machine, before its workers began. */
    RunStatus.Machine machine() {
        return machine;
    }

    /** The run as this node knows it. */
    public RunView view() {
        return view;
    }

    /** Completes when the run ended, or this process cannot take part any more. */
    CompletionStage<RunParts.End> ended() {
        return end;
    }

    /** Waits for the end of the run, and then a moment for this node's workers to end. */
    public RunParts.End await() {
        RunParts.End how = end.join();
        children.awaitNone(GOODBYE);
        return how;
    }

    /**
     * The result of a run that ended, whoever led it then.
     *
     * @throws CastaliaException if it failed, or this node lost it
     */
    static RunResult result(RunParts.End end) {
        RunResult result = switch (end) {
            case RunParts.End.Here(RunResult here) -> here;
            case RunParts.End.Elsewhere(long _, RunResult there) -> there;
            case RunParts.End.GaveUp(String why) ->
                    throw new CastaliaException(ErrorCode.PEER_LOST, why);
        };
        if (result instanceof RunResult.Failed(ErrorCode code, String message)) {
            throw new CastaliaException(code, message);
        }
        return result;
    }

    /**
     * Asks the run to stop at a step's boundary, with a checkpoint.
     *
     * @return whether anybody leads it
     */
    public CompletionStage<Boolean> stop() {
        return cluster.stopRun();
    }

    /** Whether this node leads the run and no other stands by to. */
    boolean leadsAlone() {
        return heartbeats.leadsUnwatched();
    }

    /** Ends one of this node's workers at once, as a fault would. */
    public void kill(String worker) {
        agent.tell(new NodeAgent.Kill(worker));
    }

    /** Hands a worker a message that no coordinator decided on: an injected fault. */
    public void inject(Incarnation worker, CoordinatorMessage message) {
        candidate.tell(new CandidateActor.Inject(worker, message));
    }

    /** Bytes and messages between actors of this process and others, by kind. */
    public List<NodeSnapshot.TrafficView> traffic() {
        return cluster.traffic();
    }

    /** Every process of the cluster that answers. */
    public Topology.Picture picture() {
        try {
            return cluster.picture().toCompletableFuture()
                    .orTimeout(PICTURE_SECONDS, TimeUnit.SECONDS).join();
        } catch (CompletionException e) {
            return new Topology.Picture(List.of(), 0);
        }
    }

    /** An actor as the page shows it. */
    public record ActorRow(
            String node, String actor, long messages, long restarts, String lastFailure) {}

    private record PageState(RunView.Snapshot run, List<ActorRow> actors) {}

    private Object state() {
        List<ActorRow> rows = picture().nodes().stream()
                .flatMap(node -> node.actors().stream().map(actor -> new ActorRow(node.node(),
                        actor.path(), actor.processed(), actor.restarts(), actor.failure())))
                .toList();
        return new PageState(view.snapshot(), rows);
    }

    private void closeAfter(Throwable failure) {
        try {
            close();
        } catch (RuntimeException | Error e) {
            failure.addSuppressed(e);
        }
    }

    /** Ends this node's workers, leaves the cluster and frees everything. */
    @Override
    public void close() {
        AutoCloseable next = opened.poll();
        if (next != null) {
            try {
                next.close();
            } catch (RuntimeException e) {
                throw e;
            } catch (Exception e) {
                throw new IllegalStateException(e);
            } finally {
                close();
            }
        }
    }
}
