package castalia.deploy.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.actors.ClusterProcess;
import castalia.actors.NodeAddress;
import castalia.actors.ProcessSettings;
import castalia.actors.tls.Credential;
import castalia.deploy.Cli;
import castalia.deploy.TinyYaml;
import castalia.deploy.shell.BuildInfo;
import castalia.deploy.train.TrainingJob;
import castalia.deploy.train.TrainingRun;
import castalia.protocol.checkpoint.Manifest;
import castalia.workers.rank.StepReport;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Nodes that join a run from processes of their own, and are lost. */
@Tag("default")
@Timeout(value = 300, unit = TimeUnit.SECONDS)
class NodeCommandTest {

    private static final String ADDRESS = "node        node0, pid \\d+, at ([0-9.]+:\\d+);";
    private static final String WORKER = "started     w0, pid (\\d+)";

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit fills it
    Path folder;

    private final Deque<NodeProcess> open = new ArrayDeque<>();

    @AfterEach
    void close() {
        open.forEach(NodeProcess::close);
    }

    /** Longer than any test: every run is stopped. */
    private Path config() throws IOException {
        Path file = folder.resolve("run.yml");
        Files.writeString(file, TinyYaml.of(1_000_000, 500).with("\"extra-save-iters\": [0, 1]").text());
        return file;
    }

    private NodeProcess process(String name, Object... command) {
        NodeProcess started = NodeProcess.start(folder.resolve(name + ".log"), command);
        open.push(started);
        return started;
    }

    private NodeProcess leader(Path config, Path run) {
        return process("leader", "train", "--config", config, "--run", run, "--local", 1,
                "--threads", 1);
    }

    private NodeProcess node(String name, String seed, int workers) {
        return process(name, "node", "--join", seed, "--workers", workers, "--threads", 1,
                "--name", name);
    }

    /** A member of the cluster that asks the run to stop, whoever leads it. */
    private static ClusterProcess observer(String seed, Path run) {
        Credential credential = RunCredential.read(run);
        ClusterProcess process = ClusterProcess.start(new ProcessSettings("observer",
                ProcessSettings.Kind.AGENT, new NodeAddress("127.0.0.1", 0),
                List.of(NodeAddress.parse(seed)), RunCluster.ELIGIBLE,
                BuildInfo.ofProgram().build(), ProcessSettings.Patience.STEADY, () -> credential));
        process.join();
        assertThat(process.describeRun()).contains("config="); // it knows the coordinator now
        return process;
    }

    private static void awaitEnd(String pid) {
        while (ProcessHandle.of(Long.parseLong(pid)).filter(ProcessHandle::isAlive).isPresent()) {
            NodeProcess.pause();
        }
    }

    /** State hash of the same run in this process, undisturbed, after so many steps. */
    private String undisturbed(Path config, long steps) {
        try (TrainingJob job = TrainingJob.read(config, OptionalInt.of(1), OptionalInt.of(1),
                        Optional.empty(), Cli.home());
                TrainingRun training =
                        job.open(folder.resolve("undisturbed"), Cli.home(), new Silent())) {
            TrainingRun.Outcome outcome =
                    training.run(() -> training.group().scalars().step() >= steps);
            assertThat(outcome.step()).isEqualTo(steps);
            return outcome.last().stateHash();
        }
    }

    private record Silent() implements TrainingRun.Listener {
        @Override
        public void stepped(StepReport report, double seconds, double tokensPerSecond) {}

        @Override
        public void saved(Manifest manifest, double seconds) {}

        @Override
        public void validated(long step, double loss) {}

        @Override
        public void resumed(Manifest manifest, List<String> skipped) {}
    }

    @Test
    void aNodeThatJoinsTakesPartLeadsWhenTheLeaderIsKilledAndStoresTheStateWhenItEnds() throws IOException {
        Path config = config();
        NodeProcess leader = leader(config, folder.resolve("run"));
        String seed = leader.await(ADDRESS);
        NodeProcess node = node("second", seed, 1);
        leader.await("running     generation \\S+ on 2 ranks");
        String orphan = leader.await(WORKER);
        leader.kill();
        awaitEnd(orphan);
        node.await("running     generation 2\\.\\d+ on 1 ranks");
        node.terminate(); // nobody else could lead: what was done is stored first
        assertThat(node.code()).as(node.printed()).isEqualTo(143);
        long step = Long.parseLong(node.await("the run stopped after step (\\d+)"));
        assertThat(node.await("the run stopped .* state ([0-9a-f]{64})"))
                .isEqualTo(undisturbed(config, step));
        awaitEnd(node.await(WORKER));
    }

