package castalia.kernels;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.kernels.Trial.Operand;
import castalia.kernels.Trial.Results;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Sums of squares, AdamW, digests and initial values: all to the bit. */
interface OptimizerContract extends KernelSubject {

    AdamW UPDATE = new AdamW(0.00390625f, 1e-3f, 0.9f, 0.95f, 1e-8f, 0.01f, 5.2631583f, 10.256411f);
    List<Integer> STATE_COUNTS = List.of(1, 2, 3, 16, 17, 67, 131, 1000, 4099);

    @Test
    default void sumsOfSquaresAreExact() {
        for (int count : STATE_COUNTS) {
            for (double scale : new double[] {1e-20, 1, 1e18}) {
                try (Trial trial = Trial.bitwise(this, "%s times %s", count, scale)) {
                    Operand x = trial.input("x", DType.F32, Values.normal(1, count, scale));
                    Results sum = trial.evaluate((kernels, b) -> squares(kernels, b.of(x)));
                    assertThat(sum.actual()).isEqualTo(sum.expected());
                }
            }
        }
    }

    private static double squares(Kernels kernels, Buffer x) {
        double[] sums = {Double.NaN};
        kernels.sumsOfSquares(sums, new Buffer[] {x});
        return sums[0];
    }

    private static void adamW(Kernels kernels, Buffer weight, Buffer first, Buffer second,
            Buffer compute, Buffer gradient, AdamW scalars, long position, DigestSum digest) {
        kernels.adamW(new Buffer[] {weight}, new Buffer[] {first}, new Buffer[] {second},
                new Buffer[] {compute}, new Buffer[] {gradient}, new AdamW[] {scalars},
                new long[] {position}, new DigestSum[] {digest});
    }

    /** Chunks of every length at once, an empty one and none at all among them. */
    @Test
    default void manyChunksAtOnceAreAsOneByOne() {
        int[] counts = {4099, 1, 0, 131, 20_000, 16, 67};
        for (DType compute : computeTypes()) {
            try (Trial trial = Trial.bitwise(this, "%s", compute)) {
                List<List<Operand>> operands = new ArrayList<>();
                for (int i = 0; i < 5; i++) {
                    operands.add(new ArrayList<>());
                }
                for (int count : counts) {
                    operands.get(0).add(trial.inout("weight", DType.F32,
                            Values.normal(count, count, 1)));
                    operands.get(1).add(trial.inout("first", DType.F32,
                            Values.normal(count + 1, count, 1e-2)));
                    operands.get(2).add(trial.inout("second", DType.F32,
                            Values.filled(count, 1e-3)));
                    operands.get(3).add(trial.output("compute", compute, count));
                    operands.get(4).add(trial.input("gradient", DType.F32,
                            Values.normal(count + 2, count, 1e-2)));
                }
                trial.evaluate((kernels, b) -> together(kernels, b, operands));
                for (List<Operand> outputs : operands.subList(0, 4)) {
                    outputs.forEach(trial::same);
                }
                trial.evaluate((kernels, b) ->
                        b.tested() ? apart(kernels, b, operands) : together(kernels, b, operands));
                for (List<Operand> outputs : operands.subList(0, 4)) {
                    outputs.forEach(trial::same);
                }
            }
        }
    }

    /** Updates all chunks; returns the sum of their gradients' squares, weighted by their place. */
    private static double together(
            Kernels kernels, Trial.Buffers b, List<List<Operand>> operands) {
        int chunks = operands.getFirst().size();
        AdamW[] scalars = new AdamW[chunks];
        long[] positions = new long[chunks];
        DigestSum[] digests = new DigestSum[chunks];
        for (int i = 0; i < chunks; i++) {
            scalars[i] = scalars(i);
            positions[i] = position(i);
            digests[i] = new DigestSum();
        }
        Buffer[] gradients = b.of(operands.get(4));
        kernels.adamW(b.of(operands.get(0)), b.of(operands.get(1)), b.of(operands.get(2)),
                b.of(operands.get(3)), gradients, scalars, positions, digests);
        double[] squares = new double[chunks];
        kernels.sumsOfSquares(squares, gradients);
        double sum = 0;
        for (int i = 0; i < chunks; i++) {
            sum += (i + 1) * squares[i];
            b.digest().a += (i + 1) * digests[i].a;
            b.digest().b += (i + 1) * digests[i].b;
        }
        kernels.adamW(new Buffer[0], new Buffer[0], new Buffer[0], new Buffer[0], new Buffer[0],
                new AdamW[0], new long[0], new DigestSum[0]);
        kernels.sumsOfSquares(new double[0], new Buffer[0]);
        return sum;
    }

