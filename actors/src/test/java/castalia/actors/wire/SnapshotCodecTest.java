package castalia.actors.wire;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.actors.message.NodeSnapshot;
import com.esotericsoftware.kryo.Kryo;
import com.esotericsoftware.kryo.io.Output;
import com.sun.management.ThreadMXBean;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class SnapshotCodecTest {

    private static final long MEBIBYTE = 1 << 20;

    private final SnapshotCodec codec = new SnapshotCodec("build-1");

    static NodeSnapshot sample() {
        return new NodeSnapshot(
                "n1", "127.0.0.1:4711", 123, List.of("worker", "node-π"),
                List.of(new NodeSnapshot.MemberView("127.0.0.1:1", "Up", true, "worker")),
                List.of(new NodeSnapshot.ActorView("/user/worker", true, 1, 20, "boom")),
                List.of(new NodeSnapshot.TrafficView("worker", 1, 2, 3, 4, 5, 6)),
                7);
    }

    private static long allocatedBy(Runnable work) {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        long before = threads.getCurrentThreadAllocatedBytes();
        work.run();
        return threads.getCurrentThreadAllocatedBytes() - before;
    }

    @Test
    void aSnapshotComesBackEqual() {
        assertThat(codec.decode(codec.encode(sample()))).isEqualTo(sample());
    }

    @Test
    void theLargestSnapshotIsCutToFitOrRefused() {
        List<NodeSnapshot.ActorView> actors = new ArrayList<>();
        for (int i = 0; i < 1000; i++) {
            actors.add(new NodeSnapshot.ActorView("/user/" + i, true, 0, 0, "x".repeat(100)));
        }
        NodeSnapshot large = new NodeSnapshot(
                "n", "a", 1, List.of(), List.of(), actors, List.of(), 0);
        assertThat(codec.decode(codec.encode(large)).actors()).hasSize(NodeSnapshot.MOST);
        NodeSnapshot.ActorView full =
                new NodeSnapshot.ActorView("p".repeat(999), true, 0, 0, "x".repeat(999));
        NodeSnapshot tooLarge = new NodeSnapshot("n", "a", 1, List.of(), List.of(),
                java.util.Collections.nCopies(999, full), List.of(), 0);
        assertThatThrownBy(() -> codec.encode(tooLarge))
                .isInstanceOf(RefusedMessageException.class);
    }

    @Test
    void aSnapshotOfAnotherBuildIsRefusedBeforeKryoSeesIt() {
        byte[] bytes = new SnapshotCodec("build-2").encode(sample());
        assertThatThrownBy(() -> codec.decode(bytes))
                .isInstanceOf(RefusedMessageException.class)
                .hasMessage("a snapshot of another build")
                .satisfies(e -> assertThat(e.getStackTrace()).isEmpty());
    }

    @Test
    void everyTruncationAndEveryLongerFormIsRefused() {
        byte[] bytes = codec.encode(sample());
        for (int length = 0; length < bytes.length; length++) {
            byte[] shorter = Arrays.copyOf(bytes, length);
            assertThatThrownBy(() -> codec.decode(shorter))
                    .as("%d of %d bytes", length, bytes.length)
                    .isInstanceOf(RefusedMessageException.class);
        }
        assertThatThrownBy(() -> codec.decode(Arrays.copyOf(bytes, bytes.length + 1)))
                .isInstanceOf(RefusedMessageException.class);
        assertThatThrownBy(() -> codec.decode(new byte[SnapshotCodec.MOST_BYTES + 1]))
                .hasMessageContaining("at most");
    }

    @Test
    void damagedBytesAreReadOrRefusedAndCostLittle() {
        byte[] good = codec.encode(sample());
        Random random = new Random(7);
        for (int i = 0; i < 20_000; i++) {
            byte[] bytes = good.clone();
            int changes = 1 + random.nextInt(4);
            for (int c = 0; c < changes; c++) {
                bytes[8 + random.nextInt(bytes.length - 8)] =
                        (byte) (random.nextBoolean() ? 0xff : random.nextInt(256));
            }
            assertThat(allocatedBy(() -> {
                try {
                    codec.decode(bytes);
                } catch (RefusedMessageException e) {
                    assertThat(e.getMessage()).isNotEmpty();
                }
            })).isLessThan(MEBIBYTE);
        }
    }

    /** The message after its class: a length of nearly 2^31 as a varint. */
    private static byte[] claim(int type) {
        byte[] bytes = {1, 'b', (byte) (type + 2), (byte) 0xff, (byte) 0xff, (byte) 0xff,
            (byte) 0xff, 0x07};
        return bytes;
    }

    @ParameterizedTest
    @ValueSource(classes = {byte[].class, float[].class, int[].class, long[].class,
        double[].class, short[].class, char[].class, String.class,
        StringBuilder.class})
    void aLengthThatTheBytesLeftCannotHoldCostsNoMemory(Class<?> type) {
        Kryo kryo = new Kryo();
        kryo.setReferences(false);
        kryo.register(type, 30);
        byte[] message = Arrays.copyOfRange(claim(30), 2, 8);
        long allocated = allocatedBy(() -> assertThatThrownBy(
                        () -> kryo.readClassAndObject(new BoundedInput(message)))
                .isInstanceOf(RuntimeException.class));
        assertThat(allocated).isLessThan(MEBIBYTE);
    }

    @Test
    void withoutTheBoundTheSameMessageAllocatesForItsClaim() {
        Kryo kryo = new Kryo();
        kryo.setReferences(false);
        kryo.register(byte[].class, 30);
        Output out = new Output(16);
        out.writeVarInt(32, true);
        out.writeVarInt((64 << 20) + 1, true);
        long allocated = allocatedBy(() -> assertThatThrownBy(
                () -> kryo.readClassAndObject(
                        new com.esotericsoftware.kryo.io.Input(out.toBytes()))));
        assertThat(allocated).isGreaterThan(64 * MEBIBYTE);
    }

    @Test
    void classesThatAreNotRegisteredAreRefused() {
        Kryo foreign = new Kryo();
        foreign.setRegistrationRequired(false);
        for (Object object : List.of(new float[3], new HashMap<>(), new int[2], sample(), "text")) {
            Output out = new Output(64, 4096);
            out.writeByte(7);
            out.writeBytes("build-1".getBytes(java.nio.charset.StandardCharsets.UTF_8));
            foreign.writeClassAndObject(out, object);
            assertThatThrownBy(() -> codec.decode(out.toBytes()))
                    .as(object.getClass().getName())
                    .isInstanceOf(RefusedMessageException.class);
        }
    }
}
