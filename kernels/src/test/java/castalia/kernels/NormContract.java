package castalia.kernels;

import castalia.kernels.Trial.Operand;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/**
 * Layer norms. A mean of C columns in 16 F32 lanes is off by at most (C/16 + 6) U times the mean
 * magnitude; that error, relative to the row's deviation, carries over to rstd and to the output.
 */
interface NormContract extends KernelSubject {

    List<Integer> NORM_COLUMNS = List.of(1, 3, 16, 20, 67, 131);
    List<Integer> NORM_ROWS = List.of(1, 7, 129, 300);
    float EPSILON = 1e-5f;

    @Test
    default void layerNormsAreRight() {
        for (DType type : computeTypes()) {
            for (int columns : NORM_COLUMNS) {
                for (int rows : NORM_ROWS) {
                    layerNorm(type, rows, columns, 0, 1);
                }
            }
        }
    }

    @Test
    default void layerNormsOfUnusualRowsAreRight() {
        for (DType type : computeTypes()) {
            layerNorm(type, 7, 67, 0, 1e6); // large
            layerNorm(type, 7, 67, 0, 1e-6); // far below epsilon
            layerNorm(type, 7, 67, 300, 1); // mean far from 0
            layerNorm(type, 7, 67, 5, 0); // all equal
            layerNorm(type, 7, 67, 0, 0); // all zero
        }
    }

    private void layerNorm(DType type, int rows, int columns, double centre, double deviation) {
        try (Trial trial = Trial.inDouble(this, "%s, %s x %s, %s +- %s", type, rows, columns,
                centre, deviation)) {
            double[] values = Values.normal(1, (long) rows * columns, deviation);
            for (int i = 0; i < values.length; i++) {
                values[i] += centre;
            }
            Operand x = trial.input("x", type, values);
            Operand weight1 = trial.input("weight1", type, Values.normal(2, columns, 1));
            Operand bias1 = trial.input("bias1", type, Values.normal(3, columns, 1));
            Operand weight2 = trial.input("weight2", type, Values.normal(4, columns, 1));
            Operand bias2 = trial.input("bias2", type, Values.normal(5, columns, 1));
            Operand single = trial.output("out", type, (long) rows * columns);
            Operand mean = trial.output("mean", DType.F32, rows);
            Operand rstd = trial.output("rstd", DType.F32, rows);
            Operand out1 = trial.output("out1", type, (long) rows * columns);
            Operand out2 = trial.output("out2", type, (long) rows * columns);
            Operand mean2 = trial.output("mean of two", DType.F32, rows);
            Operand rstd2 = trial.output("rstd of two", DType.F32, rows);
            trial.run((kernels, b) -> {
                kernels.layerNorm(b.of(single), b.of(mean), b.of(rstd), b.of(x), b.of(weight1),
                        b.of(bias1), EPSILON, rows, columns);
                kernels.layerNormDouble(b.of(out1), b.of(out2), b.of(mean2), b.of(rstd2), b.of(x),
                        b.of(weight1), b.of(bias1), b.of(weight2), b.of(bias2), EPSILON, rows,
                        columns);
            });
            double[] meanError = new double[rows];
            double[] rstdError = new double[rows];
            double[] error1 = new double[rows * columns];
            double[] error2 = new double[rows * columns];
            double[] means = mean.expected();
            double[] scales = rstd.expected();
            for (int r = 0; r < rows; r++) {
                double length = columns / 16.0 + 6;
                double magnitude = 0;
                for (int c = 0; c < columns; c++) {
                    magnitude += Math.abs(x.before()[r * columns + c]) / columns;
                }
                double average = means[r];
                double scale = scales[r];
                meanError[r] = length * U * magnitude;
                double relative = (length + 4) * U + 2 * meanError[r] * scale
                        + Math.pow(meanError[r] * scale, 2);
                rstdError[r] = relative * scale;
                for (int c = 0; c < columns; c++) {
                    int i = r * columns + c;
                    double normal = Math.abs(x.before()[i] - average) * scale;
                    double off = meanError[r] * scale + normal * (relative + 4 * U);
                    error1[i] = Math.abs(weight1.before()[c]) * off
                            + 2 * U * Math.abs(bias1.before()[c]);
                    error2[i] = Math.abs(weight2.before()[c]) * off
                            + 2 * U * Math.abs(bias2.before()[c]);
                }
            }
            trial.near(mean, meanError);
            trial.near(mean2, meanError);
            trial.near(rstd, rstdError);
            trial.near(rstd2, rstdError);
            trial.near(single, error1);
            trial.near(out1, error1);
            trial.near(out2, error2);
        }
    }

