package castalia.kernels;

import static castalia.kernels.DType.BF16;
import static castalia.kernels.DType.F16;
import static castalia.kernels.DType.F32;
import static castalia.kernels.DType.F64;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import castalia.kernels.reference.ReferenceDevice;
import java.lang.foreign.MemorySegment;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/**
 * The reference in F32, BF16 and F16 against itself in F64, by the contract; and, since there it is its
 * own judge, against formulas and orders written out here.
 */
final class ReferenceKernelsTest extends KernelContract {

    private final Device device = new ReferenceDevice();
    private final Kernels kernels = device.kernels();
    private final Arena arena = device.arena();

    @Override
    public Device device() {
        return device;
    }

    @AfterEach
    void free() {
        arena.close();
    }

    private Buffer buffer(DType type, double... values) {
        Buffer buffer = arena.allocate(type, values.length);
        device.upload(buffer, MemorySegment.ofArray(Values.encode(type, values)));
        return buffer;
    }

    private double[] read(Buffer buffer) {
        byte[] bytes = new byte[Math.toIntExact(buffer.segment().byteSize())];
        device.download(MemorySegment.ofArray(bytes), buffer);
        return Values.decode(buffer.type(), bytes);
    }

    @Test
    void productsOfSmallIntegersAreExact() {
        double[] a = {1, 2, 3, 4, 5, 6}; // 2 x 3
        double[] aTransposed = {1, 4, 2, 5, 3, 6};
        double[] b = {7, 8, 9, 10, 11, 12}; // 3 x 2
        double[] bTransposed = {7, 9, 11, 8, 10, 12};
        for (DType type : new DType[] {F32, BF16, F16, F64}) {
            for (int layout = 0; layout < 4; layout++) {
                boolean left = (layout & 1) != 0;
                boolean right = (layout & 2) != 0;
                MatmulShape shape = new MatmulShape(2, 2, 3, left, right, left ? 2 : 3,
                        right ? 3 : 2, 3, type, type == F64 ? F64 : F32, true, true);
                Buffer out = buffer(shape.output(), 1000, 2000, -1, 3000, 4000);
                kernels.matmul(shape, out, buffer(type, left ? aTransposed : a),
                        buffer(type, right ? bTransposed : b), buffer(type, 0.5, 0.25));
                assertThat(read(out)).containsExactly(1058.5, 2064.25, -1, 3139.5, 4154.25);
            }
        }
    }

    @Test
    void aProductRefusesBuffersOfAnotherTypeThanItsShape() {
        MatmulShape shape = MatmulShape.forward(1, 1, 1, BF16, F32, true);
        Buffer f32 = buffer(F32, 1);
        Buffer bf16 = buffer(BF16, 1);
        assertThatThrownBy(() -> kernels.matmul(shape, f32, bf16, bf16, f32))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("bias is F32 where the shape says BF16");
        assertThatThrownBy(() -> kernels.matmul(shape, bf16, bf16, bf16, bf16))
                .hasMessage("out is BF16 where the shape says F32");
        assertThatThrownBy(() -> kernels.matmul(shape, f32, f32, bf16, bf16))
                .hasMessage("a is F32 where the shape says BF16");
    }

    @Test
    void geluHasItsKnownValues() {
        // x * (1 + erf(x / sqrt 2)) / 2 and x / (1 + exp(-2 sqrt(2/pi) (x + 0.044715 x^3))),
        // worked out with 40 digits.
        double[] x = {-10, -5, -3, -2, -1, -0.5, 0, 0.25, 1, 2.5, 3, 6};
        double[] erf = {
            -7.619853024160526e-23, -1.4332578593959695e-06, -0.0040496940948902835,
            -0.04550026389635842,
            -0.15865525393145705, -0.15426876936299344, 0.0, 0.14967658142073093,
            0.8413447460685429, 2.4844758366855597, 2.99595030590511, 5.999999994080474};
        double[] tanh = {
            -1.204092348209806e-37, -2.291796196629506e-07, -0.003637392081773019,
            -0.04540230591222498,
            -0.1588080093917233, -0.15428599017485609, 0.0, 0.149675350701685,
            0.8411919906082767, 2.484915733910001, 2.996362607918227, 5.9999999999156035};
        gelu(x, false, erf);
        gelu(x, true, tanh);
    }

