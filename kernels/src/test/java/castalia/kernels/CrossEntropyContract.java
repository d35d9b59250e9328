package castalia.kernels;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import castalia.kernels.Trial.Operand;
import castalia.kernels.Trial.Results;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Softmax cross-entropy: each pass against the reference, all passes against one softmax. */
interface CrossEntropyContract extends KernelSubject {

    List<Integer> CROSS_ROWS = List.of(1, 7, 129);
    List<Integer> VOCABULARIES = List.of(1, 3, 20, 67, 131);

    /** More than a block of threads takes at once. */
    int WIDE = 20_011;


    @Test
    default void firstPassesAreRight() {
        for (int rows : CROSS_ROWS) {
            for (int vocabulary : VOCABULARIES) {
                for (Logits kind : Logits.values()) {
                    partial(rows, vocabulary, kind);
                }
            }
        }
        for (Logits kind : Logits.values()) {
            partial(2, WIDE, kind);
        }
    }

    private void partial(int rows, int vocabulary, Logits kind) {
        int first = 40;
        try (Trial trial = Trial.inDouble(this, "%s x %s, %s", rows, vocabulary, kind)) {
            Operand logits = trial.inout("logits", DType.F32, kind.draw(1, rows, vocabulary));
            Operand max = trial.output("max", DType.F32, rows);
            Operand sum = trial.output("sum", DType.F32, rows);
            Operand target = trial.inout("target", DType.F32, Values.normal(2, rows, 1));
            Operand labels = trial.input("labels", DType.I32,
                    Values.integers(3, rows, first - 30, first + vocabulary + 30));
            trial.run((kernels, b) -> kernels.softmaxPartial(b.of(logits), b.of(max), b.of(sum),
                    b.of(target), b.of(labels), first, rows, vocabulary));
            double[] error = new double[rows * vocabulary];
            double[] sumError = new double[rows];
            double[] maxima = max.expected();
            for (int r = 0; r < rows; r++) {
                double largest = maxima[r];
                for (int v = 0; v < vocabulary; v++) {
                    int i = r * vocabulary + v;
                    double below = Math.min(200, largest - logits.before()[i]);
                    error[i] = Math.exp(-below) * Math.expm1(U * (below + 6));
                    sumError[r] += error[i] + (vocabulary / 16.0 + 6) * U * Math.exp(-below);
                }
            }
            if (keepsLogits()) {
                assertThat(logits.actual()).isEqualTo(logits.before());
            } else {
                trial.near(logits, error);
            }
            trial.near(sum, sumError);
            assertThat(max.actual()).isEqualTo(max.expected());
            assertThat(target.actual()).isEqualTo(target.expected());
        }
    }

    @Test
    default void joinedStatisticsAreRight() {
        for (int rows : CROSS_ROWS) {
            for (int slices : new int[] {1, 2, 3, 4, 8, 32, 37}) {
                for (double spread : new double[] {1, 50, 1e4}) {
                    join(rows, slices, spread);
                }
            }
        }
    }

    private void join(int rows, int slices, double spread) {
        try (Trial trial = Trial.inDouble(this, "%s rows, %s slices, %s", rows, slices, spread)) {
            List<Operand> factor = new ArrayList<>();
            List<Operand> max = new ArrayList<>();
            List<Operand> sum = new ArrayList<>();
            for (int s = 0; s < slices; s++) {
                factor.add(trial.output("factor " + s, DType.F32, rows));
                max.add(trial.input("max " + s, DType.F32, Values.normal(s, rows, spread)));
                sum.add(trial.input("sum " + s, DType.F32, Values.integers(9 + s, rows, 1, 999)));
            }
            Operand target = trial.input("target", DType.F32, Values.normal(99, rows, spread));
            Operand loss = trial.output("loss", DType.F64, 1);
            trial.run((kernels, b) -> kernels.softmaxJoin(b.of(loss), b.of(factor), b.of(max),
                    b.of(sum), b.of(target), rows));
            double[] largest = new double[rows];
            for (int r = 0; r < rows; r++) {
                largest[r] = max.stream().mapToDouble(joinedMax(r)).max().orElseThrow();
            }
            for (int s = 0; s < slices; s++) {
                double[] error = new double[rows];
                double[] expected = factor.get(s).expected();
                for (int r = 0; r < rows; r++) {
                    double below = Math.min(100, largest[r] - max.get(s).before()[r]);
                    error[r] = (below + slices + 20) * U * expected[r];
                }
                trial.near(factor.get(s), error);
            }
            // A relative error of the joined sum is an absolute one of its logarithm.
            assertThat(loss.actual()[0]).isCloseTo(loss.expected()[0],
                    within(rows * ((slices + 16) * U + 1e-14 * spread)));
        }
    }

