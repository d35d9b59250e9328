package castalia.kernels.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.MatmulShape;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Turning an operand changes no bit of a product whose sums go by ascending k. */
class TurnedProductTest {

    private static final int GAP = 7;

    private static MatmulShape shape(int m, int n, int k, DType type, boolean accumulate) {
        return new MatmulShape(m, n, k, true, false, m + GAP, n + 2 * GAP, n + 3 * GAP, type,
                DType.F32, accumulate, !accumulate);
    }

    @ParameterizedTest
    @CsvSource({"16, 256, 32, BF16", "48, 300, 64, BF16", "256, 257, 1056, BF16", "32, 256, 96, F16"})
    void theBitsAreThoseOfTheProductAsItLies(int m, int n, int k, DType type) {
        try (CpuDevice device = new CpuDevice(
                        new CpuSettings(1, CpuDeviceTest.NATIVES, 1L << 30, MatmulEngine.JAVA));
                Arena arena = device.arena()) {
            Scratch scratch = new Scratch(arena, 1);
            JavaEngine engine = new JavaEngine(scratch);
            for (boolean accumulate : new boolean[] {false, true}) {
                MatmulShape shape = shape(m, n, k, type, accumulate);
                Buffer a = values(device, arena, type, (long) k * shape.strideA(), 1);
                Buffer b = values(device, arena, type, (long) k * shape.strideB(), 2);
                Buffer bias = values(device, arena, type, n, 3);
                Buffer one = values(device, arena, DType.F32, (long) m * shape.strideOut(), 4);
                Buffer other = values(device, arena, DType.F32, (long) m * shape.strideOut(), 4);
                run(engine.product(shape), one, a, b, bias);
                run(new TurnedProduct(shape, engine::product, scratch), other, a, b, bias);
                assertThat(other.segment().mismatch(one.segment())).isEqualTo(-1);
            }
        }
    }

    private static void run(Product product, Buffer out, Buffer a, Buffer b, Buffer bias) {
        product.run(0, out.segment().address(), a.segment().address(), b.segment().address(),
                bias.segment().address());
    }

    private static Buffer values(CpuDevice device, Arena arena, DType type, long elements, int tensor) {
        Buffer buffer = arena.allocate(type, elements);
        device.kernels().normal(buffer, 1, 5, tensor, 0, 0, (int) elements, 1, (int) elements);
        return buffer;
    }

    @Test
    void onlyWholeBlocksAreTurned() {
        assertThat(TurnedProduct.pays(shape(64, 256, 64, DType.BF16, true))).isEqualTo(VectorMath.WIDE);
        assertThat(TurnedProduct.pays(shape(63, 256, 64, DType.BF16, true))).isFalse();
        assertThat(TurnedProduct.pays(shape(64, 255, 64, DType.BF16, true))).isFalse();
        assertThat(TurnedProduct.pays(shape(64, 256, 48, DType.BF16, true))).isFalse();
        assertThat(TurnedProduct.pays(shape(64, 256, 64, DType.F32, true))).isFalse();
        assertThat(TurnedProduct.pays(shape(1 << 16, 256, 64, DType.BF16, true))).isFalse();
        assertThat(TurnedProduct.pays(
                MatmulShape.forward(64, 256, 64, DType.BF16, DType.BF16, false))).isFalse();
    }
}
