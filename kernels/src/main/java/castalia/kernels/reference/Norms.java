package castalia.kernels.reference;

import static castalia.kernels.reference.Elements.get;
import static castalia.kernels.reference.Elements.numbers;
import static castalia.kernels.reference.Elements.numbersOrNull;
import static castalia.kernels.reference.Elements.set;
import static castalia.kernels.reference.Elements.setOrAdd;

import castalia.kernels.Buffer;
import org.jspecify.annotations.Nullable;

/** Layer norms over the columns of x (R, C), one at a time or two that share mean and rstd. */
final class Norms {

    private Norms() {}

    /** Row statistics: mean (R) and rstd (R) of x (R, C); then out (R, C) of one layer norm. */
    static void layerNorm(Buffer out, Buffer mean, Buffer rstd, Buffer x, Buffer weight,
            Buffer bias, float epsilon, int rows, int columns) {
        numbers("out", out, (long) rows * columns);
        numbers("mean", mean, rows);
        numbers("rstd", rstd, rows);
        numbers("x", x, (long) rows * columns);
        numbers("weight", weight, columns);
        numbers("bias", bias, columns);
        for (int r = 0; r < rows; r++) {
            long row = (long) r * columns;
            double average = rowMean(x, row, columns);
            double scale = rowScale(x, row, columns, average, epsilon);
            normalize(out, x, row, columns, average, scale, weight, bias);
            set(mean, r, average);
            set(rstd, r, scale);
        }
    }

    /** Two layer norms of the same rows. */
    static void layerNormDouble(Buffer out1, Buffer out2, Buffer mean, Buffer rstd, Buffer x,
            Buffer weight1, Buffer bias1, Buffer weight2, Buffer bias2, float epsilon, int rows,
            int columns) {
        numbers("out2", out2, (long) rows * columns);
        numbers("weight2", weight2, columns);
        numbers("bias2", bias2, columns);
        layerNorm(out1, mean, rstd, x, weight1, bias1, epsilon, rows, columns);
        for (int r = 0; r < rows; r++) {
            long row = (long) r * columns;
            double average = rowMean(x, row, columns);
            double scale = rowScale(x, row, columns, average, epsilon);
            normalize(out2, x, row, columns, average, scale, weight2, bias2);
        }
    }

    private static double rowMean(Buffer x, long row, int columns) {
        double sum = 0;
        for (int c = 0; c < columns; c++) {
            sum += get(x, row + c);
        }
        return sum / columns;
    }

    private static double rowScale(Buffer x, long row, int columns, double mean, float epsilon) {
        double squares = 0;
        for (int c = 0; c < columns; c++) {
            double deviation = get(x, row + c) - mean;
            squares += deviation * deviation;
        }
        return 1 / Math.sqrt(squares / columns + epsilon);
    }

    private static void normalize(Buffer out, Buffer x, long row, int columns, double mean,
            double rstd, Buffer weight, Buffer bias) {
        for (int c = 0; c < columns; c++) {
            double normal = (get(x, row + c) - mean) * rstd;
            set(out, row + c, normal * get(weight, c) + get(bias, c));
        }
    }

    /** dx (R, C) = dResidual + gradient of one layer norm; dWeight, dBias (C) sum over rows. */
    static void layerNormBackward(Buffer dx, Buffer dWeight, Buffer dBias,
            @Nullable Buffer dResidual, Buffer dOut, Buffer x, Buffer mean, Buffer rstd,
            Buffer weight, int rows, int columns, boolean accumulate) {
        checkInput(dx, dResidual, x, mean, rstd, rows, columns);
        checkBranch("", dWeight, dBias, dOut, weight, rows, columns);
        for (int r = 0; r < rows; r++) {
            long row = (long) r * columns;
            RowSums sums = rowSums(dOut, x, row, columns, get(mean, r), get(rstd, r), weight);
            for (int c = 0; c < columns; c++) {
                double normal = (get(x, row + c) - get(mean, r)) * get(rstd, r);
                double gradient = dResidual == null ? 0 : get(dResidual, row + c);
                double g = get(weight, c) * get(dOut, row + c);
                gradient += get(rstd, r) * sums.gradient(g, normal);
                set(dx, row + c, gradient);
            }
        }
        parameters(dWeight, dBias, dOut, x, mean, rstd, rows, columns, accumulate);
    }