    private static double apart(
            Kernels kernels, Trial.Buffers b, List<List<Operand>> operands) {
        double sum = 0;
        for (int i = 0; i < operands.getFirst().size(); i++) {
            DigestSum digest = new DigestSum();
            adamW(kernels, b.of(operands.get(0).get(i)), b.of(operands.get(1).get(i)),
                    b.of(operands.get(2).get(i)), b.of(operands.get(3).get(i)),
                    b.of(operands.get(4).get(i)), scalars(i), position(i), digest);
            sum += (i + 1) * squares(kernels, b.of(operands.get(4).get(i)));
            b.digest().a += (i + 1) * digest.a;
            b.digest().b += (i + 1) * digest.b;
        }
        return sum;
    }

    private static AdamW scalars(int chunk) {
        return new AdamW(0.37f, 6e-4f, 0.9f, 0.95f, 1e-8f, chunk % 2 * 0.1f, 1.25f, 1.7f);
    }

    private static long position(int chunk) {
        return chunk * 20_000L * 16;
    }

    @Test
    default void aSumOfSquaresShowsWhatIsNotFinite() {
        for (double bad : new double[] {Double.NaN, Double.POSITIVE_INFINITY,
                Double.NEGATIVE_INFINITY}) {
            for (int at : new int[] {0, 15, 16, 66}) {
                try (Trial trial = Trial.bitwise(this, "%s at %s", bad, at)) {
                    double[] values = Values.normal(1, 67, 1);
                    values[at] = bad;
                    Operand x = trial.input("x", DType.F32, values);
                    Results sum = trial.evaluate((kernels, b) -> squares(kernels, b.of(x)));
                    assertThat(Double.isFinite(sum.actual())).isFalse();
                }
            }
        }
    }

    @Test
    default void updatesAreExact() {
        for (DType compute : computeTypes()) {
            for (int count : STATE_COUNTS) {
                for (float decay : new float[] {0, 0.1f}) {
                    for (float rate : new float[] {0, 6e-4f}) {
                        update(compute, count, new AdamW(0.37f, rate, 0.9f, 0.95f, 1e-8f, decay,
                                1.25f, 1.7f));
                    }
                }
            }
            update(compute, 67, new AdamW(1e30f, 1, 0.9f, 0.95f, 1e-8f, 1, 10, 20)); // overflows
        }
    }

    private void update(DType compute, int count, AdamW scalars) {
        try (Trial trial = Trial.bitwise(this, "%s, %s, %s", compute, count, scalars)) {
            Operand weight = trial.inout("weight", DType.F32, Values.normal(1, count, 1));
            Operand first = trial.inout("first", DType.F32, Values.normal(2, count, 1e-2));
            double[] squares =
                    Arrays.stream(Values.normal(3, count, 1e-2)).map(x -> x * x).toArray();
            Operand second = trial.inout("second", DType.F32, squares);
            double[] gradients = Values.normal(4, count, 1e-2);
            gradients[count / 2] = 0;
            Operand gradient = trial.input("gradient", DType.F32, gradients);
            Operand rounded = trial.output("compute", compute, count);
            trial.run((kernels, b) -> adamW(kernels, b.of(weight), b.of(first), b.of(second),
                    b.of(rounded), b.of(gradient), scalars, 48, b.digest()));
            trial.same(weight);
            trial.same(first);
            trial.same(second);
            trial.same(rounded);
        }
    }

