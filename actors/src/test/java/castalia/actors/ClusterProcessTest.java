package castalia.actors;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.actors.Tests.FakeLogic;
import castalia.actors.Tests.FakeRank;
import castalia.actors.Tests.FakeStorage;
import castalia.actors.heartbeat.Heartbeats;
import castalia.actors.message.NodeSnapshot.TrafficView;
import castalia.actors.message.NodeSnapshot;
import castalia.actors.run.Outlet;
import castalia.actors.run.RunLogic;
import castalia.actors.run.RunParts;
import castalia.actors.run.WorkerActor;
import castalia.actors.watch.Topology;
import castalia.protocol.CastaliaException;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.run.RunEffect;
import castalia.protocol.run.RunEvent;
import castalia.protocol.run.RunResult;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Tag("default")
@Timeout(90)
class ClusterProcessTest {

    private static final Duration SHORT = Duration.ofSeconds(2);

    private final BlockingQueue<ClusterProcess> open = new LinkedBlockingQueue<>();

    private final List<Heartbeats> hearts = new ArrayList<>();

    @AfterEach
    void close() {
        open.forEach(ClusterProcess::close);
        hearts.forEach(Heartbeats::close);
    }

    private ClusterProcess start(
            String name, ProcessSettings.Kind kind, List<NodeAddress> seeds) {
        return start(name, kind, new NodeAddress("127.0.0.1", 0), seeds, Tests.BUILD);
    }

    /** Nothing is killed here, and a machine that stalls shall be no loss. */
    private ClusterProcess start(String name, ProcessSettings.Kind kind, NodeAddress listen,
            List<NodeAddress> seeds, String build) {
        ClusterProcess process = ClusterProcess.start(new ProcessSettings(name, kind, listen, seeds, 1,
                build, ProcessSettings.Patience.STEADY, Credentials::ours));
        open.add(process);
        return process;
    }

    private void lead(ClusterProcess process, FakeLogic logic, String job, Consumer<RunParts.End> end) {
        lead(process, term -> logic, new FakeStorage(), job, end);
    }

    private void lead(ClusterProcess process, RunLogic.Factory logic, FakeStorage storage, String job,
            Consumer<RunParts.End> end) {
        int id = process.address().port();
        Heartbeats heartbeats = Tests.heartbeats(id);
        hearts.add(heartbeats);
        process.startCandidate(new RunParts(logic, storage, Tests.BUILD,
                Tests.claimant("n" + id, id, heartbeats), job, news -> {}, end, heartbeats));
    }

    @Test
    void aCoordinatorAndAWorkerOfTwoProcessesTalkAndAreSeen() throws InterruptedException {
        ClusterProcess node = start("n1", ProcessSettings.Kind.CANDIDATE, List.of());
        node.join();
        ClusterProcess other =
                start("w1", ProcessSettings.Kind.WORKER, List.of(node.address()));
        other.join();
        Fence fence = new Fence(1, 1);
        FakeLogic logic = new FakeLogic(List.of(), event -> switch (event) {
            case RunEvent.FromWorker(WorkerMessage.Registered m) -> List.of(new RunEffect.Send(
                    m.member().incarnation(), new CoordinatorMessage.Query(fence)));
            case RunEvent.StopRequested() ->
                List.of(new RunEffect.End(new RunResult.Stopped(1, "h")));
            default -> List.of();
        });
        BlockingQueue<RunParts.End> ends = new LinkedBlockingQueue<>();
        lead(node, logic, "job", ends::add);
        FakeRank rank = new FakeRank(1);
        Outlet outlet = new Outlet();
        other.startWorker(new WorkerActor.Parts(
                rank, outlet, reason -> {}, new WorkerActor.Dropped()));
        assertThat(Tests.take(rank.told)).isEqualTo(new CoordinatorMessage.Query(fence));
        WorkerMessage installed = new WorkerMessage.Installed(fence, new Incarnation(1));
        outlet.accept(installed);
        RunEvent registered = new RunEvent.FromWorker(Tests.registered(1));
        assertThat(Tests.take(logic.events)).isEqualTo(registered);
        RunEvent next = Tests.take(logic.events);
        while (next.equals(registered)) { // again, because it was not answered in time
            next = Tests.take(logic.events);
        }
        assertThat(next).isEqualTo(new RunEvent.FromWorker(installed));

        Topology.Picture picture = Tests.picture(node);
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(20);
        while (picture.nodes().size() < 2 && System.nanoTime() < end) {
            TimeUnit.MILLISECONDS.sleep(50); // its collector learns of the inspectors
            picture = Tests.picture(node);
        }
        assertThat(picture.nodes()).extracting(NodeSnapshot::node).containsExactly("n1", "w1");
        assertThat(picture.nodes()).allSatisfy(n -> assertThat(n.members()).hasSize(2));
        assertThat(picture.nodes().get(1).actors())
                .anySatisfy(actor -> {
                    assertThat(actor.path()).isEqualTo("/user/worker");
                    assertThat(actor.processed()).isPositive();
                });
        assertThat(node.traffic()).extracting(TrafficView::kind)
                .contains("worker", "welcome", "coordinator", "snapshot");
        assertThat(node.traffic()).allSatisfy(view -> {
            assertThat(view.largest()).isLessThan(16 << 10);
            assertThat(view.refused()).isZero();
        });
        assertThat(node.stopRun().toCompletableFuture().join()).isTrue();
        assertThat(Tests.take(ends))
                .isEqualTo(new RunParts.End.Here(new RunResult.Stopped(1, "h")));
    }

