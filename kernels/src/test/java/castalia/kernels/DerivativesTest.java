package castalia.kernels;

import static castalia.kernels.DType.F64;
import static org.assertj.core.api.Assertions.assertThat;

import castalia.kernels.reference.ReferenceDevice;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;
import java.util.function.DoubleSupplier;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/**
 * Every backward operation of the reference against differences of its forward operation, all in
 * F64. The loss is the sum of outputs times fixed random numbers, which are then the outputs'
 * gradients. A central difference over four points with steps of 1e-3 is off by about 1e-12 of the
 * fifth derivative and 1e-13 of the loss; allowed is 1e-8 of the largest gradient.
 */
final class DerivativesTest {

    private static final double STEP = 1e-3;

    private final Device device = new ReferenceDevice();
    private final Kernels kernels = device.kernels();
    private final Arena arena = device.arena();

    @AfterEach
    void free() {
        arena.close();
    }

    private Buffer numbers(long seed, int count) {
        return numbers(Values.normal(seed, count, 1));
    }

    private Buffer numbers(double... values) {
        Buffer buffer = arena.allocate(F64, values.length);
        write(buffer, values);
        return buffer;
    }

    private Buffer tokens(double... values) {
        Buffer buffer = arena.allocate(DType.I32, values.length);
        device.upload(buffer, MemorySegment.ofArray(Values.encode(DType.I32, values)));
        return buffer;
    }

    private Buffer zeros(int count) {
        return arena.allocate(F64, count);
    }

    private static Buffer part(Buffer buffer, int from, int count) {
        return buffer.slice(from, count);
    }

    private void write(Buffer buffer, double[] values) {
        device.upload(buffer, MemorySegment.ofArray(values));
    }

    private double[] read(Buffer buffer) {
        double[] values = new double[Math.toIntExact(buffer.elements())];
        device.download(MemorySegment.ofArray(values), buffer);
        return values;
    }

    private double dot(Buffer x, Buffer y) {
        double[] left = read(x);
        double[] right = read(y);
        double sum = 0;
        for (int i = 0; i < left.length; i++) {
            sum += left[i] * right[i];
        }
        return sum;
    }

    /** The gradient equals the differences of the loss when x moves. */
    private void agrees(String name, Buffer gradient, Buffer x, DoubleSupplier loss) {
        double[] analytic = read(gradient);
        double[] values = read(x);
        assertThat(analytic).as(name).hasSameSizeAs(values);
        double largest = 0;
        for (double g : analytic) {
            largest = Math.max(largest, Math.abs(g));
        }
        assertThat(largest).as(name).isGreaterThan(1e-3);
        for (int i = 0; i < values.length; i++) {
            double numeric = (8 * (at(x, values, i, STEP, loss) - at(x, values, i, -STEP, loss))
                    - at(x, values, i, 2 * STEP, loss) + at(x, values, i, -2 * STEP, loss))
                    / (12 * STEP);
            assertThat(Math.abs(numeric - analytic[i]))
                    .as("%s[%s]: %s by differences, %s", name, i, numeric, analytic[i])
                    .isLessThan(1e-8 * largest);
        }
        write(x, values);
    }

    private double at(Buffer x, double[] values, int i, double step, DoubleSupplier loss) {
        double[] moved = values.clone();
        moved[i] += step;
        write(x, moved);
        return loss.getAsDouble();
    }

    @Test
    void matrixProducts() {
        int m = 5;
        int n = 4;
        int k = 7;
        Buffer x = numbers(1, m * k);
        Buffer weight = numbers(2, n * k);
        Buffer bias = numbers(3, n);
        Buffer dOut = numbers(4, m * n);
        Buffer out = zeros(m * n);
        DoubleSupplier loss = () -> {
            kernels.matmul(MatmulShape.forward(m, n, k, F64, F64, true), out, x, weight, bias);
            return dot(out, dOut);
        };
        Buffer dx = zeros(m * k);
        Buffer dWeight = zeros(n * k);
        Buffer dBias = zeros(n);
        kernels.matmul(MatmulShape.inputGradient(m, n, k, F64, F64), dx, dOut, weight, bias);
        kernels.matmul(MatmulShape.weightGradient(m, n, k, F64, F64, false), dWeight, dOut, x,
                bias);
        kernels.biasGradient(dBias, dOut, m, n, false);
        agrees("dx", dx, x, loss);
        agrees("dWeight", dWeight, weight, loss);
        agrees("dBias", dBias, bias, loss);
    }