    private static java.util.function.ToDoubleFunction<Operand> joinedMax(int row) {
        return operand -> operand.before()[row];
    }

    @Test
    default void logitGradientsAreRight() {
        for (int rows : CROSS_ROWS) {
            for (int vocabulary : VOCABULARIES) {
                for (DType type : computeTypes()) {
                    gradient(type, rows, vocabulary, false);
                }
                gradient(DType.F32, rows, vocabulary, true);
            }
        }
    }

    private void gradient(DType type, int rows, int vocabulary, boolean inPlace) {
        int first = 40;
        float scale = 1024f / 77;
        try (Trial trial = Trial.inDouble(this, "%s, %s x %s, %s", type, rows, vocabulary,
                inPlace)) {
            boolean keeps = keepsLogits();
            double[] values = Values.normal(1, (long) rows * vocabulary, 2);
            for (int i = 0; i < values.length && !keeps; i++) {
                values[i] = i % 5 == 0 ? 1 : Math.exp(-Math.abs(values[i]));
            }
            // What the first pass leaves: exponentials, or else logits, which it is then run for.
            Operand logits = inPlace || keeps
                    ? trial.inout("logits", DType.F32, values)
                    : trial.input("logits", DType.F32, values);
            Operand max = trial.output("max", DType.F32, rows);
            Operand sum = trial.output("sum", DType.F32, rows);
            Operand target = trial.output("target", DType.F32, rows);
            double[] factors = Values.normal(2, rows, 1);
            for (int r = 0; r < rows; r++) {
                factors[r] = r == 0 ? 1 : Math.exp(-Math.abs(factors[r]));
            }
            Operand factor = trial.input("factor", DType.F32, factors);
            Operand labels = trial.input("labels", DType.I32,
                    Values.integers(3, rows, first - 3, first + vocabulary + 3));
            Operand dLogits = inPlace
                    ? logits
                    : trial.output("dLogits", type, (long) rows * vocabulary);
            trial.run((kernels, b) -> {
                if (keeps) {
                    kernels.softmaxPartial(b.of(logits), b.of(max), b.of(sum), b.of(target),
                            b.of(labels), first, rows, vocabulary);
                }
                kernels.softmaxGradient(b.of(dLogits), b.of(logits), b.of(max), b.of(factor),
                        b.of(labels), scale, first, rows, vocabulary);
            });
            double[] expected = dLogits.expected();
            double[] maxima = max.expected();
            double[] error = new double[values.length];
            for (int i = 0; i < error.length; i++) {
                double below = keeps ? maxima[i / vocabulary] - logits.before()[i] : 0;
                double exponential = keeps ? Math.exp(-below) : logits.before()[i];
                double probability = exponential * factor.before()[i / vocabulary];
                error[i] = 2 * U * scale * (probability + Math.abs(expected[i] / scale))
                        + (keeps ? scale * probability * Math.expm1(U * (below + 6)) : 0);
            }
            trial.near(dLogits, error);
        }
    }

    /** T = 1, 2, 4 slices against one softmax in F64. */
    @Test
    default void slicedCrossEntropyIsOneSoftmax() {
        for (Logits kind : Logits.values()) {
            for (int slices : new int[] {1, 2, 4}) {
                sliced(kind, 37, 68, slices);
                sliced(kind, 5, 4, slices);
                sliced(kind, 1, WIDE / 4 * 4, slices);
            }
        }
    }

