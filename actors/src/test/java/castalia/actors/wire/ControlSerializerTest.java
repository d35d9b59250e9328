package castalia.actors.wire;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import akka.actor.testkit.typed.javadsl.ActorTestKit;
import akka.actor.typed.ActorRef;
import akka.serialization.Serialization;
import akka.serialization.SerializationExtension;
import akka.serialization.Serializers;
import castalia.actors.Tests;
import castalia.actors.message.AgentTraffic;
import castalia.actors.message.CandidateTraffic;
import castalia.actors.message.CoordinatorTraffic;
import castalia.actors.message.InspectorTraffic;
import castalia.actors.message.JobTraffic;
import castalia.actors.message.NodeSnapshot;
import castalia.actors.message.NodeSnapshot.TrafficView;
import castalia.actors.message.Traffic;
import castalia.actors.message.WorkerTraffic;
import castalia.protocol.ErrorCode;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.HolderReport;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.layout.SliceBlock;
import castalia.protocol.run.RunResult;
import castalia.protocol.step.StateDigest;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;

class ControlSerializerTest {

    private static final ActorTestKit KIT = Tests.kit(false);
    private static final Serialization SERIALIZATION = SerializationExtension.get(KIT.system());
    private static final Fence FENCE = new Fence(2, 5);

    @AfterAll
    static void stop() {
        KIT.shutdownTestKit();
    }

    private static List<Traffic> samples() {
        ActorRef<WorkerTraffic> worker =
                KIT.createTestProbe(WorkerTraffic.class).getRef();
        ActorRef<CoordinatorTraffic> coordinator =
                KIT.createTestProbe(CoordinatorTraffic.class).getRef();
        ActorRef<AgentTraffic> agent = KIT.createTestProbe(AgentTraffic.class).getRef();
        ActorRef<JobTraffic> joining = KIT.createTestProbe(JobTraffic.class).getRef();
        ActorRef<NodeSnapshot> page = KIT.createTestProbe(NodeSnapshot.class).getRef();
        return List.of(
                new CoordinatorTraffic.FromWorker(Tests.registered(9), worker),
                new CoordinatorTraffic.Offer("n1", "build", 4, agent),
                new CoordinatorTraffic.WorkerExited(new Incarnation(-3), "exit code 137"),
                new CoordinatorTraffic.StopRun(),
                new WorkerTraffic.Welcome(7, coordinator),
                new WorkerTraffic.FromCoordinator(new CoordinatorMessage.Pause(FENCE, 4, true)),
                new AgentTraffic.Accepted(7, coordinator),
                new AgentTraffic.Refused("another π"),
                new AgentTraffic.RunOver(7, "finished"),
                new CandidateTraffic.RunOver(7, new RunResult.Finished(30, "state", "digest")),
                new CandidateTraffic.RunOver(7, new RunResult.Stopped(30, "state")),
                new CandidateTraffic.RunOver(
                        7, new RunResult.Failed(ErrorCode.OUT_OF_MEMORY, "too little")),
                new CandidateTraffic.RunOver(7, new RunResult.Deposed(8)),
                new InspectorTraffic.Inspect(page),
                new CoordinatorTraffic.Describe(joining),
                new JobTraffic.Job("build", "run=/π".repeat(JobTraffic.MOST_BYTES / 7)));
    }

    @Test
    void everyMessageComesBackThroughAkkasSerialization() {
        for (Object message : samples()) {
            byte[] bytes = SERIALIZATION.serialize(message).get();
            int id = SERIALIZATION.findSerializerFor(message).identifier();
            String manifest = Serializers.manifestFor(
                    SERIALIZATION.findSerializerFor(message), message);
            assertThat(id).isEqualTo(ControlSerializer.IDENTIFIER);
            assertThat(SERIALIZATION.deserialize(bytes, id, manifest).get()).isEqualTo(message);
        }
        NodeSnapshot snapshot = SnapshotCodecTest.sample();
        byte[] bytes = SERIALIZATION.serialize(snapshot).get();
        assertThat(SERIALIZATION.deserialize(bytes, SnapshotSerializer.IDENTIFIER, "snapshot")
                        .get())
                .isEqualTo(snapshot);
    }

    @Test
    void garbageIsRefusedByOneTypeAndCounted() throws Exception {
        ControlSerializer serializer = (ControlSerializer)
                SERIALIZATION.serializerFor(CoordinatorTraffic.StopRun.class);
        long before = refused();
        Random random = new Random(3);
        int thrown = 0;
        for (Traffic message : samples()) {
            String manifest = serializer.manifest(message);
            byte[] good = serializer.toBinary(message);
            for (int i = 0; i < 300 && good.length > 0; i++) {
                byte[] bytes = Arrays.copyOf(good, random.nextInt(good.length + 3));
                for (int c = 0; c < 3 && bytes.length > 0; c++) {
                    bytes[random.nextInt(bytes.length)] = (byte) random.nextInt(256);
                }
                try {
                    serializer.fromBinary(bytes, manifest);
                } catch (RefusedMessageException e) {
                    thrown++;
                }
            }
        }
        assertThat(thrown).isGreaterThan(1000);
        assertThat(refused() - before).isEqualTo(thrown);
        assertThatThrownBy(() -> serializer.fromBinary(new byte[0], "java.util.HashMap"))
                .isInstanceOf(RefusedMessageException.class);
    }

    private static long refused() {
        return TrafficCounter.of(KIT.system()).views().stream()
                .mapToLong(TrafficView::refused)
                .sum();
    }

    @Test
    void aMessageThatFitsNoFrameIsRefusedWhereItIsSent() {
        List<HolderReport.Held> held = IntStream.range(0, 20_000)
                .mapToObj(c -> new HolderReport.Held(c, 1, false, StateDigest.ZERO))
                .toList();
        Traffic message = new CoordinatorTraffic.FromWorker(
                new WorkerMessage.Reported(new HolderReport(FENCE, new Incarnation(1),
                        Optional.empty(), held, -1, SliceBlock.NONE, Optional.empty())),
                KIT.createTestProbe(WorkerTraffic.class).getRef());
        assertThatThrownBy(() -> SERIALIZATION.serialize(message).get())
                .isInstanceOf(RefusedMessageException.class)
                .hasMessageContaining("exceeds");
    }

    @Test
    void aJobThatIsTooLongIsRefusedByWhoSaysItAndByWhoHearsIt() {
        assertThatThrownBy(() -> new JobTraffic.Job("b", "x".repeat(JobTraffic.MOST_BYTES + 1)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("65537 bytes");
        byte[] bytes = new byte[2 + JobTraffic.MOST_BYTES + 1];
        assertThatThrownBy(() ->
                        SERIALIZATION.deserialize(bytes, ControlSerializer.IDENTIFIER, "job").get())
                .isInstanceOf(RefusedMessageException.class)
                .hasMessageContaining("65537 bytes");
    }

    @Test
    void bytesAreCountedByKind() {
        Traffic message = new AgentTraffic.Refused("x".repeat(500));
        byte[] bytes = SERIALIZATION.serialize(message).get();
        TrafficView view = TrafficCounter.of(KIT.system()).views().stream()
                .filter(v -> v.kind().equals("refused"))
                .findFirst()
                .orElseThrow();
        assertThat(view.sent()).isPositive();
        assertThat(view.largest()).isEqualTo(bytes.length).isGreaterThan(500);
    }
}