    /** In the tails the rounded exponent counts: -x^2/2 or about 0.07 x^3. */
    private void gelu(double[] x, boolean tanh, double[] expected) {
        Buffer out = arena.allocate(F64, x.length);
        kernels.gelu(out, buffer(F64, x), tanh, x.length);
        for (int i = 0; i < x.length; i++) {
            double relative = 4e-16 * (1 + x[i] * x[i]);
            assertThat(read(out)[i]).isCloseTo(expected[i],
                    within(relative * Math.abs(expected[i])));
        }
    }

    @Test
    void layerNormHasItsFormula() {
        Buffer out = arena.allocate(F64, 4);
        Buffer mean = arena.allocate(F64, 1);
        Buffer rstd = arena.allocate(F64, 1);
        // Mean 5, squared deviations 9 + 1 + 1 + 9, variance 5, plus 4 under the root.
        kernels.layerNorm(out, mean, rstd, buffer(F64, 2, 4, 6, 8), buffer(F64, 1, 2, 3, 4),
                buffer(F64, 0, 0, 10, -1), 4, 1, 4);
        assertThat(read(mean)).containsExactly(5);
        assertThat(read(rstd)[0]).isCloseTo(1 / 3.0, within(1e-16));
        double[] expected = {-1, -2 / 3.0, 11, 3};
        for (int i = 0; i < 4; i++) {
            assertThat(read(out)[i]).isCloseTo(expected[i], within(1e-14));
        }
    }

    @Test
    void attentionIsASoftmaxOverEarlierPositions() {
        // One head of dimension 4, whose scores are the logarithms of small numbers times 2 / 2.
        double ln2 = Math.log(2);
        double ln5 = Math.log(5);
        double[] qkv = {
            9, 9, 9, 9, /* k */ 0, 0, 0, 0, /* v */ 1, 0, 0, 4,
            2, 0, 0, 0, /* k */ ln2, 7, 7, 7, /* v */ 0, 1, 0, 4,
            0, 0, 2, 0, /* k */ 3, 3, ln5, 3, /* v */ 0, 0, 1, 4,
        };
        Buffer out = arena.allocate(F64, 12);
        Buffer lse = arena.allocate(F64, 3);
        kernels.attention(out, lse, buffer(F64, qkv), 1, 3, 1, 4);
        double third = Math.exp(7); // the third query meets 7 in the second key
        double[] expected = {
            1, 0, 0, 4,
            1 / 3.0, 2 / 3.0, 0, 4,
            1 / (6 + third), third / (6 + third), 5 / (6 + third), 4,
        };
        for (int i = 0; i < expected.length; i++) {
            assertThat(read(out)[i]).as("element %s", i).isCloseTo(expected[i], within(1e-14));
        }
        assertThat(read(lse)[1]).isCloseTo(Math.log(3), within(1e-15));
        assertThat(read(lse)[2]).isCloseTo(Math.log(6 + third), within(1e-14));
    }

    @Test
    void headsAndSequencesOfAttentionDoNotMix() {
        double[] values = Values.normal(1, 2 * 5 * 3 * 3 * 4, 1);
        Buffer out = arena.allocate(F64, 2 * 5 * 3 * 4);
        Buffer lse = arena.allocate(F64, 2 * 3 * 5);
        kernels.attention(out, lse, buffer(F64, values), 2, 5, 3, 4);
        double[] alone = new double[5 * 3 * 4]; // sequence 1, head 2
        for (int s = 0; s < 5; s++) {
            System.arraycopy(values, ((5 + s) * 3 + 2) * 12, alone, s * 12, 12);
        }
        Buffer outAlone = arena.allocate(F64, 5 * 4);
        Buffer lseAlone = arena.allocate(F64, 5);
        kernels.attention(outAlone, lseAlone, buffer(F64, alone), 1, 5, 1, 4);
        for (int s = 0; s < 5; s++) {
            assertThat(read(lseAlone)[s]).isEqualTo(read(lse)[(3 + 2) * 5 + s]);
            for (int d = 0; d < 4; d++) {
                int element = ((5 + s) * 3 + 2) * 4 + d;
                assertThat(read(outAlone)[s * 4 + d]).isEqualTo(read(out)[element]);
            }
        }
    }

