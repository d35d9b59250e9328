package castalia.deploy.cluster;

import castalia.actors.ClusterProcess;
import castalia.actors.NodeAddress;
import castalia.actors.ProcessSettings;
import castalia.actors.run.Outlet;
import castalia.actors.run.WorkerActor;
import castalia.actors.tls.Credential;
import castalia.checkpoints.RunFolder;
import castalia.checkpoints.hub.HubFolder;
import castalia.deploy.shell.BuildInfo;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.Storage;
import castalia.deploy.train.RunAnswers;
import castalia.deploy.train.TrainingJob;
import castalia.deploy.train.Wiring;
import castalia.kernels.Device;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.wire.RunIdentity;
import castalia.workers.exchange.socket.SocketDataPlane;
import castalia.workers.exchange.socket.SocketSettings;
import castalia.workers.model.ModelPlan;
import castalia.workers.model.ProductAnswers;
import castalia.workers.rank.RankSettings;
import castalia.workers.rank.StateTransfer;
import castalia.workers.runtime.WorkerParts;
import castalia.workers.runtime.WorkerRuntime;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.atomic.AtomicReference;

/** One worker process from start to end. */
public final class WorkerProcess {

    private static final Duration DATA_DEADLINE = Duration.ofMinutes(2);

    private final Settings settings;
    private final CastaliaHome home;

    /**
     * What a worker is told on its command line.
     *
     * @param job the run
     * @param seeds processes of the cluster to join
     * @param node name of its node
     * @param name its own name
     * @param incarnation the life it lives
     * @param threads its computing threads
     * @param local workers of this node together, which share its memory
     * @param host address it listens at
     */
    public record Settings(
            RunJob job,
            List<NodeAddress> seeds,
            String node,
            String name,
            Incarnation incarnation,
            int threads,
            int local,
            String host) {

        public Settings {
            seeds = List.copyOf(seeds);
        }
    }

    public WorkerProcess(Settings settings, CastaliaHome home) {
        this.settings = settings;
        this.home = home;
    }

    /** Takes part until dismissed; returns the exit code. */
    public int run() {
        OrphanWatch.start(System.in);
        RunJob job = settings.job();
        try (TrainingJob training = TrainingJob.read(job.config(), OptionalInt.of(1),
                        OptionalInt.of(settings.threads()), job.initial(), home);
                RunFolder folder = Storage.attempt(
                        () -> RunFolder.openToShare(job.run(), training.specification()))) {
            return takePart(training, folder);
        } catch (java.io.IOException e) {
            throw new CastaliaException(ErrorCode.STORAGE_FAILED, String.valueOf(e.getMessage()), e);
        }
    }

    private int takePart(TrainingJob training, RunFolder folder) {
        RankSettings ranks = RankSettings.of(training.specification().plan(), training.recomputation(
                settings.local(), SocketSettings.Bounds.DEFAULT.earlyBytes()));
        requireSameAnswers(training, ranks, folder);
        AtomicReference<WorkerRuntime> holder = new AtomicReference<>();
        SocketDataPlane plane = SocketDataPlane.open(plane(training, newer -> {
            WorkerRuntime runtime = holder.get();
            if (runtime != null) {
                runtime.staleSeen(newer);
            }
        }));
        Outlet outlet = new Outlet();
        CompletableFuture<String> dismissed = new CompletableFuture<>();
        try (WorkerRuntime runtime = new WorkerRuntime(parts(
                        training, ranks, folder, plane, outlet, dismissed::complete));
                ClusterProcess cluster = ClusterProcess.start(process(folder))) {
            holder.set(runtime);
            cluster.ended().thenAccept(_ -> dismissed.complete("this process left the cluster"));
            cluster.join();
            cluster.startWorker(new WorkerActor.Parts(
                    runtime, outlet, dismissed::complete, new WorkerActor.Dropped()));
            String reason = dismissed.join();
            System.out.println("castalia: worker " + settings.name() + " ends: " + reason);
            return reason.equals(CoordinatorMessage.Dismiss.OVER)
                    ? 0 : ErrorCode.PEER_LOST.exitCode();
        }
    }

