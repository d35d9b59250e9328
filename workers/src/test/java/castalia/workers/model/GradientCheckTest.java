package castalia.workers.model;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.kernels.Device;
import castalia.kernels.reference.ReferenceDevice;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.model.NeoxParameters;
import castalia.protocol.model.Parameter;
import castalia.protocol.model.Parameter.Role;
import java.util.Comparator;
import java.util.EnumSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * The gradient of the whole model against differences of its loss, by the plain reference in fp32.
 *
 * <p>The difference is that of order four, {@code (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h}.
 * The loss carries fp32 rounding of about 1e-7; with h = 0.02 that is an error of some 1e-5 in a
 * derivative. The bound is 0.5 % of the tensor's largest gradient plus 3e-5.
 */
class GradientCheckTest {

    private static final float H = 0.02f;

    @ParameterizedTest
    @CsvSource({
        "true, ERF, 1, 1, 14", "false, TANH, 1, 1, 14", "true, TANH, 2, 2, 14", "false, ERF, 2, 2, 14",
        "true, ERF, 1, 1, 16384", "true, ERF, 1, 2, 16384"
    })
    void everyTensorsGradientIsTheSlopeOfTheLoss(
            boolean parallel, Gelu gelu, int publishedModelParallel, int tensorSlices, int vocabulary) {
        ModelShape shape = new ModelShape(2, 12, 2, 20, vocabulary, 9, 4, 10000, 1e-5, parallel, gelu,
                publishedModelParallel);
        Set<Role> checked = EnumSet.noneOf(Role.class);
        try (Device device = new ReferenceDevice();
                TinyModel tiny = new TinyModel(
                        device, TinyModel.plan(shape, tensorSlices, 2, 9), true)) {
            tiny.lossAndGradient(false);
            List<Parameter> parameters = NeoxParameters.of(shape);
            List<float[]> gradients = parameters.stream().map(tiny::gradient).toList();
            for (int p = 0; p < parameters.size(); p++) {
                Parameter parameter = parameters.get(p);
                float[] gradient = gradients.get(p);
                double largest = 0;
                for (float g : gradient) {
                    largest = Math.max(largest, Math.abs(g));
                }
                assertThat(largest).as(parameter.name()).isGreaterThan(1e-3);
                // A published copy of a row-parallel bias sees the gradient of one copy.
                int copies = parameter.role() == Role.DENSE_BIAS
                        || parameter.role() == Role.DOWN_BIAS ? publishedModelParallel : 1;
                for (int e : elements(gradient)) {
                    double slope = slope(tiny, parameter, e) / copies;
                    assertThat(Math.abs(slope - gradient[e]))
                            .as("%s, element %d: %s, by differences %s", parameter.name(), e,
                                    gradient[e], slope)
                            .isLessThan(5e-3 * largest + 3e-5);
                }
                checked.add(parameter.role());
            }
        }
        assertThat(checked).containsExactlyInAnyOrder(Role.values());
    }

    /** The two elements with the largest gradients and two others. */
    private static int[] elements(float[] gradient) {
        Random random = new Random(gradient.length);
        return IntStream.concat(
                IntStream.range(0, gradient.length).boxed()
                        .sorted(Comparator.comparingDouble(i -> -Math.abs(gradient[i])))
                        .limit(2).mapToInt(Integer::intValue),
                random.ints(2, 0, gradient.length)).toArray();
    }

    private static double slope(TinyModel tiny, Parameter parameter, int element) {
        double near = loss(tiny, parameter, element, H) - loss(tiny, parameter, element, -H);
        double far =
                loss(tiny, parameter, element, 2 * H) - loss(tiny, parameter, element, -2 * H);
        return (8 * near - far) / (12.0 * H);
    }

    private static double loss(TinyModel tiny, Parameter parameter, int element, float by) {
        float[] before = tiny.weights(parameter);
        float[] moved = before.clone();
        moved[element] += by;
        tiny.set(parameter, moved);
        double loss = tiny.loss();
        tiny.set(parameter, before);
        return loss;
    }
}