    @Test
    void aWorkerWhoseProcessLeavesIsMissed() {
        ClusterProcess node = start("n1", ProcessSettings.Kind.CANDIDATE, List.of());
        node.join();
        ClusterProcess other =
                start("w1", ProcessSettings.Kind.WORKER, List.of(node.address()));
        other.join();
        FakeLogic logic = new FakeLogic(List.of(), event -> List.of());
        lead(node, logic, "job", end -> {});
        other.startWorker(new WorkerActor.Parts(
                new FakeRank(1), new Outlet(), reason -> {}, new WorkerActor.Dropped()));
        assertThat(Tests.take(logic.events)).isInstanceOf(RunEvent.FromWorker.class);
        other.close();
        RunEvent next = Tests.take(logic.events);
        while (next instanceof RunEvent.FromWorker) { // a registration that was not answered in time
            next = Tests.take(logic.events);
        }
        assertThat(next).isInstanceOf(RunEvent.WorkerGone.class);
    }

    @Test
    void whenTheCoordinatorsProcessLeavesAnotherCandidateTakesTheNextTermAndWorkersFollow() {
        ClusterProcess first = start("n1", ProcessSettings.Kind.CANDIDATE, List.of());
        first.join();
        List<NodeAddress> seed = List.of(first.address());
        ClusterProcess second = start("n2", ProcessSettings.Kind.CANDIDATE, seed);
        second.join();
        ClusterProcess third = start("w1", ProcessSettings.Kind.WORKER, seed);
        third.join();
        FakeStorage storage = new FakeStorage();
        BlockingQueue<Long> terms = new LinkedBlockingQueue<>();
        FakeLogic logic = new FakeLogic(List.of(), event -> List.of());
        for (ClusterProcess process : List.of(first, second)) {
            lead(process, term -> {
                terms.add(term);
                return logic;
            }, storage, "job", end -> {});
        }
        third.startWorker(new WorkerActor.Parts(
                new FakeRank(1), new Outlet(), reason -> {}, new WorkerActor.Dropped()));
        RunEvent registered = new RunEvent.FromWorker(Tests.registered(1));
        assertThat(Tests.take(terms)).isEqualTo(1);
        assertThat(Tests.take(logic.events)).isEqualTo(registered);
        first.close();
        assertThat(Tests.take(terms)).isEqualTo(2);
        assertThat(Tests.take(logic.events)).isEqualTo(registered);
        assertThat(storage.claims)
                .containsExactly("n" + first.address().port(), "n" + second.address().port());
    }

    @Test
    void theYoungerOfTwoNodesOfOneNameIsRefused() {
        ClusterProcess first = start("n1", ProcessSettings.Kind.CANDIDATE, List.of());
        first.join();
        ClusterProcess second =
                start("n1", ProcessSettings.Kind.AGENT, List.of(first.address()));
        assertThatThrownBy(second::join)
                .isInstanceOf(CastaliaException.class)
                .hasMessageContaining("the node name 'n1' is taken: 127.0.0.1:"
                        + first.address().port() + " has it");
    }

    @Test
    void whoJoinsLearnsWhatTheRunIsUnlessItsBuildIsAnother() {
        ClusterProcess node = start("n1", ProcessSettings.Kind.CANDIDATE, List.of());
        node.join();
        ClusterProcess same = start("n2", ProcessSettings.Kind.AGENT, List.of(node.address()));
        same.join();
        assertThatThrownBy(() -> same.describeRun(SHORT))
                .isInstanceOf(CastaliaException.class)
                .hasMessageContaining("no run is led at " + node.address());
        FakeLogic logic = new FakeLogic(List.of(), event -> List.of());
        lead(node, logic, "what\nand where", end -> {});
        assertThat(same.describeRun()).isEqualTo("what\nand where");
        ClusterProcess other = start("n3", ProcessSettings.Kind.AGENT,
                new NodeAddress("127.0.0.1", 0), List.of(node.address()), "build-2");
        other.join();
        assertThatThrownBy(other::describeRun)
                .isInstanceOf(CastaliaException.class)
                .hasMessage("this program is build build-2, the run's coordinator build-1;"
                        + " start the node from the same build");
    }

    @Test
    void aSeedThatDoesNotAnswerIsNamed() throws IOException {
        int free;
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            free = socket.getLocalPort();
        }
        ClusterProcess process = start("w1", ProcessSettings.Kind.WORKER,
                List.of(new NodeAddress("127.0.0.1", free)));
        assertThatThrownBy(() -> process.join(SHORT, SHORT))
                .isInstanceOf(CastaliaException.class)
                .hasMessageContaining("cannot reach 127.0.0.1:" + free);
    }

    @Test
    void aPortInUseAndAnAddressOfAnotherMachineAreNamed() throws IOException {
        try (ServerSocket socket = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            assertThatThrownBy(() -> listen("127.0.0.1", socket.getLocalPort()))
                    .isInstanceOf(CastaliaException.class)
                    .hasMessage("cannot listen on 127.0.0.1:" + socket.getLocalPort()
                            + ": the port is in use; choose another or 0 for any");
        }
        assertThatThrownBy(() -> listen("192.0.2.1", 0))
                .isInstanceOf(CastaliaException.class)
                .hasMessage("cannot listen on 192.0.2.1:0: this machine does not have that"
                        + " address");
    }

    private void listen(String host, int port) {
        start("n1", ProcessSettings.Kind.AGENT, new NodeAddress(host, port), List.of(), Tests.BUILD);
    }
}
