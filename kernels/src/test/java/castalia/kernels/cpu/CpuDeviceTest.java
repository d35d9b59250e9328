package castalia.kernels.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.KnownAnswers;
import castalia.kernels.MatmulShape;
import castalia.kernels.OutOfDeviceMemoryException;
import java.io.File;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Bits over threads and runs, limits, engines, and known answers. */
@Timeout(120)
class CpuDeviceTest {

    static final String NATIVES = new File("target", "natives").getPath();

    private static CpuDevice device(int threads, MatmulEngine engine) {
        return new CpuDevice(new CpuSettings(threads, NATIVES, 1L << 30, engine));
    }

    private static Map<String, String> digests(int threads, MatmulEngine engine) {
        Map<String, String> digests = new TreeMap<>();
        try (CpuDevice device = device(threads, engine)) {
            for (DType type : List.of(DType.F32, DType.BF16, DType.F16)) {
                try (Arena arena = device.arena()) {
                    Operations operations = new Operations(device, arena, type);
                    for (Operations.Operation operation : engine == MatmulEngine.JAVA
                            ? operations.withProducts()
                            : operations.all()) {
                        for (int run = 0; run < 2; run++) {
                            operations.reset(operation);
                            operation.call().run();
                            digests.put(operation.name() + ", run " + run,
                                    digest(operation, operations));
                        }
                    }
                }
            }
        }
        return digests;
    }

    private static String digest(Operations.Operation operation, Operations operations) {
        MessageDigest digest = KnownAnswers.sha256();
        for (Buffer buffer : operation.buffers()) {
            digest.update(buffer.segment().asByteBuffer());
        }
        return HexFormat.of().formatHex(digest.digest()) + " " + operations.result + " "
                + operations.digest.a + " " + operations.digest.b;
    }

    @ParameterizedTest
    @EnumSource(value = MatmulEngine.class, names = {"ONEDNN", "JAVA"})
    void everyOperationGivesTheSameBitsForEveryNumberOfThreadsAndRun(MatmulEngine engine) {
        Map<String, String> one = digests(1, engine);
        one.forEach((name, digest) -> assertThat(digest)
                .as(name)
                .isEqualTo(one.get(name.replace("run 1", "run 0"))));
        for (int threads = 2; threads <= 4; threads++) {
            assertThat(digests(threads, engine)).as("%s threads", threads).isEqualTo(one);
        }
    }

    @Test
    void bothEnginesAgreeToRounding() {
        int m = 300;
        int n = 200;
        int k = 150;
        MatmulShape shape = MatmulShape.forward(m, n, k, DType.F32, DType.F32, true);
        float[] expected = product(shape, MatmulEngine.JAVA);
        float[] actual = product(shape, MatmulEngine.ONEDNN);
        for (int i = 0; i < expected.length; i++) {
            // Sums of 150 products of standard normals.
            assertThat((double) actual[i]).isCloseTo(expected[i], offsetOf(150 * 0x1p-24 * 150));
        }
    }

    private static org.assertj.core.data.Offset<Double> offsetOf(double value) {
        return org.assertj.core.data.Offset.offset(value);
    }

    private static float[] product(MatmulShape shape, MatmulEngine engine) {
        try (CpuDevice device = device(2, engine); Arena arena = device.arena()) {
            Buffer a = arena.allocate(DType.F32, (long) shape.m() * shape.k());
            Buffer b = arena.allocate(DType.F32, (long) shape.n() * shape.k());
            Buffer bias = arena.allocate(DType.F32, shape.n());
            Buffer out = arena.allocate(DType.F32, (long) shape.m() * shape.n());
            device.kernels().normal(a, 1, 1, 1, 0, 0, shape.k(), shape.m(), shape.k());
            device.kernels().normal(b, 1, 1, 2, 0, 0, shape.k(), shape.n(), shape.k());
            device.kernels().normal(bias, 1, 1, 3, 0, 0, shape.n(), 1, shape.n());
            device.kernels().matmul(shape, out, a, b, bias);
            return out.segment().toArray(ValueLayout.JAVA_FLOAT);
        }
    }

    @Test
    void memoryBeyondTheLimitIsRefusedAndNothingIsLost() {
        CpuSettings settings = new CpuSettings(1, NATIVES, 8L << 20, MatmulEngine.JAVA);
        try (CpuDevice device = new CpuDevice(settings)) {
            long before = device.heldBytes();
            try (Arena arena = device.arena()) {
                Buffer held = arena.allocate(DType.F32, 1 << 20);
                assertThat(arena.allocatedBytes()).isEqualTo(4 << 20);
                assertThatThrownBy(() -> arena.allocate(DType.F32, (1 << 20) + 1))
                        .isInstanceOf(OutOfDeviceMemoryException.class)
                        .hasMessageContaining("8388608")
                        .hasMessageContaining("4194308 more do not fit");
                assertThat(arena.allocatedBytes()).isEqualTo(4 << 20);
                device.kernels().fill(held, 1, held.elements());
            }
            assertThat(device.heldBytes()).isEqualTo(before);
        }
    }