    @Test
    void gradientsAccumulateOverMicroBatches() {
        int m = 5;
        int n = 4;
        int k = 7;
        Buffer x = numbers(1, 2 * m * k);
        Buffer weight = numbers(2, n * k);
        Buffer dOut = numbers(4, 2 * m * n);
        Buffer out = zeros(m * n);
        MatmulShape forward = MatmulShape.forward(m, n, k, F64, F64, false);
        MatmulShape backward = MatmulShape.weightGradient(m, n, k, F64, F64, false);
        Buffer dWeight = zeros(n * k);
        for (int part = 0; part < 2; part++) {
            kernels.matmul(part == 0 ? backward : backward.accumulating(), dWeight,
                    part(dOut, part * m * n, m * n), part(x, part * m * k, m * k), x);
        }
        agrees("dWeight", dWeight, weight, () -> {
            double sum = 0;
            for (int part = 0; part < 2; part++) {
                kernels.matmul(forward, out, part(x, part * m * k, m * k), weight, x);
                sum += dot(out, part(dOut, part * m * n, m * n));
            }
            return sum;
        });
    }

    @Test
    void embeddings() {
        int rows = 9;
        int columns = 3;
        Buffer weight = numbers(1, 5 * columns);
        Buffer tokens = tokens(2, 6, 3, 2, 0, 5, 4, 3, 9); // 0 and 9 lie outside [2, 7)
        Buffer dOut = numbers(2, rows * columns);
        Buffer out = zeros(rows * columns);
        Buffer dWeight = zeros(5 * columns);
        kernels.embeddingBackward(dWeight, dOut, tokens, 2, rows, columns, 5, false);
        agrees("dWeight", dWeight, weight, () -> {
            kernels.zero(out, out.elements());
            kernels.embedding(out, tokens, weight, 2, rows, columns, 5);
            return dot(out, dOut);
        });
    }

    @Test
    void layerNorms() {
        int rows = 4;
        int columns = 9;
        int count = rows * columns;
        Buffer x = numbers(1, count);
        Buffer weight = numbers(2, columns);
        Buffer bias = numbers(3, columns);
        Buffer dOut = numbers(4, count);
        Buffer dResidual = numbers(5, count);
        Buffer out = zeros(count);
        Buffer mean = zeros(rows);
        Buffer rstd = zeros(rows);
        DoubleSupplier loss = () -> {
            kernels.layerNorm(out, mean, rstd, x, weight, bias, 1e-5f, rows, columns);
            return dot(out, dOut) + dot(x, dResidual);
        };
        double _ = loss.getAsDouble();
        Buffer dx = zeros(count);
        Buffer dWeight = zeros(columns);
        Buffer dBias = zeros(columns);
        kernels.layerNormBackward(dx, dWeight, dBias, dResidual, dOut, x, mean, rstd, weight, rows,
                columns, false);
        agrees("dx", dx, x, loss);
        agrees("dWeight", dWeight, weight, loss);
        agrees("dBias", dBias, bias, loss);
        kernels.layerNorm(out, mean, rstd, x, weight, bias, 1e-5f, rows, columns);
        kernels.layerNormBackward(dx, dWeight, dBias, null, dOut, x, mean, rstd, weight, rows,
                columns, false);
        agrees("dx without residual", dx, x, () -> loss.getAsDouble() - dot(x, dResidual));
    }

    @Test
    void doubleLayerNorms() {
        int rows = 4;
        int columns = 9;
        int count = rows * columns;
        Buffer x = numbers(1, count);
        Buffer weight1 = numbers(2, columns);
        Buffer bias1 = numbers(3, columns);
        Buffer weight2 = numbers(4, columns);
        Buffer bias2 = numbers(5, columns);
        Buffer dOut1 = numbers(6, count);
        Buffer dOut2 = numbers(7, count);
        Buffer dResidual = numbers(8, count);
        Buffer out1 = zeros(count);
        Buffer out2 = zeros(count);
        Buffer mean = zeros(rows);
        Buffer rstd = zeros(rows);
        DoubleSupplier loss = () -> {
            kernels.layerNormDouble(out1, out2, mean, rstd, x, weight1, bias1, weight2, bias2,
                    1e-5f, rows, columns);
            return dot(out1, dOut1) + dot(out2, dOut2) + dot(x, dResidual);
        };
        double _ = loss.getAsDouble();
        Buffer dx = zeros(count);
        List<Buffer> gradients = List.of(zeros(columns), zeros(columns), zeros(columns),
                zeros(columns));
        kernels.layerNormDoubleBackward(dx, gradients.get(0), gradients.get(1), gradients.get(2),
                gradients.get(3), dResidual, dOut1, dOut2, x, mean, rstd, weight1, weight2, rows,
                columns, false);
        agrees("dx", dx, x, loss);
        agrees("dWeight1", gradients.get(0), weight1, loss);
        agrees("dBias1", gradients.get(1), bias1, loss);
        agrees("dWeight2", gradients.get(2), weight2, loss);
        agrees("dBias2", gradients.get(3), bias2, loss);
    }