    @Tag("full")
    @Test
    void aLeaderThatHangsIsReplacedAndFollowsWhenItWakes() throws IOException {
        Path config = config();
        NodeProcess leader = leader(config, folder.resolve("run"));
        NodeProcess node = node("second", leader.await(ADDRESS), 1);
        leader.await("running     generation \\S+ on 2 ranks");
        int before = leader.printed().length();
        Signals.send("STOP", leader.pid());
        try {
            node.await("leader      second leads the run since term 2");
            node.await("running     generation 2\\.\\d+ on \\d ranks");
        } finally {
            Signals.send("CONT", leader.pid());
        }
        leader.await("leader      second leads the run since term 2", before);
        node.await("running     generation 2\\.\\d+ on 2 ranks");
        leader.terminate(); // stops the run, whoever leads it
        assertThat(leader.code()).as(leader.printed()).isEqualTo(143);
        assertThat(node.code()).as(node.printed()).isZero();
        long step = Long.parseLong(node.await("the run stopped after step (\\d+)"));
        String state = undisturbed(config, step);
        assertThat(node.await("the run stopped .* state ([0-9a-f]{64})")).isEqualTo(state);
        assertThat(leader.await("state  ([0-9a-f]{64})", before)).isEqualTo(state);
    }

    /** Longer than the cluster waits for it: it is a member no more when it wakes. */
    @Tag("full")
    @Test
    void aLeaderThatHangsForLongEndsWithItsWorkersWhenItWakes() throws Exception {
        Path config = config();
        NodeProcess leader = leader(config, folder.resolve("run"));
        NodeProcess node = node("second", leader.await(ADDRESS), 1);
        leader.await("running     generation \\S+ on 2 ranks");
        String worker = leader.await(WORKER);
        int before = leader.printed().length();
        Signals.send("STOP", leader.pid());
        try {
            node.await("running     generation 2\\.\\d+ on \\d ranks");
            Thread.sleep(25_000);
        } finally {
            Signals.send("CONT", leader.pid());
        }
        assertThat(leader.code()).as(leader.printed()).isEqualTo(18);
        assertThat(leader.printed().substring(before))
                .containsOnlyOnce("castalia: ").contains("castalia: this node is");
        awaitEnd(worker);
        node.await("running     generation 2\\.\\d+ on 1 ranks");
        node.terminate();
        assertThat(node.code()).as(node.printed()).isEqualTo(143);
        long step = Long.parseLong(node.await("the run stopped after step (\\d+)"));
        assertThat(node.await("the run stopped .* state ([0-9a-f]{64})"))
                .isEqualTo(undisturbed(config, step));
    }

    @Test
    void aNodeOfAnotherNumericVersionIsRefusedAndARunThatFailsFailsOnEveryNode() throws IOException {
        Path run = folder.resolve("run");
        NodeProcess leader = leader(config(), run);
        NodeProcess node = node("second", leader.await(ADDRESS), 0);
        node.await("leader      node0 leads the run since term 1");
        leader.await("running     generation \\S+ on 1 ranks");
        NodeProcess other = NodeProcess.startOfAnotherNumericVersion(
                folder.resolve("other.log"), "node", "--join", leader.await(ADDRESS));
        open.push(other);
        assertThat(other.code()).as(other.printed()).isEqualTo(10);
        assertThat(other.printed().lines().filter(line -> line.startsWith("castalia: ")))
                .singleElement().asString().contains("numeric version", run.toString());
        requireCredential(run, leader.await(ADDRESS));
        Files.move(run.resolve("terms"), run.resolve("gone"));
        assertThat(leader.code()).as(leader.printed()).isEqualTo(16);
        assertThat(node.code()).as(node.printed()).isEqualTo(16);
        assertThat(node.printed()).containsPattern("castalia: .*" + run.resolve("terms"));
    }

