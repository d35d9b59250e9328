package castalia.kernels;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.kernels.Trial.Operand;
import org.junit.jupiter.api.Test;

/** Products that a back end may join with the GELU behind them, or with the slope of the one before. */
interface GeluProductContract extends KernelSubject {

    @Test
    default void productsBeforeGeluAreRight() {
        for (DType type : computeTypes()) {
            for (boolean tanh : new boolean[] {false, true}) {
                for (int rows : new int[] {1, 7, 65}) {
                    beforeGelu(MatmulShape.forward(rows, 20, 67, type, type, true), tanh);
                    beforeGelu(MatmulShape.forward(rows, 128, 64, type, type, true), tanh);
                }
            }
        }
    }

    private void beforeGelu(MatmulShape shape, boolean tanh) {
        try (Trial trial = Trial.inDouble(this, "%s, %s", shape, tanh)) {
            DType type = shape.output();
            int n = shape.n();
            long size = (long) shape.m() * n;
            Operand a = trial.input("a", type, Values.normal(1, (long) shape.m() * shape.k(), 0.3));
            Operand b = trial.input("b", type, Values.normal(2, (long) shape.k() * n, 0.3));
            Operand bias = trial.input("bias", type, Values.normal(3, n, 1));
            Operand out = trial.output("out", type, size);
            Operand x = trial.output("x", type, size);
            Operand rounded = trial.output("out of what was rounded", type, size);
            Operand again = trial.output("x once more", type, size);
            Operand alone = trial.output("gelu alone", type, size);
            trial.run((kernels, on) -> {
                MatmulShape product = on.tested() ? shape : ProductContract.inDouble(shape);
                kernels.matmulGelu(product, on.of(out), on.of(x), on.of(a), on.of(b), on.of(bias),
                        tanh, false);
                kernels.matmulGelu(product, on.of(rounded), on.of(again), on.of(a), on.of(b),
                        on.of(bias), tanh, true);
                kernels.gelu(on.of(alone), on.of(again), tanh, size);
            });
            double[] error = ProductContract.errors(shape, a.before(), b.before(), bias.before(), new double[(int) size]);
            trial.near(x, error);
            double roundoff = Values.roundoff(type);
            for (int i = 0; i < error.length; i++) {
                // The slope is at most 1.13; the sum may be rounded by itself.
                double v = Math.abs(x.expected()[i]);
                error[i] = 1.2 * (error[i] + v * roundoff) + 8 * U * v;
            }
            trial.near(out, error);
            trial.near(rounded, error);
            assertThat(again.actual()).isEqualTo(x.actual());
            assertThat(rounded.actual()).isEqualTo(alone.actual());
        }
    }

    @Test
    default void productsBehindGeluAreRight() {
        for (DType type : computeTypes()) {
            for (boolean tanh : new boolean[] {false, true}) {
                for (int rows : new int[] {1, 7, 65}) {
                    behindGelu(MatmulShape.inputGradient(rows, 20, 67, type, type), tanh);
                    behindGelu(MatmulShape.inputGradient(rows, 64, 128, type, type), tanh);
                }
            }
        }
    }

    private void behindGelu(MatmulShape shape, boolean tanh) {
        try (Trial trial = Trial.inDouble(this, "%s, %s", shape, tanh)) {
            int m = shape.m();
            int n = shape.n();
            Operand dOut = trial.input("dOut", shape.input(), Values.normal(1, (long) m * shape.k(), 1));
            Operand weight =
                    trial.input("weight", shape.input(), Values.normal(2, (long) shape.k() * n, 1));
            Operand x = trial.input("x", shape.output(), Values.normal(3, (long) m * n, 2));
            Operand dx = trial.output("dx", shape.output(), (long) m * n);
            trial.run((kernels, on) -> kernels.matmulGeluBackward(
                    on.tested() ? shape : ProductContract.inDouble(shape), on.of(dx), on.of(dOut), on.of(weight),
                    on.of(x), tanh));
            double[] error = ProductContract.errors(shape, dOut.before(), weight.before(), new double[0], new double[m * n]);
            double roundoff = Values.roundoff(shape.output());
            for (int i = 0; i < m; i++) {
                for (int j = 0; j < n; j++) {
                    double product = 0;
                    for (int l = 0; l < shape.k(); l++) {
                        product += dOut.before()[i * shape.k() + l] * weight.before()[l * n + j];
                    }
                    // The slope is at most 1.13; the product may be rounded by itself.
                    int at = i * n + j;
                    double v = Math.min(Math.abs(x.before()[at]), 8);
                    double steep = 4 * 0.4 * v * (1 + 0.134 * v * v);
                    error[at] = 1.2 * error[at]
                            + Math.abs(product) * (1.2 * roundoff + (10 + steep) * U);
                }
            }
            trial.near(dx, error);
        }
    }
}