    @Test
    default void layerNormGradientsAreRight() {
        for (DType type : computeTypes()) {
            for (int columns : NORM_COLUMNS) {
                for (int rows : NORM_ROWS) {
                    backward(type, rows, columns, false);
                    backward(type, rows, columns, true);
                }
            }
        }
    }

    /** In place: dx is the buffer of dResidual. */
    private void backward(DType type, int rows, int columns, boolean inPlace) {
        String description = inPlace ? "%s, %s x %s, in place" : "%s, %s x %s";
        try (Trial trial = Trial.inDouble(this, description, type, rows, columns)) {
            long count = (long) rows * columns;
            Operand x = trial.input("x", type, Values.normal(1, count, 3));
            double[][] statistics = statistics(x.before(), rows, columns);
            Operand mean = trial.input("mean", DType.F32, statistics[0]);
            Operand rstd = trial.input("rstd", DType.F32, statistics[1]);
            double[] residual = Values.normal(2, count, 1);
            Branch one = new Branch(trial, type, rows, columns, 10);
            Branch two = new Branch(trial, type, rows, columns, 20);
            Operand dx = inPlace
                    ? trial.inout("dx", type, residual)
                    : trial.output("dx", type, count);
            Operand dResidual = inPlace ? dx : trial.input("dResidual", type, residual);
            Operand dxAlone = trial.output("dx without residual", type, count);
            Operand dxDouble = inPlace
                    ? trial.inout("dx of two", type, residual)
                    : trial.output("dx of two", type, count);
            Operand dResidual2 = inPlace ? dxDouble : dResidual;
            Branch again = new Branch(trial, type, rows, columns, 10);
            trial.run((kernels, b) -> {
                kernels.layerNormBackward(b.of(dx), b.of(one.dWeight), b.of(one.dBias),
                        b.of(dResidual), b.of(one.dOut), b.of(x), b.of(mean), b.of(rstd),
                        b.of(one.weight), rows, columns, false);
                kernels.layerNormBackward(b.of(dxAlone), b.of(one.dWeightAdded),
                        b.of(one.dBiasAdded), null, b.of(one.dOut), b.of(x), b.of(mean),
                        b.of(rstd), b.of(one.weight), rows, columns, true);
                kernels.layerNormDoubleBackward(b.of(dxDouble), b.of(again.dWeight),
                        b.of(again.dBias), b.of(two.dWeight), b.of(two.dBias), b.of(dResidual2),
                        b.of(again.dOut), b.of(two.dOut), b.of(x), b.of(mean), b.of(rstd),
                        b.of(again.weight), b.of(two.weight), rows, columns,
                        false);
                if (!inPlace) { // a second time only for the accumulated parameter gradients
                    kernels.layerNormDoubleBackward(b.of(dxDouble), b.of(again.dWeightAdded),
                            b.of(again.dBiasAdded), b.of(two.dWeightAdded), b.of(two.dBiasAdded),
                            b.of(dResidual2), b.of(again.dOut), b.of(two.dOut), b.of(x),
                            b.of(mean), b.of(rstd), b.of(again.weight), b.of(two.weight), rows,
                            columns, true);
                }
            });
            Rows input = new Rows(x, mean, rstd, rows, columns);
            double[] error1 = input.error(one, null);
            trial.near(dx, input.plus(error1, residual));
            trial.near(dxAlone, error1);
            trial.near(dxDouble, input.plus(input.error(one, two), residual));
            one.check(trial, input, true);
            again.check(trial, input, !inPlace);
            two.check(trial, input, !inPlace);
        }
    }