    /** Who cannot read the folder's credential, or has another there, is told so at once. */
    private void requireCredential(Path run, String seed) throws IOException {
        Path file = run.resolve(RunCredential.FILE);
        Path kept = Files.move(file, run.resolve("kept"));
        refused(Cli.run("node", "--join", seed), file.toString(), "there is none");
        Files.writeString(file, "no credential");
        refused(Cli.run("node", "--join", seed), file.toString(), "it is damaged");
        Path other = Files.createDirectory(folder.resolve("other"));
        try (RunCredential.Making making = RunCredential.ofLeader(other)) {
            assertThat(making.get()).isNotNull();
        }
        Files.move(other.resolve(RunCredential.FILE), file, StandardCopyOption.REPLACE_EXISTING);
        refused(Cli.run("node", "--join", seed), file.toString(), "another credential");
        Files.move(kept, file, StandardCopyOption.REPLACE_EXISTING);
    }

    private static void refused(Cli.Result result, String... words) {
        assertThat(result.code()).as("%s", result).isEqualTo(10);
        assertThat(result.err().lines()).singleElement().asString().startsWith("castalia: ")
                .contains(words);
    }

    @Tag("full")
    @Test
    void aNodeThatIsKilledIsMissedAndOneThatLeavesLeavesTheRunRunning() throws IOException {
        Path config = config();
        NodeProcess leader = leader(config, folder.resolve("run"));
        String seed = leader.await(ADDRESS);
        NodeProcess killed = node("second", seed, 1);
        leader.await("running     generation \\S+ on 2 ranks");
        NodeProcess twin = node("second", seed, 1);
        assertThat(twin.code()).as(twin.printed()).isEqualTo(10);
        assertThat(twin.printed()).contains("castalia: the node name 'second' is taken");
        int before = leader.printed().length();
        killed.kill();
        awaitEnd(killed.await(WORKER));
        leader.await("running     generation \\S+ on 1 ranks", before);
        NodeProcess leaves = node("third", seed, 2); // let in when the dead are removed
        leader.await("running     generation \\S+ on 3 ranks", before);
        leaves.terminate();
        assertThat(leaves.code()).as(leaves.printed()).isEqualTo(143);
        assertThat(leaves.printed()).contains("left; the run goes on without this node");
        NodeProcess stays = node("fourth", seed, 0);
        stays.await("node        fourth");
        try (ClusterProcess observer = observer(seed, folder.resolve("run"))) {
            assertThat(observer.stopRun().toCompletableFuture().join()).isTrue();
        }
        assertThat(leader.code()).as(leader.printed()).isZero();
        assertThat(stays.code()).as(stays.printed()).isZero();
        assertThat(stays.printed()).contains("the run stopped after step");
        long step = Long.parseLong(leader.await("stopped after step (\\d+)"));
        assertThat(leader.await("state  ([0-9a-f]{64})")).isEqualTo(undisturbed(config, step));
    }

    @Test
    void whatCannotBeJoinedIsSaidInOneLine() throws IOException {
        int free;
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            free = socket.getLocalPort();
        }
        Cli.Result nobody = Cli.run("node", "--join", "127.0.0.1:" + free, "--join-timeout", 1);
        assertThat(nobody.code()).isEqualTo(18);
        assertThat(nobody.err()).startsWith("castalia: cannot reach 127.0.0.1:" + free)
                .hasLineCount(1);
        Cli.Result far = Cli.run("node", "--join", "192.0.2.1:4000");
        assertThat(far.code()).isEqualTo(10);
        assertThat(far.err()).contains("--host").hasLineCount(1);
        assertThat(Cli.run("node", "--join", "nowhere").err())
                .isEqualTo("castalia: --join 'nowhere' is not HOST:PORT, as train --local prints it\n");
        assertThat(Cli.run("node", "--join", "127.0.0.1:1", "--name", "a b").err())
                .contains("--name 'a b'");
        assertThat(Cli.run("node", "--join", "127.0.0.1:1", "--join-timeout", 0).code())
                .isEqualTo(10);
    }
}
