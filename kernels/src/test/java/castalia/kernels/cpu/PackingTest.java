package castalia.kernels.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.MatmulShape;
import java.io.IOException;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** A packed operand lies as oneDNN reads it, and products with one are those without. */
class PackingTest {

    private static final int GAP = 5;

    private static MatmulShape shape(int m, int n, int k, boolean transposeA, DType type,
            boolean accumulate) {
        return new MatmulShape(m, n, k, transposeA, false, (transposeA ? m : k) + GAP, n + GAP,
                n + 2 * GAP, type, DType.F32, accumulate, !accumulate);
    }

    /** A small whole number that differs from its neighbours; sums of products of these are exact. */
    private static int value(long i, int tensor) {
        return (int) ((i * (7919 + 2L * tensor) + i / 61) % 15) - 7;
    }

    private static Buffer values(Arena arena, DType type, long elements, int tensor) {
        Buffer buffer = arena.allocate(type, elements);
        for (long i = 0; i < elements; i++) {
            Memory.number(type, buffer.segment().address() + i * type.bytes(), value(i, tensor));
        }
        return buffer;
    }

    private static CpuDevice device(int threads, MatmulEngine engine) {
        return new CpuDevice(new CpuSettings(threads, CpuDeviceTest.NATIVES, 1L << 30, engine));
    }

    @ParameterizedTest
    @CsvSource({"64, 16, F32", "200, 75, F32", "1100, 33, F32", "64, 32, BF16", "200, 75, BF16",
        "90, 1, BF16", "1100, 130, BF16"})
    void entriesLieInPanelsAndZerosFillThem(int n, int k, DType type) {
        MatmulShape shape = shape(1024, n, k, false, type, true);
        try (CpuDevice device = device(1, MatmulEngine.JAVA); Arena arena = device.arena();
                WorkerPool pool = new WorkerPool(3)) {
            Buffer b = values(arena, type, (long) k * shape.strideB(), 1);
            Buffer packed = arena.allocate(DType.F32, Packing.bytes(shape, n) / 4);
            packed.segment().fill((byte) 0x55);
            new Packing(shape).run(pool, packed.segment().address(), b.segment().address(), n);
            int group = 4 / type.bytes();
            long terms = Packing.bytes(shape, 1) / Packing.PANEL / type.bytes();
            assertThat(terms).isBetween((long) k, (long) k + 16L * group - 1);
            for (int column = 0; column < (n + 63) / 64 * 64; column++) {
                for (int term = 0; term < terms; term++) {
                    long line = column / 64 * (terms / group) + term / group;
                    long at = ((line * 64 + column % 64) * group + term % group) * type.bytes();
                    float expected = column < n && term < k
                            ? value((long) term * shape.strideB() + column, 1) : 0;
                    float actual = type == DType.F32
                            ? packed.segment().get(ValueLayout.JAVA_FLOAT, at)
                            : Memory.bf16(packed.segment().address() + at);
                    assertThat(actual).as("term %s of column %s", term, column).isEqualTo(expected);
                }
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"1024, 64, 32, false, F32, true", "1040, 200, 75, false, F32, false",
        "2600, 130, 300, true, F32, true", "1024, 64, 32, false, BF16, false",
        "1040, 200, 75, false, BF16, true", "2600, 2100, 65, true, BF16, false"})
    void productsAreExactWhereSumsAre(
            int m, int n, int k, boolean transposeA, DType type, boolean accumulate) {
        MatmulShape shape = shape(m, n, k, transposeA, type, accumulate);
        try (CpuDevice packing = device(2, MatmulEngine.AUTO);
                CpuDevice plain = device(2, MatmulEngine.JAVA); Arena arena = plain.arena()) {
            Buffer a = values(arena, type, (long) shape.strideA() * (transposeA ? k : m), 1);
            Buffer b = values(arena, type, (long) shape.strideB() * k, 2);
            Buffer bias = values(arena, type, n, 3);
            Buffer one = values(arena, DType.F32, (long) m * shape.strideOut(), 4);
            Buffer other = values(arena, DType.F32, (long) m * shape.strideOut(), 4);
            packing.kernels().matmul(shape, one, a, b, accumulate ? null : bias);
            plain.kernels().matmul(shape, other, a, b, accumulate ? null : bias);
            assertThat(one.segment().mismatch(other.segment())).isEqualTo(-1);
        }
    }

    @ParameterizedTest
    @EnumSource(names = {"F32", "BF16"})
    void isUsedWhereOneDnnComputesWithAvx512(DType type) throws IOException {
        try (CpuDevice device = device(1, MatmulEngine.JAVA); Arena arena = device.arena();
                WorkerPool pool = new WorkerPool(1)) {
            Scratch scratch = new Scratch(arena, 1);
            OneDnnEngine engine = new OneDnnEngine(CpuDeviceTest.NATIVES, 1, scratch);
            try {
                String chosen = Arrays.stream(engine.instructionSet().split(", "))
                        .filter(one -> one.startsWith(type + " ")).findFirst().orElseThrow();
                boolean avx512 = VectorMath.WIDE && chosen.contains("brg_matmul:avx512_core")
                        && !chosen.contains("amx");
                assertThat(new Products(engine, pool, scratch)
                        .grid(shape(1024, 200, 75, false, type, true)).packs())
                        .as(chosen).isEqualTo(avx512);
            } finally {
                engine.close();
            }
        }
    }

    @Test
    void columnsThatDoNotFitAtOnceArePackedInTurn() {
        MatmulShape shape = shape(1024, 6000, 1100, false, DType.F32, false);
        try (CpuDevice packing = device(2, MatmulEngine.AUTO);
                CpuDevice plain = device(2, MatmulEngine.JAVA); Arena arena = plain.arena()) {
            Buffer a = values(arena, DType.F32, (long) shape.strideA() * shape.m(), 1);
            Buffer b = values(arena, DType.F32, (long) shape.strideB() * shape.k(), 2);
            Buffer bias = values(arena, DType.F32, shape.n(), 3);
            long elements = (long) shape.m() * shape.strideOut();
            Buffer one = values(arena, DType.F32, elements, 4);
            Buffer other = values(arena, DType.F32, elements, 4);
            packing.kernels().matmul(shape, one, a, b, bias);
            plain.kernels().matmul(shape, other, a, b, bias);
            assertThat(one.segment().mismatch(other.segment())).isEqualTo(-1);
        }
    }

    @Test
    void isForManyRowsOfAnOperandThatLiesStraightAndIsNotTooLarge() {
        assertThat(Packing.pays(shape(1024, 64, 32, false, DType.F32, true), 64))
                .isEqualTo(VectorMath.WIDE);
        assertThat(Packing.pays(shape(1023, 64, 32, false, DType.F32, true), 64)).isFalse();
        assertThat(Packing.pays(shape(1024, 63, 32, false, DType.F32, true), 63)).isFalse();
        assertThat(Packing.pays(shape(1024, 64, 32, false, DType.F16, true), 64)).isFalse();
        assertThat(Packing.pays(
                MatmulShape.forward(1024, 64, 32, DType.F32, DType.F32, false), 64)).isFalse();
        assertThat(Packing.pays(shape(1024, 2048, 1 << 12, false, DType.F32, true), 2048)).isFalse();
        assertThat(Packing.pays(shape(1024, 2048, 1 << 12, false, DType.BF16, true), 2048))
                .isEqualTo(VectorMath.WIDE);
    }
}