    @Test
    void rotationsPairDimensionsAcrossHalfTheRotaryPart() {
        // One token, one head, D = 6, rotary 4: pairs (0, 2) and (1, 3); V and the rest stay.
        Buffer qkv = buffer(F64, 1, 2, 3, 4, 5, 6, 10, 20, 30, 40, 50, 60, 7, 7, 7, 7, 7, 7);
        Buffer table = buffer(F64, 0, 0.6, 1, 0.8); // 90 degrees, then about 53
        kernels.rotary(qkv, table, false, 1, 1, 1, 6, 4);
        double[] expected = {-3, 2 * 0.6 - 4 * 0.8, 1, 4 * 0.6 + 2 * 0.8, 5, 6,
            -30, 20 * 0.6 - 40 * 0.8, 10, 40 * 0.6 + 20 * 0.8, 50, 60, 7, 7, 7, 7, 7, 7};
        assertThat(read(qkv)).containsExactly(expected);
    }

    @Test
    void rotationsRoundEachProductToSinglePrecision() {
        float x1 = 1.24f;
        float x2 = 0.59f;
        float cos = 1.56f;
        float sin = 2.95f;
        Buffer qkv = buffer(F32, x1, x2, x1, x2, 0, 0);
        kernels.rotary(qkv, buffer(F32, cos, sin), true, 1, 1, 1, 2, 2);
        float first = x1 * cos;
        float second = x2 * sin;
        assertThat((float) read(qkv)[0]).isEqualTo(first + second);
        assertThat(first + second).isNotEqualTo(Math.fma(x1, cos, second)); // it would show
    }

    @Test
    void partialsAreSummedByTheTree() {
        // Beside 2^24 a 1 is lost in F32, so the order shows.
        double big = 0x1p24;
        assertThat(sumOf(big, 1, 1, 1)).isEqualTo(big + 2); // (big + 1) + (1 + 1)
        assertThat(sumOf(1, 1, big)).isEqualTo(big + 2); // (1 + 1) + big
        assertThat(sumOf(big, 1, 1)).isEqualTo(big); // (big + 1) + 1
        assertThat(sumOf(big, 0, 1, 1, 0.5)).isEqualTo(big + 2); // (big + (1 + 1)) + 0.5
        assertThat(sumOf(1, 1, 1, 1, big, 1, 1)).isEqualTo(big + 4); // 4 + ((big + 1) + 1)
    }

    private double sumOf(double... values) {
        Buffer[] partials = new Buffer[values.length];
        for (int t = 0; t < values.length; t++) {
            partials[t] = buffer(F32, values[t]);
        }
        Buffer out = arena.allocate(F32, 1);
        kernels.sumPartials(out, partials, 1);
        return read(out)[0];
    }

    @Test
    void aResidualAddsPartialsAndBiasesBeforeTheStream() {
        double big = 0x1p24;
        // x + (partial + (m b1 + m b2)): ones that would vanish one by one.
        assertThat(residual(big, 0.5, 0.25, 0.25, 2)).isEqualTo(big + 2);
        assertThat(residual(1, big, 0.5, 0.5, 1)).isEqualTo(big); // 1 + (big + 1), each lost
        assertThat(residual(-big, big, 1.5, 1.5, 1)).isEqualTo(4); // the 3 is rounded to 4
    }

    private double residual(double x, double partial, double bias1, double bias2, int copies) {
        Buffer out = arena.allocate(F32, 1);
        kernels.residual(out, buffer(F32, x), new Buffer[] {buffer(F32, partial)},
                buffer(F32, bias1), buffer(F32, bias2), copies, 1, 1);
        return read(out)[0];
    }