    private void requireSameAnswers(TrainingJob training, RankSettings ranks, RunFolder folder) {
        var plan = ranks.plan();
        try (Device device = device(training)) {
            ModelPlan model = new ModelPlan(ranks.grid().layout(), plan.microBatch(),
                    plan.sequence(), ModelPlan.computeType(plan.precision()),
                    ranks.recomputation(), ModelPlan.headOf(device));
            model.requireOn(device);
            RunAnswers.require(folder, ProductAnswers.of(device, model));
        }
    }

    private Device device(TrainingJob training) {
        return Wiring.devices(training.hosting(), settings.local(), home).apply(number());
    }

    /** Its number in its node, from the end of its name: which GPU it takes. */
    private int number() {
        String digits = settings.name().replaceAll("\\D", "");
        return digits.isEmpty() || digits.length() > 6 ? 0 : Integer.parseInt(digits);
    }

    private SocketSettings plane(
            TrainingJob training, java.util.function.Consumer<Fence> onStale) {
        String run = RunIdentity.of(training.specification()).hash();
        return SocketSettings.of(run, settings.incarnation(), settings.node(), onStale)
                .withHost(settings.host())
                .withSocketFolder(LeftSockets.FOLDER);
    }

    private ProcessSettings process(RunFolder folder) {
        Credential credential = RunCredential.read(folder.path());
        return new ProcessSettings(settings.node() + "-" + settings.name(),
                ProcessSettings.Kind.WORKER, new NodeAddress(settings.host(), 0),
                settings.seeds(), RunCluster.ELIGIBLE, BuildInfo.ofProgram().build(),
                ProcessSettings.Patience.STEADY, () -> credential);
    }

    private WorkerParts parts(
            TrainingJob training, RankSettings ranks, RunFolder folder, SocketDataPlane plane,
            Outlet outlet, java.util.function.Consumer<String> dismissed) {
        var configuration = training.configuration();
        Member member = new Member(settings.incarnation(), settings.name(), settings.node(),
                ProcessHandle.current().pid(), plane.endpoint());
        String device;
        try (Device opened = device(training)) {
            device = opened.description();
        }
        WorkerMessage.Registered registration = new WorkerMessage.Registered(member,
                RunIdentity.of(training.specification()).hash(),
                training.specification().numericVersion(), BuildInfo.ofProgram().build(), device,
                Fence.NONE);
        Optional<WorkerParts.Validation> validation = training.data().valid().map(source ->
                new WorkerParts.Validation(source, configuration.evalInterval(),
                        Math.toIntExact(configuration.evalIterations())));
        return new WorkerParts(ranks, () -> device(training), plane, registration,
                training.data().train(), DATA_DEADLINE, WorkerParts.PATIENCE, validation,
                configuration.milestones()::due, training.specification().trainSteps(),
                initial(training, ranks), new FolderCheckpoints(folder), outlet, dismissed);
    }

    private StateTransfer.InitialState initial(TrainingJob training, RankSettings ranks) {
        return switch (training.specification().initialisation()) {
            case Initialisation.Drawn drawn -> StateTransfer.drawn(ranks, drawn);
            case Initialisation.FromFolder _ -> {
                Path source = training.initial().orElseThrow(() -> new CastaliaException(
                        ErrorCode.CONFIG_INVALID, "the run in " + settings.job().run()
                                + " starts from a folder of weights; name it with --init"));
                yield (rank, chunks) -> {
                    try (HubFolder hub = HubFolder.open(source)) {
                        StateTransfer.given(ranks, hub.weights(ranks.grid().layout()))
                                .fill(rank, chunks);
                    }
                };
            }
        };
    }
}