    /** Golden bits, worked out in exact rational arithmetic from numerics.md section 5. */
    @Test
    default void updatesHaveTheGoldenBits() {
        float[] weights = {1.5f, -0.25f, 0.001f, 1000f};
        float[] firsts = {0.01f, -0.003f, 0f, 1e-20f};
        float[] seconds = {1e-4f, 2e-6f, 0f, 1e-30f};
        float[] gradients = {3.7f, -1.1f, 0f, 1e-10f};
        try (Trial trial = Trial.bitwise(this, "golden bits")) {
            Operand weight = trial.inout("weight", DType.F32, doubles(weights));
            Operand first = trial.inout("first", DType.F32, doubles(firsts));
            Operand second = trial.inout("second", DType.F32, doubles(seconds));
            Operand gradient = trial.input("gradient", DType.F32, doubles(gradients));
            Operand rounded = trial.output("compute", DType.F32, 4);
            trial.run((kernels, b) -> adamW(kernels, b.of(weight), b.of(first), b.of(second),
                    b.of(rounded), b.of(gradient), UPDATE, 32, b.digest()));
            assertThat(bits(weight)).containsExactly(0x3FBFC8BB, 0xBE7CDCE3, 0x3A831219,
                    0x4479FF5C);
            assertThat(bits(rounded)).containsExactly(bits(weight));
            assertThat(bits(first)).containsExactly(0x3C2B22D1, 0xBB4D1B72, 0x00000000, 0x292FEC05);
            assertThat(bits(second)).containsExactly(0x38DD2229, 0x363D7578, 0x00000000,
                    0x14172274);
            assertThat(trial.digest().a).isEqualTo(0x6298013AED18F422L);
            assertThat(trial.digest().b).isEqualTo(0xB895F8690D6986BEL);
        }
    }

    private static double[] doubles(float[] values) {
        double[] doubles = new double[values.length];
        for (int i = 0; i < doubles.length; i++) {
            doubles[i] = values[i];
        }
        return doubles;
    }

    private static int[] bits(Operand operand) {
        return Arrays.stream(operand.actual())
                .mapToInt(x -> Float.floatToRawIntBits((float) x))
                .toArray();
    }

    @Test
    default void digestsAreExactAndAddUpOverPieces() {
        for (int count : STATE_COUNTS) {
            try (Trial trial = Trial.bitwise(this, "%s", count)) {
                Operand weight = trial.input("weight", DType.F32, Values.normal(1, count, 1));
                Operand first = trial.input("first", DType.F32, Values.normal(2, count, 1));
                Operand second = trial.input("second", DType.F32, Values.normal(3, count, 1));
                trial.run((kernels, b) -> kernels.digest(b.of(weight), b.of(first), b.of(second),
                        160, count, b.digest()));
                DigestSum whole = trial.digest();
                trial.run((kernels, b) -> {
                    for (int from = 0; from < count; from += 48) {
                        int length = Math.min(48, count - from);
                        kernels.digest(b.of(weight).slice(from, length),
                                b.of(first).slice(from, length), b.of(second).slice(from, length),
                                160 + from, length, b.digest());
                    }
                });
                assertThat(trial.digest().a).isEqualTo(whole.a);
                assertThat(trial.digest().b).isEqualTo(whole.b);
            }
        }
    }

    @Test
    default void aSingleBitAnywhereChangesTheDigest() {
        int count = 37;
        try (Arena arena = device().arena()) {
            GuardedBuffer[] state = new GuardedBuffer[3];
            byte[][] contents = new byte[3][];
            for (int i = 0; i < 3; i++) {
                state[i] = new GuardedBuffer(device(), arena, DType.F32, count, 0);
                contents[i] = Values.encode(DType.F32, Values.normal(i, count, 1));
                state[i].write(contents[i]);
            }
            DigestSum before = digest(state, 0, count);
            assertThat(digest(state, 16, count).a).isNotEqualTo(before.a);
            for (int i = 0; i < 3; i++) {
                for (int bit = 0; bit < count * 32; bit++) {
                    contents[i][bit / 8] ^= (byte) (1 << (bit % 8));
                    state[i].write(contents[i]);
                    assertThat(digest(state, 0, count).a).as("%s, bit %s", i, bit)
                            .isNotEqualTo(before.a);
                    contents[i][bit / 8] ^= (byte) (1 << (bit % 8));
                }
                state[i].write(contents[i]);
            }
            assertThat(digest(state, 0, count).a).isEqualTo(before.a);
        }
    }

    private DigestSum digest(GuardedBuffer[] state, long position, long count) {
        DigestSum sum = new DigestSum();
        device().kernels().digest(state[0].buffer(), state[1].buffer(), state[2].buffer(), position,
                count, sum);
        return sum;
    }

    /** Golden sums, worked out with exact integers from numerics.md section 7. */
    @Test
    default void digestsHaveTheGoldenSums() {
        double[] weights = {1, -2, 0.5, 3, 0.1};
        double[] firsts = {0, 1e-3, -1e-3, 7, 0.2};
        double[] seconds = {1e-6, 0, 2, 0.25, 0.3};
        try (Trial trial = Trial.bitwise(this, "golden sums")) {
            Operand weight = trial.input("weight", DType.F32, weights);
            Operand first = trial.input("first", DType.F32, firsts);
            Operand second = trial.input("second", DType.F32, seconds);
            trial.run((kernels, b) -> kernels.digest(b.of(weight), b.of(first), b.of(second),
                    5_000_000_000L * 16, 5, b.digest()));
            assertThat(trial.digest().a).isEqualTo(0xA236314D8119978AL);
            assertThat(trial.digest().b).isEqualTo(0x3EBA003C7BA7B61EL);
        }
    }

