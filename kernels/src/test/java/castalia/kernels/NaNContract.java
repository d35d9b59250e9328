package castalia.kernels;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.kernels.Trial.Operand;
import castalia.kernels.Trial.Results;
import java.util.List;
import org.junit.jupiter.api.Test;

/**
 * A NaN among the inputs reaches the outputs that depend on it: were it to vanish, for instance in
 * a comparison for a maximum, a run that diverges would go on unseen.
 */
interface NaNContract extends KernelSubject {

    int NAN_ROWS = 5;
    int NAN_COLUMNS = 67;

    private static double[] spoiled(long seed, long count, double bad, int at) {
        double[] values = Values.normal(seed, count, 1);
        values[at] = bad;
        return values;
    }

    @Test
    default void aNaNStaysInProductsAndNorms() {
        int count = NAN_ROWS * NAN_COLUMNS;
        for (DType type : computeTypes()) {
            for (int at : new int[] {0, 66, 70, count - 1}) {
                try (Trial trial = Trial.inDouble(this, "%s at %s", type, at)) {
                    Operand x = trial.input("x", type, spoiled(1, count, Double.NaN, at));
                    Operand weight = trial.input("weight", type,
                            Values.normal(2, NAN_COLUMNS * 3, 1));
                    Operand vector = trial.input("vector", type, Values.normal(3, NAN_COLUMNS, 1));
                    Operand product = trial.output("product", DType.F32, NAN_ROWS * 3);
                    Operand normal = trial.output("normal", type, count);
                    Operand mean = trial.output("mean", DType.F32, NAN_ROWS);
                    Operand rstd = trial.output("rstd", DType.F32, NAN_ROWS);
                    Operand gelu = trial.output("gelu", type, count);
                    Operand tanh = trial.output("tanh gelu", type, count);
                    Operand slope = trial.output("gelu slope", type, count);
                    Operand bias = trial.output("bias", DType.F32, NAN_COLUMNS);
                    trial.run((kernels, b) -> {
                        DType input = b.tested() ? type : DType.F64;
                        DType output = b.tested() ? DType.F32 : DType.F64;
                        MatmulShape shape = MatmulShape.forward(NAN_ROWS, 3, NAN_COLUMNS, input,
                                output, false);
                        kernels.matmul(shape, b.of(product), b.of(x), b.of(weight), b.of(vector));
                        kernels.layerNorm(b.of(normal), b.of(mean), b.of(rstd), b.of(x),
                                b.of(vector), b.of(vector), 1e-5f, NAN_ROWS, NAN_COLUMNS);
                        kernels.gelu(b.of(gelu), b.of(x), false, count);
                        kernels.gelu(b.of(tanh), b.of(x), true, count);
                        kernels.geluBackward(b.of(slope), b.of(x), b.of(x), true, count);
                        kernels.biasGradient(b.of(bias), b.of(x), NAN_ROWS, NAN_COLUMNS, false);
                    });
                    List.of(product, normal, mean, rstd, gelu, tanh, slope, bias)
                            .forEach(trial::keepsNaN);
                }
            }
        }
    }

    @Test
    default void aNaNStaysInAttention() {
        int sequence = 33;
        int dimension = 20;
        for (DType type : computeTypes()) {
            for (int part = 0; part < 3; part++) { // Q, K, V
                for (int position : new int[] {0, 16, 32}) {
                    int at = (position * 3 + part) * dimension + 7;
                    try (Trial trial = Trial.inDouble(this, "%s at %s of %s", type, position,
                            part)) {
                        Operand qkv = trial.input("qkv", type,
                                spoiled(1, 3L * sequence * dimension, Double.NaN, at));
                        Operand out = trial.output("out", type, (long) sequence * dimension);
                        Operand lse = trial.output("lse", DType.F32, sequence);
                        Operand dQkv = trial.output("dQkv", type, 3L * sequence * dimension);
                        trial.run((kernels, b) -> {
                            kernels.attention(b.of(out), b.of(lse), b.of(qkv), 1, sequence, 1,
                                    dimension);
                            kernels.attentionBackward(b.of(dQkv), b.of(out), b.of(out), b.of(lse),
                                    b.of(qkv), 1, sequence, 1, dimension);
                        });
                        trial.keepsNaN(out);
                        trial.keepsNaN(dQkv);
                    }
                }
            }
        }
    }

    @Test
    default void aNaNOrInfiniteLogitStaysInTheLoss() {
        for (double bad : new double[] {Double.NaN, Double.POSITIVE_INFINITY}) {
            for (int at : new int[] {0, 15, 16, 66}) {
                for (int slice = 0; slice < 2; slice++) {
                    loss(bad, at, slice);
                }
            }
        }
    }

    private void loss(double bad, int at, int slice) {
        try (Trial trial = Trial.inDouble(this, "%s at %s of slice %s", bad, at, slice)) {
            double[] plain = Values.normal(1, NAN_COLUMNS, 1);
            double[] broken = spoiled(2, NAN_COLUMNS, bad, at);
            Operand left = trial.inout("left", DType.F32, slice == 0 ? broken : plain);
            Operand right = trial.inout("right", DType.F32, slice == 1 ? broken : plain);
            List<Operand> factor =
                    List.of(trial.output("f0", DType.F32, 1), trial.output("f1", DType.F32, 1));
            List<Operand> max =
                    List.of(trial.output("m0", DType.F32, 1), trial.output("m1", DType.F32, 1));
            List<Operand> sum =
                    List.of(trial.output("s0", DType.F32, 1), trial.output("s1", DType.F32, 1));
            Operand target = trial.output("target", DType.F32, 1);
            Operand labels = trial.input("labels", DType.I32, new double[] {3});
            Operand joined = trial.inout("loss", DType.F64, new double[] {0});
            trial.run((kernels, b) -> {
                kernels.softmaxPartial(b.of(left), b.of(max.get(0)), b.of(sum.get(0)), b.of(target),
                        b.of(labels), 0, 1, NAN_COLUMNS);
                kernels.softmaxPartial(b.of(right), b.of(max.get(1)), b.of(sum.get(1)),
                        b.of(target), b.of(labels), NAN_COLUMNS, 1, NAN_COLUMNS);
                kernels.softmaxJoin(b.of(joined), b.of(factor), b.of(max), b.of(sum),
                        b.of(target), 1);
                kernels.softmaxGradient(b.of(left), b.of(left), b.of(max.get(0)),
                        b.of(factor.get(0)), b.of(labels), 1, 0, 1, NAN_COLUMNS);
                kernels.softmaxGradient(b.of(right), b.of(right), b.of(max.get(1)),
                        b.of(factor.get(1)), b.of(labels), 1, NAN_COLUMNS, 1, NAN_COLUMNS);
            });
            assertThat(joined.actual()).containsOnly(Double.NaN);
            trial.keepsNaN(left);
            trial.keepsNaN(right);
        }
    }
}
