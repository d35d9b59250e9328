package castalia.kernels.cpu;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.MatmulShape;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A product in two parts, of numbers whose sums are exact, is the product as a whole. */
class SplitProductTest {

    private static final int M = 5;
    private static final int N = 19;
    private static final int K = 75;

    private static MatmulShape shape(
            boolean transposeA, boolean transposeB, boolean accumulate, boolean bias, DType output) {
        return new MatmulShape(M, N, K, transposeA, transposeB, (transposeA ? M : K) + 3,
                (transposeB ? K : N) + 2, N + 1, DType.BF16, output, accumulate, bias);
    }

    @ParameterizedTest
    @CsvSource({"false, false, false, true", "false, true, true, false", "true, false, true, true",
            "true, true, false, false"})
    void bothPartsAreInTheSum(boolean transposeA, boolean transposeB, boolean accumulate, boolean bias) {
        MatmulShape shape = shape(transposeA, transposeB, accumulate, bias, DType.F32);
        try (CpuDevice device = new CpuDevice(
                        new CpuSettings(1, CpuDeviceTest.NATIVES, 1L << 28, MatmulEngine.JAVA));
                Arena arena = device.arena()) {
            JavaEngine engine = new JavaEngine(new Scratch(arena, 1));
            Buffer a = integers(arena, (long) (transposeA ? K : M) * shape.strideA(), 1);
            Buffer b = integers(arena, (long) (transposeB ? N : K) * shape.strideB(), 2);
            Buffer added = integers(arena, N, 3);
            Buffer whole = arena.allocate(DType.F32, (long) M * shape.strideOut());
            Buffer split = arena.allocate(DType.F32, (long) M * shape.strideOut());
            for (int first : new int[] {1, 64, 74}) {
                for (long i = 0; i < whole.elements(); i++) {
                    Memory.f32(whole.segment().address() + 4 * i, i % 7);
                }
                split.segment().copyFrom(whole.segment());
                run(engine.product(shape), whole, a, b, added);
                run(new SplitProduct(shape, first, engine::product), split, a, b, added);
                assertThat(split.segment().mismatch(whole.segment())).isEqualTo(-1);
            }
        }
    }

    private static void run(Product product, Buffer out, Buffer a, Buffer b, Buffer bias) {
        product.run(0, out.segment().address(), a.segment().address(), b.segment().address(),
                bias.segment().address());
    }

    /** Integers from -3 to 3: every sum of {@link #K} products is exact. */
    private static Buffer integers(Arena arena, long elements, long seed) {
        Buffer buffer = arena.allocate(DType.BF16, elements);
        SplittableRandom random = new SplittableRandom(seed);
        for (long i = 0; i < elements; i++) {
            int bits = Float.floatToRawIntBits(random.nextInt(-3, 4)) >>> 16;
            Memory.i16(buffer.segment().address() + 2 * i, (short) bits);
        }
        return buffer;
    }

    @Test
    void whatWouldBeRoundedTwiceIsRefused() {
        MatmulShape shape = shape(false, false, false, false, DType.BF16);
        assertThatThrownBy(() -> new SplitProduct(shape, 64, _ -> {
            throw new AssertionError("not prepared");
        })).isInstanceOf(IllegalArgumentException.class).hasMessageContaining("rounded twice");
    }
}
