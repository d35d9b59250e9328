package castalia.actors;

import akka.actor.testkit.typed.javadsl.ActorTestKit;
import akka.actor.testkit.typed.javadsl.ManualTime;
import castalia.actors.heartbeat.Heartbeats;
import castalia.actors.heartbeat.Pace;
import castalia.actors.run.RunLogic;
import castalia.actors.watch.Topology;
import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.GenerationPlan;
import castalia.protocol.control.RankRuntime;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Claimant;
import castalia.protocol.identity.Endpoint;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.LayoutWish;
import castalia.protocol.run.RunEffect;
import castalia.protocol.run.RunEvent;
import castalia.protocol.run.RunStorage;
import castalia.protocol.step.ScalarState;
import com.typesafe.config.Config;
import com.typesafe.config.ConfigFactory;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;

/** Fakes and settings that the tests of actors share. */
public final class Tests {

    public static final String BUILD = "build-1";

    /** Soon, but not for a machine that stalls for a moment; a beat holds until rest. */
    public static final Pace PACE =
            new Pace(Duration.ofMillis(50), Duration.ofSeconds(2), Duration.ofMillis(500),
                    Duration.ofHours(1));

    private Tests() {}

    public static ProcessSettings settings(
            String name, ProcessSettings.Kind kind, List<NodeAddress> seeds) {
        return new ProcessSettings(name, kind, new NodeAddress("127.0.0.1", 0), seeds, 1, BUILD,
                ProcessSettings.Patience.FAST, Credentials::ours);
    }

    /** Our configuration without the network; what waits does so long enough for a machine that stalls. */
    public static ActorTestKit kit(boolean manualTime) {
        Config local = ConfigFactory.parseString("""
                akka.actor.provider = local
                akka.actor.testkit.typed.single-expect-default = 20 s
                akka.actor.testkit.typed.default-timeout = 30 s
                akka.actor.testkit.typed.system-shutdown-default = 60 s
                """);
        Config config = local.withFallback(ActorConfiguration.of(
                settings("test", ProcessSettings.Kind.AGENT, List.of())));
        return ActorTestKit.create(manualTime ? ManualTime.config().withFallback(config) : config);
    }

    public static Member member(long id) {
        return new Member(new Incarnation(id), "w" + id, "node", 100 + id,
                new Endpoint("127.0.0.1", 4000, Optional.empty()));
    }

    public static WorkerMessage.Registered registered(long id) {
        return new WorkerMessage.Registered(
                member(id), "run", "numeric", BUILD, "cpu", Fence.NONE);
    }

    /** Of a candidate on this machine; to be closed. */
    public static Heartbeats heartbeats(long id) {
        return heartbeats(id, PACE);
    }

    /** As the other, at a pace. */
    public static Heartbeats heartbeats(long id, Pace pace) {
        return Heartbeats.open("127.0.0.1", new Incarnation(id), pace);
    }

    /** Of the node {@code node}, which answers with these heartbeats. */
    public static Claimant claimant(String node, long id, Heartbeats heartbeats) {
        return new Claimant(
                new Incarnation(id), node, "127.0.0.1", heartbeats.port(), "pid " + id);
    }

    /** Who answers a process; nobody where it took too long. */
    static Topology.Picture picture(ClusterProcess process) {
        return process.picture().exceptionally(_ -> new Topology.Picture(List.of(), 0))
                .toCompletableFuture().join();
    }

    /** Takes from a queue within twenty seconds. */
    public static <T> T take(BlockingQueue<T> queue) {
        try {
            T next = queue.poll(20, TimeUnit.SECONDS);
            if (next == null) {
                throw new AssertionError("nothing came");
            }
            return next;
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    /** A rank that notes what it is told. */
    public static final class FakeRank implements RankRuntime {
        public final BlockingQueue<CoordinatorMessage> told = new LinkedBlockingQueue<>();
        private final long id;

        public FakeRank(long id) {
            this.id = id;
        }

        @Override
        public Member member() {
            return Tests.member(id);
        }

        @Override
        public WorkerMessage.Registered registration() {
            return registered(id);
        }

        @Override
        public void accept(CoordinatorMessage message) {
            told.add(message);
        }

        @Override
        public void close() {}
    }

    /** A machine that notes events and answers by a function. */
    public static final class FakeLogic implements RunLogic {
        public final BlockingQueue<RunEvent> events = new LinkedBlockingQueue<>();
        private final List<RunEffect> first;
        private final Function<RunEvent, List<RunEffect>> answers;

        public FakeLogic(List<RunEffect> first, Function<RunEvent, List<RunEffect>> answers) {
            this.first = first;
            this.answers = answers;
        }

        @Override
        public List<RunEffect> start() {
            return first;
        }

        @Override
        public List<RunEffect> on(RunEvent event) {
            events.add(event);
            return answers.apply(event);
        }
    }

    /** Terms in memory; what else is asked is noted. */
    public static final class FakeStorage implements RunStorage {
        public final List<String> claims = new ArrayList<>();
        public volatile String broken = "";
        private long newest;
        private Optional<Claimant> newestBy = Optional.empty();

        @Override
        public synchronized Optional<Long> claimTerm(Claimant by) {
            claims.add(by.node());
            newest++;
            newestBy = Optional.of(by);
            return Optional.of(newest);
        }

        /** Somebody else claims the next term. */
        public synchronized void claimedElsewhere(Optional<Claimant> by) {
            newest++;
            newestBy = by;
        }

        @Override
        public synchronized Optional<Claim> newestClaim() {
            return newest == 0 ? Optional.empty() : Optional.of(new Claim(newest, newestBy));
        }

        @Override
        public void keepOthersOut() {}

        @Override
        public synchronized long newestTerm() {
            return newest;
        }

        public volatile Optional<LayoutWish> wish = Optional.empty();

        @Override
        public Optional<LayoutWish> wish() {
            return wish;
        }

        @Override
        public Optional<Newest> newestCheckpoint() {
            fail();
            return Optional.of(new Newest(ScalarState.initial(), "hash-0"));
        }

        @Override
        public String publish(ScalarState scalars, List<ChunkEntry> entries, long parentStep) {
            fail();
            return "hash-" + scalars.step();
        }

        @Override
        public void logGeneration(GenerationPlan plan) {
            fail();
        }

        private void fail() {
            if (!broken.isEmpty()) {
                throw new castalia.protocol.CastaliaException(
                        castalia.protocol.ErrorCode.STORAGE_FAILED, broken);
            }
        }

        @Override
        public void close() {}
    }
}
