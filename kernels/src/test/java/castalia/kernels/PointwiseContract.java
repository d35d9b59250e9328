package castalia.kernels;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.kernels.Trial.Operand;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.DoubleStream;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** GELU within bounds; residual, partial sums, casts, additions and fills to the bit. */
interface PointwiseContract extends KernelSubject {

    List<Integer> COUNTS = List.of(1, 3, 15, 16, 17, 67, 131, 1000);

    @Test
    default void geluIsRight() {
        for (DType type : computeTypes()) {
            for (int count : COUNTS) {
                gelu(type, Values.normal(count, count, 2));
            }
            gelu(type, sweep());
        }
    }

    /** Every sixteenth of [-12, 12], then tiny and large numbers of both signs. */
    private static double[] sweep() {
        DoubleStream grid = DoubleStream.iterate(-12, x -> x <= 12, x -> x + 1.0 / 16);
        DoubleStream rare = DoubleStream.of(0, 1e-38, 1e-30, 1e-8, 1e-3, 13.5, 20, 88, 104, 1e4);
        return DoubleStream.concat(grid, rare.flatMap(x -> DoubleStream.of(x, -x))).toArray();
    }

    private void gelu(DType type, double[] values) {
        int count = values.length;
        for (boolean tanh : new boolean[] {false, true}) {
            try (Trial trial = Trial.inDouble(this, "%s, %s, %s", type, count, tanh)) {
                Operand x = trial.input("x", type, values);
                Operand out = trial.output("out", type, count);
                Operand dOut = trial.input("dOut", type, Values.normal(3, count, 1));
                Operand dx = trial.output("dx", type, count);
                Operand inPlace = trial.inout("dx in place", type, Values.normal(3, count, 1));
                trial.run((kernels, b) -> {
                    kernels.gelu(b.of(out), b.of(x), tanh, count);
                    kernels.geluBackward(b.of(dx), b.of(dOut), b.of(x), tanh, count);
                    kernels.geluBackward(b.of(inPlace), b.of(inPlace), b.of(x), tanh, count);
                });
                double[] error = new double[count];
                double[] slopeError = new double[count];
                for (int i = 0; i < count; i++) {
                    double v = Math.abs(x.before()[i]);
                    error[i] = 8 * U * v;
                    // tanh is off by 2 U, and enters the slope as x (1 - tanh^2) times this:
                    double inner = Math.min(v, 8);
                    double steep = tanh ? 0.4 * inner * (1 + 0.134 * inner * inner) : 0;
                    slopeError[i] = (10 + 4 * steep) * U * Math.abs(dOut.before()[i]);
                }
                trial.near(out, error);
                trial.near(dx, slopeError);
                trial.near(inPlace, slopeError);
            }
        }
    }

    @Test
    default void residualsAreExact() {
        for (DType type : computeTypes()) {
            for (int columns : new int[] {1, 3, 20, 67, 131}) {
                for (int slices : new int[] {1, 2, 3, 4, 8}) {
                    for (int variant = 0; variant < 8; variant++) {
                        residual(type, columns, slices, (variant & 1) == 0 ? 1 : 4,
                                (variant & 2) != 0, (variant & 4) != 0);
                    }
                }
            }
        }
    }

    private void residual(DType type, int columns, int slices, int copies, boolean second,
            boolean inPlace) {
        int rows = 7;
        int count = rows * columns;
        try (Trial trial = Trial.bitwise(this, "%s, %s columns, %s slices, %s copies, %s, %s", type,
                columns, slices, copies, second, inPlace)) {
            List<Operand> partials = partials(trial, slices, count);
            Operand bias1 = trial.input("bias1", type, Values.normal(1, columns, 1));
            @Nullable Operand bias2 = second
                    ? trial.input("bias2", type, Values.normal(2, columns, 1))
                    : null;
            double[] values = Values.normal(3, count, 1);
            Operand out = inPlace
                    ? trial.inout("x", type, values)
                    : trial.output("out", type, count);
            Operand x = inPlace ? out : trial.input("x", type, values);
            trial.run((kernels, b) -> kernels.residual(b.of(out), b.of(x), b.of(partials),
                    b.of(bias1), b.orNull(bias2), copies, rows, columns));
            trial.same(out);
        }
    }

    private static List<Operand> partials(Trial trial, int slices, int count) {
        List<Operand> partials = new ArrayList<>();
        for (int s = 0; s < slices; s++) {
            partials.add(trial.input("partial " + s, DType.F32, Values.normal(10 + s, count, 1)));
        }
        return partials;
    }