    /** dx (R, C) = dResidual + gradients of both layer norms. */
    static void layerNormDoubleBackward(Buffer dx, Buffer dWeight1, Buffer dBias1, Buffer dWeight2,
            Buffer dBias2, Buffer dResidual, Buffer dOut1, Buffer dOut2, Buffer x, Buffer mean,
            Buffer rstd, Buffer weight1, Buffer weight2, int rows, int columns,
            boolean accumulate) {
        checkInput(dx, dResidual, x, mean, rstd, rows, columns);
        checkBranch("1", dWeight1, dBias1, dOut1, weight1, rows, columns);
        checkBranch("2", dWeight2, dBias2, dOut2, weight2, rows, columns);
        for (int r = 0; r < rows; r++) {
            long row = (long) r * columns;
            RowSums sums1 = rowSums(dOut1, x, row, columns, get(mean, r), get(rstd, r), weight1);
            RowSums sums2 = rowSums(dOut2, x, row, columns, get(mean, r), get(rstd, r), weight2);
            for (int c = 0; c < columns; c++) {
                double normal = (get(x, row + c) - get(mean, r)) * get(rstd, r);
                double gradient = get(dResidual, row + c);
                double g1 = get(weight1, c) * get(dOut1, row + c);
                double g2 = get(weight2, c) * get(dOut2, row + c);
                gradient += get(rstd, r) * sums1.gradient(g1, normal);
                gradient += get(rstd, r) * sums2.gradient(g2, normal);
                set(dx, row + c, gradient);
            }
        }
        parameters(dWeight1, dBias1, dOut1, x, mean, rstd, rows, columns, accumulate);
        parameters(dWeight2, dBias2, dOut2, x, mean, rstd, rows, columns, accumulate);
    }

    /** Averages over a row of g = weight * dOut, and of g times the normalized x. */
    private record RowSums(double meanGradient, double meanProjection) {

        double gradient(double g, double normal) {
            return g - meanGradient - normal * meanProjection;
        }
    }

    private static RowSums rowSums(Buffer dOut, Buffer x, long row, int columns, double mean,
            double rstd, Buffer weight) {
        double gradient = 0;
        double projection = 0;
        for (int c = 0; c < columns; c++) {
            double g = get(weight, c) * get(dOut, row + c);
            gradient += g;
            projection += g * (get(x, row + c) - mean) * rstd;
        }
        return new RowSums(gradient / columns, projection / columns);
    }

    private static void parameters(Buffer dWeight, Buffer dBias, Buffer dOut, Buffer x, Buffer mean,
            Buffer rstd, int rows, int columns, boolean accumulate) {
        for (int c = 0; c < columns; c++) {
            double weightSum = 0;
            double biasSum = 0;
            for (int r = 0; r < rows; r++) {
                double d = get(dOut, (long) r * columns + c);
                double normal = (get(x, (long) r * columns + c) - get(mean, r)) * get(rstd, r);
                weightSum += d * normal;
                biasSum += d;
            }
            setOrAdd(dWeight, c, weightSum, accumulate);
            setOrAdd(dBias, c, biasSum, accumulate);
        }
    }

    private static void checkInput(Buffer dx, @Nullable Buffer dResidual, Buffer x, Buffer mean,
            Buffer rstd, int rows, int columns) {
        numbers("dx", dx, (long) rows * columns);
        numbersOrNull("dResidual", dResidual, (long) rows * columns);
        numbers("x", x, (long) rows * columns);
        numbers("mean", mean, rows);
        numbers("rstd", rstd, rows);
    }

    private static void checkBranch(String name, Buffer dWeight, Buffer dBias, Buffer dOut,
            Buffer weight, int rows, int columns) {
        numbers("dWeight" + name, dWeight, columns);
        numbers("dBias" + name, dBias, columns);
        numbers("dOut" + name, dOut, (long) rows * columns);
        numbers("weight" + name, weight, columns);
    }
}
