package castalia.kernels.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.PeerMemory;
import castalia.testing.CudaStandIn;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Memory of a device that a device of another process reads, on the stand-in for the driver. */
@Tag("default")
@Timeout(60)
class CudaPeerMemoryTest {

    private static final int ELEMENTS = 3000;

    /** Another process: fills memory, prints where it lies, doubles it at each line, ends at the last. */
    public static final class Other {

        private Other() {}

        public static void main(String[] args) throws IOException {
            try (CudaDevice device = device(args[0], args[1]); Arena arena = device.arena();
                    BufferedReader in = new BufferedReader(new InputStreamReader(
                            System.in, StandardCharsets.UTF_8))) {
                arena.allocate(DType.F32, 77);
                Buffer x = arena.allocate(DType.F32, ELEMENTS);
                device.kernels().fill(x, 1.5f, ELEMENTS);
                PeerMemory memory = device.peerMemory().orElseThrow();
                MemorySegment place = MemorySegment.ofArray(new byte[PeerMemory.PLACE_BYTES]);
                memory.place(place, x.segment());
                System.out.println(memory.machine());
                System.out.println(HexFormat.of().formatHex(place.toArray(ValueLayout.JAVA_BYTE)));
                while (in.readLine() != null) {
                    device.kernels().add(x, x, ELEMENTS);
                    memory.place(place, x.segment()); // waits
                    System.out.println("done");
                }
            }
        }
    }

    private static CudaDevice device(String driver, String libraries) {
        return new CudaDevice(
                new CudaSettings(0, driver, libraries, "target/natives", 128L << 20));
    }

    private static CudaDevice device() {
        return device(CudaStandIn.driver("memory of other processes"), CudaStandIn.folder());
    }

    private static Process other() throws IOException {
        List<String> command = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--enable-native-access=ALL-UNNAMED", "--add-modules=jdk.incubator.vector", "-cp",
                System.getProperty("java.class.path"), Other.class.getName(),
                CudaStandIn.driver("memory of other processes"), CudaStandIn.folder()));
        return new ProcessBuilder(command)
                .redirectError(ProcessBuilder.Redirect.DISCARD).start();
    }

    private static String line(BufferedReader from) throws IOException {
        return Objects.requireNonNull(from.readLine(), "the other process ended");
    }

    @AfterEach
    void asItWas() {
        CudaStandIn.environment("CASTALIA_STANDIN_REACH", null);
    }

    private static float[] read(CudaDevice device, PeerMemory memory, MemorySegment theirs) {
        try (Arena arena = device.arena()) {
            Buffer x = arena.allocate(DType.F32, ELEMENTS);
            memory.copy(x.segment(), theirs);
            float[] read = new float[ELEMENTS];
            device.download(MemorySegment.ofArray(read), x);
            return read;
        }
    }

    @Test
    void itIsCopiedAndComputedWithAndStaysReadableWhenItsProcessIsKilled() throws Exception {
        long closed = closings();
        Process other = other();
        try (CudaDevice device = device();
                BufferedReader out = other.inputReader(StandardCharsets.UTF_8)) {
            PeerMemory memory = device.peerMemory().orElseThrow();
            assertThat(line(out)).isEqualTo(memory.machine());
            MemorySegment place = MemorySegment.ofArray(HexFormat.of().parseHex(line(out)));
            try (PeerMemory.Peer peer = memory.peer(); Arena arena = device.arena()) {
                MemorySegment theirs = Objects.requireNonNull(peer.open(place));
                assertThat(read(device, memory, theirs)).containsOnly(1.5f);
                other.outputWriter(StandardCharsets.UTF_8).append('\n').flush();
                assertThat(line(out)).isEqualTo("done");
                assertThat(read(device, memory, Objects.requireNonNull(peer.open(place))))
                        .containsOnly(3);
                Buffer sum = arena.allocate(DType.F32, ELEMENTS);
                device.kernels().fill(sum, 1, ELEMENTS);
                device.kernels().add(
                        sum, new Buffer(DType.F32, ELEMENTS, theirs), ELEMENTS);
                float[] read = new float[ELEMENTS];
                device.download(MemorySegment.ofArray(read), sum);
                assertThat(read).containsOnly(4);
                other.destroyForcibly();
                assertThat(other.waitFor(30, TimeUnit.SECONDS)).isTrue();
                assertThat(read(device, memory, theirs)).containsOnly(3);
            }
            assertThat(closings()).isEqualTo(closed + 1);
            try (PeerMemory.Peer peer = memory.peer()) {
                assertThat(peer.open(place)).as("of a process that is gone").isNull();
            }
        } finally {
            other.destroyForcibly();
        }
    }

    @Test
    void whatCannotBeReachedIsNotOpenedAndNothingElseFails() throws Exception {
        Process other = other();
        try (CudaDevice device = device();
                BufferedReader out = other.inputReader(StandardCharsets.UTF_8)) {
            PeerMemory memory = device.peerMemory().orElseThrow();
            line(out);
            MemorySegment place = MemorySegment.ofArray(HexFormat.of().parseHex(line(out)));
            CudaStandIn.environment("CASTALIA_STANDIN_REACH", "0");
            try (PeerMemory.Peer peer = memory.peer()) {
                assertThat(peer.open(place)).isNull();
                assertThat(peer.open(MemorySegment.ofArray(new byte[PeerMemory.PLACE_BYTES])))
                        .as("no place at all").isNull();
            }
            assertThat(device.heldBytes()).isPositive();
        } finally {
            other.destroyForcibly();
        }
    }

    private static long closings() {
        return CudaStandIn.calls("cuIpcCloseMemHandle", true);
    }
}
