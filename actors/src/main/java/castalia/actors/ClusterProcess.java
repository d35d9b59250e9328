package castalia.actors;

import akka.Done;
import akka.actor.Address;
import akka.actor.BootstrapSetup;
import akka.actor.CoordinatedShutdown;
import akka.actor.setup.ActorSystemSetup;
import akka.actor.typed.ActorRef;
import akka.actor.typed.ActorSystem;
import akka.actor.typed.Behavior;
import akka.actor.typed.SupervisorStrategy;
import akka.actor.typed.javadsl.AskPattern;
import akka.actor.typed.receptionist.Receptionist;
import akka.cluster.ClusterEvent.CurrentClusterState;
import akka.cluster.Member;
import akka.cluster.MemberStatus;
import akka.cluster.typed.Cluster;
import akka.cluster.typed.JoinSeedNodes;
import castalia.actors.message.CoordinatorTraffic;
import castalia.actors.message.JobTraffic;
import castalia.actors.message.NodeSnapshot.TrafficView;
import castalia.actors.node.AgentNews;
import castalia.actors.node.NodeAgent;
import castalia.actors.run.CandidateActor;
import castalia.actors.run.CoordinatorActor;
import castalia.actors.run.RunParts;
import castalia.actors.run.WorkerActor;
import castalia.actors.tls.RunEngines;
import castalia.actors.watch.ActorRegistry;
import castalia.actors.watch.Inspector;
import castalia.actors.watch.Instrumented;
import castalia.actors.watch.Topology;
import castalia.actors.wire.TrafficCounter;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import java.util.function.Consumer;
import java.util.function.Supplier;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.jspecify.annotations.Nullable;

/**
 * This process in the cluster. Start it, join, then spawn what it is for. Methods that wait say
 * so; none may be called by an actor.
 */
public final class ClusterProcess implements AutoCloseable {

    /** How long a seed is tried. */
    public static final Duration JOIN = Duration.ofSeconds(30);

    /** How long a name that a silent node had is waited for. */
    public static final Duration NAME_FREE = Duration.ofSeconds(10);

    /** How long a run's coordinator is looked for. */
    public static final Duration FIND_RUN = Duration.ofSeconds(15);

    /** How long this process's own receptionist may take, which is a moment unless the process stalls. */
    private static final Duration RECEPTIONIST = Duration.ofSeconds(10);

    private static final int STOP_ATTEMPTS = 25;
    private static final Duration STOP_PAUSE = Duration.ofMillis(200);
    private static final Duration SPAWN = Duration.ofSeconds(10);
    private static final Duration CLOSE = Duration.ofSeconds(30);
    private static final long POLL_MILLIS = 20;

    private final ProcessSettings settings;
    private final ActorRegistry registry;
    private final ActorSystem<Guardian.Command> system;
    private @Nullable ActorRef<Topology.Command> topology;

    private ClusterProcess(ProcessSettings settings, ActorRegistry registry,
            ActorSystem<Guardian.Command> system) {
        this.settings = settings;
        this.registry = registry;
        this.system = system;
    }