    @Test
    void memoryIsZeroedAlignedAndOfLargeSizes() {
        try (CpuDevice device = device(1, MatmulEngine.JAVA); Arena arena = device.arena()) {
            for (long elements : new long[] {0, 1, 17, 1000, 300_000, 3_000_001}) {
                Buffer buffer = arena.allocate(DType.BF16, elements);
                assertThat(buffer.segment().address() % 64).isZero();
                assertThat(buffer.segment().byteSize()).isEqualTo(2 * elements);
                if (elements > 0) {
                    assertThat(buffer.segment().asSlice(2 * elements - 2)
                            .get(ValueLayout.JAVA_SHORT, 0)).isZero();
                }
            }
        }
    }

    @Test
    void aBufferOfAClosedArenaIsRefused() {
        try (CpuDevice device = device(1, MatmulEngine.JAVA)) {
            Buffer buffer;
            try (Arena arena = device.arena()) {
                buffer = arena.allocate(DType.F32, 64);
            }
            assertThatThrownBy(() -> device.kernels().zero(buffer, 64))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("closed");
        }
    }

    @Test
    void aBufferOnTheHeapIsRefused() {
        try (CpuDevice device = device(1, MatmulEngine.JAVA)) {
            Buffer heap = new Buffer(DType.F32, 4, MemorySegment.ofArray(new float[4]));
            assertThatThrownBy(() -> device.kernels().zero(heap, 4))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("zero")
                    .hasMessageContaining("heap");
        }
    }

    @Test
    void aResultOverItsOperandIsRefused() {
        try (CpuDevice device = device(1, MatmulEngine.JAVA); Arena arena = device.arena()) {
            Buffer x = arena.allocate(DType.F32, 64);
            assertThatThrownBy(() -> device.kernels().matmul(
                    MatmulShape.forward(8, 8, 8, DType.F32, DType.F32, false), x, x, x, x))
                    .hasMessage("matmul: out shares memory with a");
        }
    }

    @Test
    void aLibraryThatCannotBeUnpackedLeadsToJavaAndIsNamed(@TempDir Path folder)
            throws IOException {
        Path file = Files.writeString(folder.resolve("file"), "not a folder");
        CpuSettings automatic =
                new CpuSettings(1, file.toString(), 1L << 30, MatmulEngine.AUTO);
        try (CpuDevice device = new CpuDevice(automatic)) {
            assertThat(device.description())
                    .contains("java)")
                    .contains("products in Java, because cannot make the folder " + file);
            assertThat(device.numericVersion().engine()).isEqualTo("java");
        }
        CpuSettings strict =
                new CpuSettings(1, file.toString(), 1L << 30, MatmulEngine.ONEDNN);
        assertThatThrownBy(() -> new CpuDevice(strict))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining(file.toString());
    }

    @Test
    void knownAnswersAreTheSameForEveryThreadAndDevice() {
        List<MatmulShape> shapes = new ArrayList<>();
        for (DType type : List.of(DType.F32, DType.BF16, DType.F16)) {
            shapes.add(MatmulShape.forward(600, 200, 150, type, type, true));
            shapes.add(MatmulShape.weightGradient(600, 200, 150, type, DType.F32, true));
        }
        for (MatmulEngine engine : List.of(MatmulEngine.ONEDNN, MatmulEngine.JAVA)) {
            String one;
            try (CpuDevice device = device(1, engine)) {
                one = KnownAnswers.of(device, shapes);
                assertThat(KnownAnswers.of(device, shapes)).isEqualTo(one);
                assertThat(KnownAnswers.of(device, shapes.subList(0, 1))).isNotEqualTo(one);
            }
            try (CpuDevice device = device(3, engine)) {
                assertThat(device.productAnswers(shapes.getFirst())).hasSize(3);
                assertThat(KnownAnswers.of(device, shapes)).isEqualTo(one);
            }
        }
    }

    @Test
    void theNumericVersionNamesWhatDecidesTheBits() {
        try (CpuDevice oneDnn = device(1, MatmulEngine.ONEDNN);
                CpuDevice twoThreads = device(2, MatmulEngine.ONEDNN);
                CpuDevice java = device(1, MatmulEngine.JAVA)) {
            assertThat(oneDnn.numericVersion().engine()).startsWith("onednn-3.11");
            assertThat(oneDnn.numericVersion().instructionSet()).contains("F32").contains("BF16");
            assertThat(oneDnn.numericVersion().id()).contains("java 25");
            assertThat(twoThreads.numericVersion()).isEqualTo(oneDnn.numericVersion());
            assertThat(java.numericVersion()).isNotEqualTo(oneDnn.numericVersion());
        }
    }

    @Test
    void impossibleSettingsAreRefused() {
        assertThatThrownBy(() -> new CpuSettings(0, NATIVES, 1, MatmulEngine.AUTO))
                .hasMessageContaining("0 threads");
        assertThatThrownBy(() -> new CpuSettings(257, NATIVES, 1, MatmulEngine.AUTO))
                .hasMessageContaining("257 threads");
        assertThatThrownBy(() -> new CpuSettings(1, NATIVES, 0, MatmulEngine.AUTO))
                .hasMessageContaining("0 bytes");
    }

    @Test
    void aClosedDeviceIsRefused() {
        CpuDevice device = device(2, MatmulEngine.JAVA);
        try (Arena arena = device.arena()) {
            Buffer buffer = arena.allocate(DType.F32, 100_000);
            device.close();
            assertThatThrownBy(() -> device.kernels().zero(buffer, 100_000))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("closed");
        }
    }
}