    @Test
    void rotations() {
        int batch = 2;
        int sequence = 3;
        int heads = 2;
        for (int rotary : new int[] {2, 4, 8}) {
            int count = batch * sequence * heads * 3 * 8;
            Buffer x = numbers(1, count);
            Buffer dOut = numbers(2, count);
            Buffer table = numbers(angles(sequence, rotary));
            Buffer out = zeros(count);
            Buffer dx = zeros(count);
            kernels.cast(dx, dOut, count);
            kernels.rotary(dx, table, true, batch, sequence, heads, 8, rotary);
            DoubleSupplier loss = () -> {
                kernels.cast(out, x, count);
                kernels.rotary(out, table, false, batch, sequence, heads, 8, rotary);
                return dot(out, dOut);
            };
            agrees("dx", dx, x, loss);
            // The inverse is the adjoint, and it is the inverse.
            assertThat(Math.abs(loss.getAsDouble() - dot(x, dx))).isLessThan(1e-12);
            kernels.rotary(out, table, true, batch, sequence, heads, 8, rotary);
            double[] back = read(out);
            double[] original = read(x);
            for (int i = 0; i < count; i++) {
                assertThat(Math.abs(back[i] - original[i])).isLessThan(1e-14);
            }
        }
    }

    /** A rotary table in F64, not rounded to F32: its rotations then keep lengths. */
    private static double[] angles(int sequence, int rotary) {
        double[] table = new double[sequence * rotary];
        for (int s = 0; s < sequence; s++) {
            for (int i = 0; i < rotary / 2; i++) {
                table[s * rotary + i] = Math.cos(s * (0.3 + i));
                table[s * rotary + rotary / 2 + i] = Math.sin(s * (0.3 + i));
            }
        }
        return table;
    }

    @Test
    void attention() {
        int batch = 2;
        int sequence = 5;
        int heads = 3;
        int dimension = 3;
        int count = batch * sequence * heads * dimension;
        Buffer qkv = numbers(1, 3 * count);
        Buffer dOut = numbers(2, count);
        Buffer out = zeros(count);
        Buffer lse = zeros(batch * sequence * heads);
        DoubleSupplier loss = () -> {
            kernels.attention(out, lse, qkv, batch, sequence, heads, dimension);
            return dot(out, dOut);
        };
        double _ = loss.getAsDouble();
        Buffer dQkv = zeros(3 * count);
        kernels.attentionBackward(dQkv, dOut, out, lse, qkv, batch, sequence, heads, dimension);
        agrees("dQkv", dQkv, qkv, loss);
    }

    @Test
    void gelus() {
        double[] values = new double[161];
        for (int i = 0; i < values.length; i++) {
            values[i] = (i - 80) / 16.0;
        }
        for (boolean tanh : new boolean[] {false, true}) {
            Buffer x = numbers(values);
            Buffer dOut = numbers(1, values.length);
            Buffer out = zeros(values.length);
            Buffer dx = zeros(values.length);
            kernels.geluBackward(dx, dOut, x, tanh, values.length);
            agrees("dx", dx, x, () -> {
                kernels.gelu(out, x, tanh, values.length);
                return dot(out, dOut);
            });
        }
    }

    @Test
    void crossEntropy() {
        int rows = 4;
        int width = 5;
        for (int slices : new int[] {1, 2, 4}) {
            Buffer logits = numbers(1, slices * rows * width); // slice by slice
            Buffer labels = tokens(3, width * slices - 1, 0, 4);
            Buffer work = zeros(slices * rows * width);
            Buffer target = zeros(rows);
            Buffer sumOfLosses = zeros(1);
            Buffer[] max = parts(slices, rows);
            Buffer[] sum = parts(slices, rows);
            Buffer[] factor = parts(slices, rows);
            float scale = 0.125f;
            DoubleSupplier loss = () -> {
                kernels.cast(work, logits, logits.elements());
                for (int s = 0; s < slices; s++) {
                    kernels.softmaxPartial(part(work, s * rows * width, rows * width), max[s],
                            sum[s], target, labels, s * width, rows, width);
                }
                kernels.softmaxJoin(sumOfLosses, factor, max, sum, target, rows);
                return scale * sumOfLosses.segment().get(ValueLayout.JAVA_DOUBLE, 0);
            };
            double _ = loss.getAsDouble();
            Buffer dLogits = zeros(slices * rows * width);
            for (int s = 0; s < slices; s++) {
                kernels.softmaxGradient(part(dLogits, s * rows * width, rows * width),
                        part(work, s * rows * width, rows * width), max[s], factor[s], labels,
                        scale, s * width, rows, width);
            }
            agrees("dLogits", dLogits, logits, loss);
        }
    }

    private Buffer[] parts(int slices, int rows) {
        Buffer[] parts = new Buffer[slices];
        for (int s = 0; s < slices; s++) {
            parts[s] = zeros(rows);
        }
        return parts;
    }
}
