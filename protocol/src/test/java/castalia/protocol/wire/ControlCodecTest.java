package castalia.protocol.wire;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.ControlSamples;
import castalia.protocol.ErrorCode;
import castalia.protocol.Fixtures;
import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.GenerationPlan;
import castalia.protocol.control.HolderReport.Held;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Endpoint;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.model.PythiaModels;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.protocol.wire.generated.ControlProtos.ReportedMessage;
import castalia.protocol.wire.generated.ControlProtos.WorkerControl;
import com.google.protobuf.ByteString;
import java.io.ByteArrayOutputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class ControlCodecTest {

    private static final ChunkGrid LARGEST =
            ChunkGrid.of(FlatLayout.of(PythiaModels.named("12b").orElseThrow().shape(), 8));
    private static final Fence FENCE = new Fence(1L << 40, 1L << 40);
    private static final ScalarState SCALARS = ScalarState.initial();

    @Test
    void everyMessageComesBackEqual() throws MalformedMessageException {
        for (WorkerMessage message : ControlSamples.worker()) {
            assertThat(ControlCodec.decodeWorker(ControlCodec.encode(message)))
                    .isEqualTo(message);
        }
        for (CoordinatorMessage message : ControlSamples.coordinator()) {
            assertThat(ControlCodec.decodeCoordinator(ControlCodec.encode(message)))
                    .isEqualTo(message);
        }
    }

    @Test
    void thereIsASampleOfEveryKind() {
        assertThat(ControlSamples.worker().stream().map(Object::getClass).distinct().toList())
                .hasSameSizeAs(WorkerMessage.class.getPermittedSubclasses());
        assertThat(ControlSamples.coordinator().stream().map(Object::getClass).distinct().toList())
                .hasSameSizeAs(CoordinatorMessage.class.getPermittedSubclasses());
    }

    @Test
    void theBytesAreTheGoldenOnes() {
        ByteArrayOutputStream worker = new ByteArrayOutputStream();
        ControlSamples.worker().forEach(m -> worker.writeBytes(ControlCodec.encode(m)));
        assertGolden("golden/worker-messages.hex", worker.toByteArray());
        ByteArrayOutputStream coordinator = new ByteArrayOutputStream();
        ControlSamples.coordinator().forEach(m -> coordinator.writeBytes(ControlCodec.encode(m)));
        assertGolden("golden/coordinator-messages.hex", coordinator.toByteArray());
    }

    private static void assertGolden(String name, byte[] bytes) {
        assertThat(HexFormat.of().formatHex(bytes))
                .as(name)
                .isEqualTo(HexFormat.of().formatHex(Fixtures.hex(name)));
    }

    @Test
    void thePlanOfTheLargestModelOn64WorkersFitsAFrameWithRoomToSpare() throws Exception {
        assertThat(LARGEST.size()).isGreaterThan(11_300);
        String longest = "n".repeat(120);
        List<Member> members = IntStream.range(0, 64)
                .mapToObj(rank -> new Member(
                        new Incarnation(~rank), longest, longest, Integer.MAX_VALUE,
                        new Endpoint("h".repeat(250), 65_535, Optional.of("s".repeat(250)))))
                .toList();
        CoordinatorMessage install = new CoordinatorMessage.Install(new GenerationPlan(
                FENCE, members, Placement.of(LARGEST, 64, 64),
                new GenerationPlan.Start.Memory(SCALARS, Optional.empty(), List.of()), true, 1L << 40));
        byte[] bytes = ControlCodec.encode(install);
        assertThat(bytes).hasSizeLessThan(200 << 10);
        assertThat(ControlCodec.decodeCoordinator(bytes)).isEqualTo(install);

        List<Integer> all = IntStream.range(0, LARGEST.size()).boxed().toList();
        assertThat(ControlCodec.encode(
                        new CoordinatorMessage.Feed(FENCE, members.getFirst(), all)))
                .hasSizeLessThan(200 << 10);
    }

    @Test
    void aWorkerThatHoldsAllOfTheLargestModelReportsInOneMessage() throws Exception {
        List<Held> held = IntStream.range(0, LARGEST.size())
                .mapToObj(c -> new Held(c, 143_000 + c / 5000, c / 5000 == 1,
                        new StateDigest(c * 0x9E3779B97F4A7C15L, ~c)))
                .toList();
        WorkerMessage report = new WorkerMessage.Reported(ControlSamples.report(held));
        byte[] bytes = ControlCodec.encode(report);
        assertThat(bytes).hasSizeLessThan(ControlCodec.MOST_BYTES);
        assertThat(ControlCodec.decodeWorker(bytes)).isEqualTo(report);
    }

    @Test
    void aFullPartOfStoredEntriesFits() {
        List<ChunkEntry> entries = new ArrayList<>();
        for (int c = 0; c < ControlCodec.STORED_ENTRIES; c++) {
            Chunk chunk = new Chunk(1 << 18, 1L << 47, ChunkGrid.LIMIT, 1000, 1000, true);
            entries.add(new ChunkEntry(
                    chunk, "ff".repeat(32), ChunkEntry.MOST_BYTES, new StateDigest(-1, -1)));
        }
        assertThat(ControlCodec.encode(
                        new WorkerMessage.Stored(FENCE, SCALARS, entries, 1 << 19)))
                .hasSizeLessThan(ControlCodec.MOST_BYTES);
        entries.add(entries.getFirst());
        assertThatThrownBy(() -> ControlCodec.encode(
                        new WorkerMessage.Stored(FENCE, SCALARS, entries, 1 << 19)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("1537 entries");
    }

    @Test
    void aReportThatFitsNoFrameIsRefusedByItsSender() {
        List<Held> held = IntStream.range(0, 20_000)
                .mapToObj(c -> new Held(c, 1, false, StateDigest.ZERO))
                .toList();
        assertThatThrownBy(() -> ControlCodec.encode(
                        new WorkerMessage.Reported(ControlSamples.report(held))))
                .hasMessageContaining("exceeds " + ControlCodec.MOST_BYTES);
    }

    @Test
    void longTextIsCutBetweenCharacters() throws MalformedMessageException {
        String text = "x".repeat(ControlCodec.LONGEST_TEXT - 1) + "\uD83D\uDE00 and more";
        WorkerMessage failed = new WorkerMessage.Failed(
                FENCE, new Incarnation(1), ErrorCode.DEVICE_FAILED, text);
        WorkerMessage read = ControlCodec.decodeWorker(ControlCodec.encode(failed));
        assertThat(((WorkerMessage.Failed) read).message())
                .isEqualTo("x".repeat(ControlCodec.LONGEST_TEXT - 1));
    }

    @Test
    void aRunOfMoreChunksThanDigestsIsRefusedBeforeTheyAreMade() {
        byte[] runs = {0, (byte) 0xff, (byte) 0xff, (byte) 0xff, (byte) 0xff, 0x07, 2};
        byte[] bytes = WorkerControl.newBuilder()
                .setFormat(1)
                .setReported(ReportedMessage.newBuilder()
                        .setRuns(ByteString.copyFrom(runs))
                        .setDigests(ByteString.copyFrom(new byte[32])))
                .build()
                .toByteArray();
        assertThatThrownBy(() -> ControlCodec.decodeWorker(bytes))
                .isInstanceOf(MalformedMessageException.class)
                .hasMessage("worker message: 2147483647 chunks with 2 digests");
    }

    @Test
    void aMessageOfNoKindAndAMessageOfTwoAreRefused() {
        assertThatThrownBy(() -> ControlCodec.decodeWorker(new byte[] {0x08, 0x01}))
                .hasMessage("worker message: holds no message");
        byte[] paused = ControlCodec.encode(new WorkerMessage.Validated(FENCE, 1, 2));
        byte[] caughtUp = ControlCodec.encode(
                new WorkerMessage.CaughtUp(FENCE, new Incarnation(1), 2));
        byte[] both = Arrays.copyOf(paused, paused.length + caughtUp.length - 2);
        System.arraycopy(caughtUp, 2, both, paused.length, caughtUp.length - 2);
        assertThatThrownBy(() -> ControlCodec.decodeWorker(both))
                .hasMessageContaining("not the canonical ones");
    }
}