    private void sliced(Logits kind, int rows, int vocabulary, int slices) {
        double[] logits = Values.decode(DType.F32,
                Values.encode(DType.F32, kind.draw(5, rows, vocabulary)));
        double[] labels = Values.integers(6, rows, 0, vocabulary);
        int width = vocabulary / slices;
        float scale = 1f / rows;
        try (Trial trial = Trial.inDouble(this, "%s, %s x %s, %s slices", kind, rows, vocabulary,
                slices)) {
            List<Operand> parts = new ArrayList<>();
            List<Operand> max = new ArrayList<>();
            List<Operand> sum = new ArrayList<>();
            List<Operand> factor = new ArrayList<>();
            for (int s = 0; s < slices; s++) {
                double[] part = new double[rows * width];
                for (int r = 0; r < rows; r++) {
                    System.arraycopy(logits, r * vocabulary + s * width, part, r * width, width);
                }
                parts.add(trial.inout("logits " + s, DType.F32, part));
                max.add(trial.output("max " + s, DType.F32, rows));
                sum.add(trial.output("sum " + s, DType.F32, rows));
                factor.add(trial.output("factor " + s, DType.F32, rows));
            }
            Operand target = trial.output("target", DType.F32, rows);
            Operand label = trial.input("labels", DType.I32, labels);
            Operand loss = trial.output("loss", DType.F64, 1);
            trial.run((kernels, b) -> {
                for (int s = 0; s < slices; s++) {
                    kernels.softmaxPartial(b.of(parts.get(s)), b.of(max.get(s)), b.of(sum.get(s)),
                            b.of(target), b.of(label), s * width, rows, width);
                }
                kernels.softmaxJoin(b.of(loss), b.of(factor), b.of(max), b.of(sum),
                        b.of(target), rows);
                for (int s = 0; s < slices; s++) {
                    kernels.softmaxGradient(b.of(parts.get(s)), b.of(parts.get(s)),
                            b.of(max.get(s)), b.of(factor.get(s)), b.of(label), scale, s * width,
                            rows, width);
                }
            });
            List<double[]> gradients = parts.stream().map(Operand::actual).toList();
            double expected = 0;
            for (int r = 0; r < rows; r++) {
                double largest = Double.NEGATIVE_INFINITY;
                for (int v = 0; v < vocabulary; v++) {
                    largest = Math.max(largest, logits[r * vocabulary + v]);
                }
                double total = 0;
                for (int v = 0; v < vocabulary; v++) {
                    total += Math.exp(logits[r * vocabulary + v] - largest);
                }
                expected += Math.log(total) + largest - logits[r * vocabulary + (int) labels[r]];
                for (int v = 0; v < vocabulary; v++) {
                    double below = largest - logits[r * vocabulary + v];
                    double probability = Math.exp(-below) / total;
                    double gradient = (probability - (v == labels[r] ? 1 : 0)) * scale;
                    double relative = Math.min(below, 110) + vocabulary / 16.0 + 30;
                    double allowed = scale * U * (4 + probability * relative);
                    assertThat(gradients.get(v / width)[r * width + v % width])
                            .as("%s, row %s, column %s", kind, r, v)
                            .isCloseTo(gradient, within(allowed));
                }
            }
            assertThat(loss.actual()[0]).isCloseTo(expected,
                    within(rows * (vocabulary + 16) * U + 1e-13 * Math.abs(expected)));
        }
    }

    /** Kinds of logits. */
    enum Logits {
        ORDINARY,
        /** Up to +-1e4. */
        LARGE,
        /** All the same. */
        EQUAL,
        /** Most of them at -1e30, as a mask makes them. */
        MASKED,
        /** One far above all others. */
        DOMINANT;

        double[] draw(long seed, int rows, int columns) {
            double[] logits = Values.normal(seed, (long) rows * columns, 1);
            for (int i = 0; i < logits.length; i++) {
                int column = i % columns;
                logits[i] = switch (this) {
                    case ORDINARY -> logits[i] * 3;
                    case LARGE -> Math.clamp(logits[i] * 6000, -1e4, 1e4);
                    case EQUAL -> -7.25;
                    case MASKED -> column % 7 == 2 || column == 0 ? logits[i] : -1e30;
                    case DOMINANT -> column == columns - 1 ? 200 : logits[i];
                };
            }
            return logits;
        }
    }
}