    @Test
    default void sumsOfPartialsAreExact() {
        List<DType> types = new ArrayList<>(computeTypes());
        for (DType type : types) {
            for (int count : COUNTS) {
                for (int slices = 1; slices <= 8; slices++) {
                    try (Trial trial = Trial.bitwise(this, "%s, %s of %s", type, slices, count)) {
                        List<Operand> partials = partials(trial, slices, count);
                        Operand out = trial.output("out", type, count);
                        trial.run((kernels, b) -> kernels.sumPartials(b.of(out), b.of(partials),
                                count));
                        trial.same(out);
                    }
                    try (Trial trial = Trial.bitwise(this, "in place, %s of %s", slices, count)) {
                        List<Operand> partials = partials(trial, slices, count);
                        Operand sum = trial.inout("sum", DType.F32, Values.normal(9, count, 1));
                        partials.set(slices / 2, sum);
                        trial.run((kernels, b) -> kernels.sumPartials(b.of(sum), b.of(partials),
                                count));
                        trial.same(sum);
                    }
                }
            }
        }
    }

    @Test
    default void additionsAndFillsAreExact() {
        for (int count : COUNTS) {
            try (Trial trial = Trial.bitwise(this, "%s", count)) {
                double[] values = Values.normal(1, count, 1);
                values[0] = -0.0;
                Operand sum = trial.inout("sum", DType.F32, values);
                Operand x = trial.input("x", DType.F32, Values.normal(2, count, 1e-3));
                trial.run((kernels, b) -> kernels.add(b.of(sum), b.of(x), count));
                trial.same(sum);
            }
            List<DType> types = new ArrayList<>(computeTypes());
            for (DType type : types) {
                try (Trial trial = Trial.bitwise(this, "%s %s", count, type)) {
                    Operand zeros = trial.output("zeros", type, count + 1);
                    Operand filled = trial.output("filled", type, count + 1);
                    trial.run((kernels, b) -> {
                        kernels.zero(b.of(zeros), count); // the last one stays
                        kernels.fill(b.of(filled), 0.3f, count);
                    });
                    trial.same(zeros);
                    trial.same(filled);
                }
            }
        }
    }

    @Test
    default void castsRoundToNearestEven() {
        if (!computeTypes().contains(DType.BF16)) {
            return;
        }
        // Around every bfloat16: itself, the tie above it, and one F32 to either side of the tie.
        int[] patterns = new int[65536 * 4];
        for (int upper = 0; upper < 65536; upper++) {
            for (int i = 0; i < 4; i++) {
                patterns[4 * upper + i] = upper << 16 | new int[] {0, 0x7FFF, 0x8000, 0x8001}[i];
            }
        }
        byte[] bytes = new byte[patterns.length * 4];
        java.nio.ByteBuffer.wrap(bytes).order(java.nio.ByteOrder.nativeOrder()).asIntBuffer()
                .put(patterns);
        try (Trial trial = Trial.bitwise(this, "all bfloat16")) {
            Operand x = trial.raw("x", DType.F32, bytes, false);
            Operand rounded = trial.output("rounded", DType.BF16, patterns.length);
            Operand back = trial.output("back", DType.F32, patterns.length);
            Operand copy = trial.output("copy", DType.F32, patterns.length);
            trial.run((kernels, b) -> {
                kernels.cast(b.of(rounded), b.of(x), patterns.length);
                kernels.cast(b.of(back), b.of(rounded), patterns.length);
                kernels.cast(b.of(copy), b.of(x), patterns.length);
            });
            trial.same(rounded);
            trial.same(back);
            trial.same(copy);
            double[] values = x.before();
            double[] results = rounded.actual();
            for (int i = 0; i < values.length; i++) {
                assertThat(Double.isNaN(results[i])).isEqualTo(Double.isNaN(values[i]));
                if (Math.abs(values[i]) < 0x1.ffp127) { // beyond lies infinity
                    assertThat(Math.abs(results[i] - values[i]))
                            .isLessThanOrEqualTo(Math.max(0x1p-8 * Math.abs(values[i]), 0x1p-134));
                }
            }
        }
    }

    @Test
    default void shortCastsAreExact() {
        for (DType to : computeTypes()) {
            for (DType from : computeTypes()) {
                for (int count : COUNTS) {
                    try (Trial trial = Trial.bitwise(this, "%s to %s, %s", from, to, count)) {
                        Operand x = trial.input("x", from, Values.normal(1, count, 1));
                        Operand out = trial.output("out", to, count + 1);
                        trial.run((kernels, b) -> kernels.cast(b.of(out), b.of(x), count));
                        trial.same(out);
                    }
                }
            }
        }
    }
}