    /**
     * Starts the actor system and listens.
     *
     * @throws CastaliaException if the address cannot be listened on
     */
    public static ClusterProcess start(ProcessSettings settings) {
        ActorRegistry registry = new ActorRegistry();
        try {
            ActorSystem<Guardian.Command> system = ActorSystem.create(
                    Guardian.create(registry), ActorConfiguration.SYSTEM,
                    ActorSystemSetup.create(
                            BootstrapSetup.create(ActorConfiguration.of(settings)),
                            RunEngines.setup(settings.credential())));
            return new ClusterProcess(settings, registry, system);
        } catch (RuntimeException e) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "cannot listen on "
                    + settings.listen() + ": " + why(e), e);
        }
    }

    private static String why(Throwable failure) {
        StringBuilder all = new StringBuilder();
        for (Throwable t = failure; t != null; t = t.getCause()) {
            all.append(t).append(' ');
        }
        if (all.indexOf("in use") >= 0) {
            return "the port is in use; choose another or 0 for any";
        }
        return all.indexOf("assign requested address") >= 0
                ? "this machine does not have that address"
                : all.toString().strip();
    }

    /** Where this process listens, its port filled in. */
    public NodeAddress address() {
        Address address = Cluster.get(system).selfMember().address();
        return new NodeAddress(address.getHost().orElse(""), address.getPort().orElse(0));
    }

    /**
     * Joins the cluster, or begins it where there are no seeds; waits until this process is a
     * member. A node also waits until its name is its own. On failure the process has left again.
     *
     * @throws CastaliaException if no seed answers in time, or another node has the name
     */
    public void join() {
        join(JOIN);
    }

    /** As the other, trying the seeds so long. */
    public void join(Duration limit) {
        join(limit, NAME_FREE);
    }

    void join(Duration limit, Duration nameLimit) {
        Cluster cluster = Cluster.get(system);
        List<Address> seeds = settings.seeds().isEmpty()
                ? List.of(cluster.selfMember().address())
                : settings.seeds().stream()
                        .map(seed -> new Address(
                                "akka", ActorConfiguration.SYSTEM, seed.host(), seed.port()))
                        .toList();
        cluster.manager().tell(new JoinSeedNodes(seeds));
        if (!await(limit, () -> cluster.selfMember().status().equals(MemberStatus.up()))) {
            close();
            throw new CastaliaException(ErrorCode.PEER_LOST, "cannot reach " + seeds()
                    + " within " + limit.toSeconds() + " s; check that a node runs there, of the"
                    + " same build");
        }
        if (settings.node()) {
            requireName(nameLimit);
        }
        spawn("inspector", Inspector.Command.class,
                Inspector.create(registry, settings.name(), ProcessHandle.current().pid()),
                Instrumented.RESTART);
    }

    private String seeds() {
        return settings.seeds().stream()
                .map(NodeAddress::toString)
                .collect(Collectors.joining(" or "));
    }

    private void requireName(Duration limit) {
        Cluster cluster = Cluster.get(system);
        Supplier<NodeNames.Verdict> verdict = () -> {
            CurrentClusterState state = cluster.state();
            return NodeNames.verdict(settings.name(), cluster.selfMember(), state.getMembers(),
                    state.getUnreachable());
        };
        await(limit, () -> !(verdict.get() instanceof NodeNames.Verdict.Unsure));
        String taken = switch (verdict.get()) {
            case NodeNames.Verdict.Free() -> "";
            case NodeNames.Verdict.Taken(String by) -> by + " has it";
            case NodeNames.Verdict.Unsure(String by) -> by + " has it and does not answer";
        };
        if (!taken.isEmpty()) {
            close();
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "the node name '"
                    + settings.name() + "' is taken: " + taken + "; choose another name");
        }
    }

    /** Looks again and again until it holds; false if it did not in time. */
    private boolean await(Duration limit, Supplier<Boolean> condition) {
        long end = System.nanoTime() + limit.toNanos();
        while (!condition.get()) {
            if (system.getWhenTerminated().toCompletableFuture().isDone()
                    || System.nanoTime() > end) {
                return false;
            }
            pause(POLL_MILLIS);
        }
        return true;
    }

    private static void pause(long millis) {
        CompletableFuture.runAsync(
                        () -> {}, CompletableFuture.delayedExecutor(millis, TimeUnit.MILLISECONDS))
                .join();
    }

    /** Starts a worker's actor. */
    public ActorRef<WorkerActor.Command> startWorker(WorkerActor.Parts parts) {
        return spawn("worker", WorkerActor.Command.class, WorkerActor.create(parts),
                Instrumented.RESTART);
    }

    /** Starts a node's agent; when this process shuts down, its workers end first. */
    public ActorRef<NodeAgent.Command> startAgent(NodeAgent.Parts parts) {
        CompletableFuture<Done> empty = new CompletableFuture<>();
        Consumer<AgentNews> news = item -> {
            if (item instanceof AgentNews.Empty) {
                empty.complete(Done.getInstance());
            }
            parts.news().accept(item);
        };
        ActorRef<NodeAgent.Command> agent = spawn("agent", NodeAgent.Command.class,
                NodeAgent.create(new NodeAgent.Parts(parts.node(), parts.build(), parts.workers(),
                        parts.spares(), parts.processes(), parts.incarnations(), news)),
                Instrumented.STOP);
        beforeLeaving("workers-end", () -> {
            agent.tell(new NodeAgent.EndWorkers());
            return empty;
        });
        return agent;
    }

    /** Lets this process stand for coordinator. */
    public ActorRef<CandidateActor.Command> startCandidate(RunParts parts) {
        ActorRef<CandidateActor.Command> candidate = spawn("candidate",
                CandidateActor.Command.class,
                CandidateActor.create(registry, parts, this::firstInLine),
                Instrumented.STOP);
        beforeLeaving("candidate-retires", () -> {
            CompletableFuture<Done> retired = new CompletableFuture<>();
            candidate.tell(new CandidateActor.Retire(retired));
            return retired;
        });
        return candidate;
    }

    /** Whether no older member that may coordinate is there. */
    private boolean firstInLine() {
        Cluster cluster = Cluster.get(system);
        Member self = cluster.selfMember();
        CurrentClusterState state = cluster.state();
        return StreamSupport.stream(state.getMembers().spliterator(), false)
                .filter(member -> member.hasRole(ProcessSettings.Kind.CANDIDATE.role())
                        && !state.getUnreachable().contains(member))
                .noneMatch(member -> !member.equals(self) && member.isOlderThan(self));
    }

    /** Asks every process for its snapshot; the answer comes within a little more than a second. */
    public CompletionStage<Topology.Picture> picture() {
        ActorRef<Topology.Command> collector;
        synchronized (this) {
            if (topology == null) {
                topology = spawn("topology", Topology.Command.class, Topology.create(),
                        Instrumented.RESTART);
            }
            collector = topology;
        }
        return AskPattern.ask(collector, Topology.Collect::new,
                Topology.DEADLINE.multipliedBy(2), system.scheduler());
    }

    /** Asks the run's coordinator, wherever it is, to stop the run at a step's boundary. */
    public CompletionStage<Boolean> stopRun() {
        return stopRun(STOP_ATTEMPTS);
    }

    /** A coordinator that just began is found a little later than it can be told things. */
    private CompletionStage<Boolean> stopRun(int attempts) {
        return coordinators().thenCompose(found -> {
            found.forEach(ref -> ref.tell(new CoordinatorTraffic.StopRun()));
            return !found.isEmpty() || attempts <= 1
                    ? CompletableFuture.completedFuture(!found.isEmpty())
                    : CompletableFuture.supplyAsync(() -> attempts - 1,
                                    CompletableFuture.delayedExecutor(
                                            STOP_PAUSE.toMillis(), TimeUnit.MILLISECONDS))
                            .thenCompose(this::stopRun);
        });
    }

    /** None where this process does not answer itself: whoever asks does so again. */
    private CompletionStage<Set<ActorRef<CoordinatorTraffic>>> coordinators() {
        CompletionStage<Receptionist.Listing> found = AskPattern.ask(system.receptionist(),
                replyTo -> Receptionist.find(CoordinatorActor.KEY, replyTo),
                RECEPTIONIST, system.scheduler());
        return found.thenApply(listing -> listing.getServiceInstances(CoordinatorActor.KEY))
                .exceptionally(_ -> Set.of());
    }

    /**
     * Asks the run's coordinator what the run is; waits until one answers.
     *
     * @return what {@link RunParts#job} says there
     * @throws CastaliaException if no coordinator answers in time, or it is of another build
     */
    public String describeRun() {
        return describeRun(FIND_RUN);
    }

    String describeRun(Duration limit) {
        AtomicReference<Optional<JobTraffic>> heard = new AtomicReference<>(Optional.empty());
        await(limit, () -> {
            heard.set(askForJob());
            return heard.get().isPresent();
        });
        JobTraffic answer = heard.get().orElseThrow(() -> new CastaliaException(
                ErrorCode.PEER_LOST, "no run is led at " + seeds()
                        + ": nobody said within " + limit.toSeconds() + " s what the run is"));
        return switch (answer) {
            case JobTraffic.Job(String build, String text) -> {
                if (!build.equals(settings.build())) {
                    throw new CastaliaException(ErrorCode.CONFIG_INVALID, "this program is build "
                            + settings.build() + ", the run's coordinator " + build
                            + "; start the node from the same build");
                }
                yield text;
            }
        };
    }

    private Optional<JobTraffic> askForJob() {
        return coordinators().toCompletableFuture().join().stream()
                .flatMap(ref -> {
                    CompletionStage<JobTraffic> answer = AskPattern.ask(ref,
                            CoordinatorTraffic.Describe::new, Topology.DEADLINE,
                            system.scheduler());
                    return answer.thenApply(Stream::of)
                            .exceptionally(_ -> Stream.empty()) // it left
                            .toCompletableFuture().join();
                })
                .findFirst();
    }

    /** What this process's actors sent to others and received, by kind. */
    public List<TrafficView> traffic() {
        return TrafficCounter.of(system).views();
    }

    /** Runs before this process leaves the cluster, however its end began; at most 10 s. */
    public void beforeLeaving(String name, Supplier<CompletionStage<Done>> task) {
        CoordinatedShutdown.get(system)
                .addTask(CoordinatedShutdown.PhaseBeforeServiceUnbind(), name, task);
    }

    /** Completes when the actor system has ended: closed, or removed from the cluster. */
    public CompletionStage<Done> ended() {
        return system.getWhenTerminated();
    }

    /** Leaves the cluster and ends; waits for it. */
    @Override
    public void close() {
        CoordinatedShutdown.get(system).runAll(CoordinatedShutdown.clusterLeavingReason())
                .toCompletableFuture()
                .completeOnTimeout(Done.getInstance(), CLOSE.toMillis(), TimeUnit.MILLISECONDS)
                .join();
    }

    private <C> ActorRef<C> spawn(
            String name, Class<C> type, Behavior<C> behavior, SupervisorStrategy strategy) {
        CompletableFuture<ActorRef<C>> spawned = new CompletableFuture<>();
        system.tell(new Guardian.Spawn<>(name, type, behavior, strategy, spawned));
        try {
            return spawned.orTimeout(SPAWN.toMillis(), TimeUnit.MILLISECONDS).join();
        } catch (CompletionException e) {
            throw new CastaliaException(ErrorCode.UNSUPPORTED,
                    "the actor '" + name + "' could not be started", e);
        }
    }
}