    private static double[][] statistics(double[] x, int rows, int columns) {
        double[][] statistics = new double[2][rows];
        for (int r = 0; r < rows; r++) {
            double mean = 0;
            double variance = 0;
            for (int c = 0; c < columns; c++) {
                mean += x[r * columns + c] / columns;
            }
            for (int c = 0; c < columns; c++) {
                variance += Math.pow(x[r * columns + c] - mean, 2) / columns;
            }
            statistics[0][r] = mean;
            statistics[1][r] = 1 / Math.sqrt(variance + EPSILON);
        }
        return statistics;
    }

    /** One layer norm's operands in a backward pass. */
    final class Branch {
        private final Operand weight;
        private final Operand dOut;
        private final Operand dWeight;
        private final Operand dBias;
        private final Operand dWeightAdded;
        private final Operand dBiasAdded;

        private Branch(Trial trial, DType type, int rows, int columns, long seed) {
            weight = trial.input("weight", type, Values.normal(seed, columns, 1));
            dOut = trial.input("dOut", type, Values.normal(seed + 1, (long) rows * columns, 1));
            dWeight = trial.output("dWeight", DType.F32, columns);
            dBias = trial.output("dBias", DType.F32, columns);
            dWeightAdded = trial.inout("dWeight added", DType.F32,
                    Values.normal(seed + 2, columns, 1));
            dBiasAdded = trial.inout("dBias added", DType.F32, Values.normal(seed + 3, columns, 1));
        }

        private void check(Trial trial, Rows input, boolean added) {
            double[] weightError = new double[input.columns];
            double[] biasError = new double[input.columns];
            double[] d = dOut.before();
            for (int i = 0; i < d.length; i++) {
                double magnitude = (input.rows + 4) * U * Math.abs(d[i]);
                weightError[i % input.columns] += magnitude * Math.abs(input.normal(i));
                biasError[i % input.columns] += magnitude;
            }
            trial.near(dWeight, weightError);
            trial.near(dBias, biasError);
            if (added) {
                ProductContract.isOneAddition(dWeightAdded, dWeight);
                ProductContract.isOneAddition(dBiasAdded, dBias);
            }
        }
    }

    /** The input and its statistics. */
    record Rows(Operand x, Operand mean, Operand rstd, int rows, int columns) {

        private double normal(int i) {
            int r = i / columns;
            return (x.before()[i] - mean.before()[r]) * rstd.before()[r];
        }

        /** (C/16 + 12) U times the magnitudes of the three terms of each branch's dx. */
        private double[] error(Branch one, @Nullable Branch two) {
            double[] error = new double[rows * columns];
            addError(error, one);
            if (two != null) {
                addError(error, two);
            }
            return error;
        }

        private void addError(double[] error, Branch branch) {
            double[] weight = branch.weight.before();
            double[] dOut = branch.dOut.before();
            for (int r = 0; r < rows; r++) {
                double gradient = 0;
                double projection = 0;
                for (int c = 0; c < columns; c++) {
                    double g = Math.abs(weight[c] * dOut[r * columns + c]);
                    gradient += g / columns;
                    projection += g * Math.abs(normal(r * columns + c)) / columns;
                }
                for (int c = 0; c < columns; c++) {
                    int i = r * columns + c;
                    double g = Math.abs(weight[c] * dOut[i]);
                    error[i] += (columns / 16.0 + 12) * U * rstd.before()[r]
                            * (g + gradient + Math.abs(normal(i)) * projection);
                }
            }
        }

        private double[] plus(double[] error, double[] residual) {
            double[] sum = error.clone();
            for (int i = 0; i < sum.length; i++) {
                sum[i] += U * Math.abs(residual[i]);
            }
            return sum;
        }
    }
}