    @Test
    default void initialValuesAreExactWhereverTheSliceLies() {
        for (DType type : computeTypes()) {
            for (int columns : new int[] {1, 3, 20, 67, 131}) {
                for (int rows : new int[] {1, 7}) {
                    try (Trial trial = Trial.bitwise(this, "%s, %s x %s", type, rows, columns)) {
                        Operand whole = trial.output("whole", type, (rows + 2) * 140L);
                        Operand slice = trial.output("slice", type, (long) rows * columns);
                        trial.run((kernels, b) -> {
                            kernels.normal(b.of(whole), 0.02, 1234, 5, 0, 0, 140, rows + 2, 140);
                            kernels.normal(b.of(slice), 0.02, 1234, 5, 2, 9, 140, rows, columns);
                        });
                        trial.same(whole);
                        trial.same(slice);
                        double[] all = whole.actual();
                        double[] part = slice.actual();
                        for (int i = 0; i < part.length; i++) {
                            int element = (2 + i / columns) * 140 + 9 + i % columns;
                            assertThat(part[i]).isEqualTo(all[element]);
                        }
                    }
                }
            }
        }
    }

    /** Golden values from an independent program: numerics.md section 8, the quantile by AS 241. */
    @Test
    default void initialValuesAreTheGoldenOnes() {
        try (Trial trial = Trial.bitwise(this, "golden values")) {
            Operand out = trial.output("out", DType.F32, 6);
            Operand far = trial.output("far", DType.F32, 2);
            trial.run((kernels, b) -> {
                kernels.normal(b.of(out), 0.02, 1234, 0, 0, 0, 6, 1, 6);
                kernels.normal(b.of(far), 1.0, -7, 41, 2_000_000, 3000, 5120, 1, 2);
            });
            assertThat(bits(out)).containsExactly(0x3BC3FD90, 0x3CB5B55E, 0xBCEE3A5A, 0xBB70AFD6,
                    0x3BE84C17, 0xBCBA6C61);
            assertThat(bits(far)).containsExactly(0xBE827C07, 0x3D544373);
        }
    }

    @Test
    default void initialValuesAreNormal() {
        int count = 1 << 18;
        try (Trial trial = Trial.bitwise(this, "normal")) {
            Operand out = trial.output("out", DType.F32, count);
            trial.run((kernels, b) -> kernels.normal(b.of(out), 0.5, 99, 3, 0, 0, 512, 512, 512));
            double[] values = Arrays.stream(out.actual()).map(x -> x / 0.5).toArray();
            double mean = Arrays.stream(values).average().orElseThrow();
            double square = Arrays.stream(values).map(x -> x * x).average().orElseThrow();
            double fourth = Arrays.stream(values).map(x -> Math.pow(x, 4)).average().orElseThrow();
            // Five standard errors: 1, sqrt(2) and sqrt(96) over sqrt(count).
            double unit = 5 / Math.sqrt(count);
            assertThat(Math.abs(mean)).isLessThan(unit);
            assertThat(Math.abs(square - 1)).isLessThan(unit * Math.sqrt(2));
            assertThat(Math.abs(fourth - 3)).isLessThan(unit * Math.sqrt(96));
            double[] limits = {0, 1, 2, 3, 4};
            double[] tails = {0.5, 0.158655254, 0.022750132, 0.001349898, 3.1671e-5};
            for (int i = 0; i < limits.length; i++) {
                double limit = limits[i];
                double expected = count * tails[i];
                double allowed = 5 * Math.sqrt(expected) + 3;
                assertThat((double) Arrays.stream(values).filter(x -> x > limit).count())
                        .isBetween(expected - allowed, expected + allowed);
                assertThat((double) Arrays.stream(values).filter(x -> x < -limit).count())
                        .isBetween(expected - allowed, expected + allowed);
            }
            assertThat(Arrays.stream(values).map(Math::abs).max().orElseThrow())
                    .isBetween(4.0, 6.5);
        }
    }
}
