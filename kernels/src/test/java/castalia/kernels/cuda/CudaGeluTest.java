package castalia.kernels.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Kernels;
import castalia.kernels.MatmulShape;
import castalia.testing.CudaStandIn;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What the products beside a GELU cost: kernels of our own that are launched besides. */
@Tag("default")
class CudaGeluTest {

    private static final int ROWS = 24;
    private static final int INPUTS = 40;

    private static CudaDevice device() {
        return new CudaDevice(new CudaSettings(0, CudaStandIn.driver("GELU on the CUDA back end"),
                CudaStandIn.folder(), "target/natives", 64L << 20));
    }

    private static Buffer values(Arena arena, Kernels kernels, DType type, int rows, int columns) {
        Buffer buffer = arena.allocate(type, (long) rows * columns);
        kernels.normal(buffer, 0.5, 7, rows, 0, 0, columns, rows, columns);
        return buffer;
    }

    private static long launches(Runnable work) {
        long before = CudaStandIn.calls("cuLaunchKernel", false);
        work.run();
        return CudaStandIn.calls("cuLaunchKernel", false) - before;
    }

    private static byte[] bytes(CudaDevice device, Buffer buffer) {
        byte[] bytes = new byte[Math.toIntExact(buffer.segment().byteSize())];
        device.download(MemorySegment.ofArray(bytes), buffer);
        return bytes;
    }

    /** With tanh none where the library takes the shape; its rows must be a multiple of 16 bytes. */
    @ParameterizedTest
    @CsvSource({
        "BF16, 64, true, 0, 0", "F16, 64, true, 0, 0", "BF16, 64, false, 1, 1", "BF16, 20, true, 1, 1",
        "F32, 64, true, 1, 1", "F32, 64, false, 1, 1",
    })
    void geluIsPartOfTheProductOrOneKernel(
            DType type, int width, boolean tanh, int forward, int backward) {
        MatmulShape shape = MatmulShape.forward(ROWS, width, INPUTS, type, type, true);
        MatmulShape gradient = MatmulShape.inputGradient(ROWS, INPUTS, width, type, type);
        try (CudaDevice device = device(); Arena arena = device.arena()) {
            Kernels kernels = device.kernels();
            Buffer a = values(arena, kernels, type, ROWS, INPUTS);
            Buffer b = values(arena, kernels, type, width, INPUTS);
            Buffer bias = values(arena, kernels, type, 1, width);
            Buffer x = arena.allocate(type, (long) ROWS * width);
            Buffer out = arena.allocate(type, (long) ROWS * width);
            assertThat(launches(() -> kernels.matmulGelu(shape, out, x, a, b, bias, tanh, false)))
                    .isEqualTo(forward);
            Buffer back = values(arena, kernels, type, gradient.k(), gradient.n());
            Buffer dOut = values(arena, kernels, type, ROWS, gradient.k());
            Buffer dx = arena.allocate(type, (long) ROWS * gradient.n());
            assertThat(launches(
                    () -> kernels.matmulGeluBackward(gradient, dx, dOut, back, x, tanh)))
                    .isEqualTo(backward);
        }
    }

    /** Both are GELU, the one of the sum before it was rounded: here and there the next number. */
    @Test
    void theLibraryTakesGeluOfTheSumThatIsNotRounded() {
        MatmulShape shape = MatmulShape.forward(ROWS, 64, INPUTS, DType.BF16, DType.BF16, true);
        try (CudaDevice device = device(); Arena arena = device.arena()) {
            Kernels kernels = device.kernels();
            Buffer a = values(arena, kernels, DType.BF16, ROWS, INPUTS);
            Buffer b = values(arena, kernels, DType.BF16, 64, INPUTS);
            Buffer bias = values(arena, kernels, DType.BF16, 1, 64);
            Buffer x = arena.allocate(DType.BF16, ROWS * 64L);
            Buffer out = arena.allocate(DType.BF16, ROWS * 64L);
            kernels.matmulGelu(shape, out, x, a, b, bias, true, false);
            byte[] joined = bytes(device, out);
            byte[] kept = bytes(device, x);
            assertThat(launches(() -> kernels.matmulGelu(shape, out, x, a, b, bias, true, true)))
                    .isEqualTo(1);
            assertThat(bytes(device, x)).isEqualTo(kept);
            byte[] rounded = bytes(device, out);
            assertThat(rounded).isNotEqualTo(joined);
            kernels.gelu(out, x, true, ROWS * 64L);
            assertThat(bytes(device, out)).isEqualTo(rounded);
        }
    }
}