    @Test
    void sumsOfSquaresFoldSixteenLanes() {
        double root = 0x1p27; // beside its square, 2^54, a 2 is lost and a 3 counts as 4
        double[] values = new double[33];
        values[0] = root;
        values[16] = 1;
        values[32] = 1;
        assertThat(squares(values)).isEqualTo(0x1p54); // the same lane, one after the other
        double[] spread = new double[16];
        spread[0] = root;
        spread[4] = 1;
        spread[5] = 1;
        spread[6] = 1;
        spread[7] = 1;
        assertThat(squares(spread)).isEqualTo(0x1p54 + 4); // lanes 4 to 7 meet first
        spread[4] = 0;
        spread[1] = 1;
        assertThat(squares(spread)).isEqualTo(0x1p54 + 4); // 3 is rounded to 4, lane 1 is lost
    }

    private double squares(double... values) {
        double[] sums = new double[1];
        kernels.sumsOfSquares(sums, new Buffer[] {buffer(F32, values)});
        return sums[0];
    }

    @Test
    void aDoubleIsRoundedToBfloat16Once() {
        // Just above the tie between 1 and its neighbour: through F32 it would fall on the tie.
        double above = 1 + 0x1p-8 + 0x1p-40;
        double below = 1 + 0x1p-7 + 0x1p-8 - 0x1p-40;
        Buffer out = arena.allocate(BF16, 6);
        kernels.cast(out, buffer(F64, above, below, -above, 0x1.fep127, 0x1.ffp127, 0x1p-134), 6);
        assertThat(read(out)).containsExactly(1 + 0x1p-7, 1 + 0x1p-7, -1 - 0x1p-7, 0x1.fep127,
                Double.POSITIVE_INFINITY, 0);
    }

    @Test
    void anUpdateInDoublePrecisionFollowsTheSameFormula() {
        AdamW scalars = new AdamW(0.5f, 0.25f, 0.5f, 0.75f, 0, 0.5f, 2, 4);
        Buffer weight = buffer(F64, 8);
        Buffer first = buffer(F64, 1);
        Buffer second = buffer(F64, 1);
        Buffer compute = arena.allocate(F64, 1);
        DigestSum digest = new DigestSum();
        update(weight, first, second, compute, buffer(F64, 6), scalars, digest);
        // g = 3, m = 0.5 + 1.5, v = 0.75 + 2.25, u = 4 / sqrt(12) + 4
        assertThat(read(first)).containsExactly(2);
        assertThat(read(second)).containsExactly(3);
        double expected = 8 - 0.25 * (4 / Math.sqrt(12) + 4);
        assertThat(read(weight)[0]).isCloseTo(expected, within(1e-15));
        assertThat(read(compute)).containsExactly(read(weight));
        DigestSum again = new DigestSum();
        kernels.digest(weight, first, second, 0, 1, again);
        assertThat(digest.a).isEqualTo(again.a).isNotZero();
        assertThat(digest.b).isEqualTo(again.b).isNotZero();
    }

    private void update(Buffer weight, Buffer first, Buffer second, Buffer compute,
            Buffer gradient, AdamW scalars, DigestSum digest) {
        kernels.adamW(new Buffer[] {weight}, new Buffer[] {first}, new Buffer[] {second},
                new Buffer[] {compute}, new Buffer[] {gradient}, new AdamW[] {scalars},
                new long[] {0}, new DigestSum[] {digest});
    }

    @Test
    void learningRateZeroLeavesWeightsAndMovesMoments() {
        AdamW scalars = new AdamW(1, 0, 0.9f, 0.95f, 1e-8f, 0.1f, 10, 20);
        Buffer weight = buffer(F32, 0.3);
        Buffer first = buffer(F32, 0);
        Buffer second = buffer(F32, 0);
        Buffer compute = arena.allocate(BF16, 1);
        update(weight, first, second, compute, buffer(F32, 2), scalars, new DigestSum());
        assertThat(read(weight)).containsExactly(0.3f);
        assertThat((float) read(first)[0]).isEqualTo((1 - 0.9f) * 2);
        assertThat((float) read(second)[0]).isEqualTo((1 - 0.95f) * 2 * 2);
        assertThat(read(compute)).containsExactly(0.30078125);
    }
}
