package castalia.workers.model;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.cuda.CudaDevice;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.model.NeoxParameters;
import castalia.protocol.model.Parameter;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.specification.HeadSweep;
import castalia.workers.rank.TinyRun;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Supplier;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Loss and every gradient of a model on the CUDA back end, run by the stand-ins, beside the CPU's:
 * different orders of sums, so close, and the same every time.
 */
@Tag("default")
class CudaModelTest {

    /** pythia-14m's heads of 32, one or two of its six layers, and few tokens of a small vocabulary. */
    private static final ModelShape GEOMETRY = geometry(1, Gelu.ERF);

    private static ModelShape geometry(int layers, Gelu gelu) {
        return new ModelShape(layers, 128, 4, 512, 192, 32, 8, 10000, 1e-5, true, gelu, 1);
    }

    private record Result(double loss, List<Parameter> parameters, List<float[]> gradients) {}

    private static Result result(Supplier<Device> devices, DType type, int slices) {
        return result(devices, GEOMETRY, type, slices, Recomputation.NONE);
    }

    private static Result result(Supplier<Device> devices, ModelShape shape, DType type, int slices,
            Recomputation again) {
        try (Device device = devices.get();
                TinyModel model = new TinyModel(device,
                        new ModelPlan(FlatLayout.of(shape, slices), 2, 32, type, again), true)) {
            double loss = model.lossAndGradient(false);
            loss = (loss + model.lossAndGradient(true)) / 2;
            List<Parameter> parameters = NeoxParameters.of(shape);
            List<float[]> gradients = new ArrayList<>();
            for (Parameter parameter : parameters) {
                gradients.add(model.gradient(parameter));
            }
            return new Result(loss, parameters, gradients);
        }
    }

    private static CudaDevice cuda() {
        return TinyRun.cuda("a model on the CUDA back end", 0);
    }

    @ParameterizedTest
    @CsvSource({"F32, 1, 2e-6", "F32, 2, 2e-6", "BF16, 1, 2e-2", "F16, 2, 3e-3"})
    void lossAndGradientsAreThoseOfTheCpu(DType type, int slices, double tolerance) {
        Result cuda = result(CudaModelTest::cuda, type, slices);
        Result cpu = result(() -> TinyRun.devices(1).apply(0), type, slices);
        requireClose(cuda, cpu, type, tolerance);
        requireSame(result(CudaModelTest::cuda, type, slices), cuda);
    }

    /** GELU with tanh, which the library joins with both products beside it, or cannot in F32. */
    @ParameterizedTest
    @CsvSource({"F32, 1, 2e-6", "BF16, 1, 2e-2", "F16, 2, 3e-3"})
    void whatIsJoinedAndComputedAgainIsCloseToTheCpuAndTheSame(
            DType type, int slices, double tolerance) {
        ModelShape shape = geometry(2, Gelu.TANH);
        Result cuda = result(CudaModelTest::cuda, shape, type, slices, Recomputation.NONE);
        requireClose(cuda, result(() -> TinyRun.devices(1).apply(0), shape, type, slices,
                Recomputation.NONE), type, tolerance);
        for (Recomputation again : Recomputation.values()) {
            requireSame(result(CudaModelTest::cuda, shape, type, slices, again), cuda);
        }
    }

    @Test
    void theVersionAndTheAnswersHaveWhatAGpuDoesOtherwise() {
        ModelPlan plan = new ModelPlan(FlatLayout.of(geometry(2, Gelu.TANH), 1), 2, 32, DType.BF16,
                Recomputation.NONE);
        try (Device device = cuda(); Device cpu = TinyRun.devices(1).apply(0)) {
            HeadSweep head = ModelPlan.headOf(device);
            assertThat(ModelPlan.numericVersion(device)).isEqualTo(device.numericVersion().id()
                    + "; head " + head.rows() + " rows in " + head.mostParts() + " parts");
            assertThat(ModelPlan.numericVersion(cpu)).isEqualTo(cpu.numericVersion().id());
            Set<String> more =
                    new TreeSet<>(ProductAnswers.of(device, plan).byShape().keySet());
            more.removeAll(ProductAnswers.of(cpu, plan).byShape().keySet());
            assertThat(more).containsExactly("GELU behind " + plan.up().inWords());
        }
    }

    private static void requireClose(Result cuda, Result cpu, DType type, double tolerance) {
        assertThat(Math.abs(cuda.loss - cpu.loss) / cpu.loss).isLessThan(tolerance);
        List<Parameter> parameters = cuda.parameters;
        for (int p = 0; p < parameters.size(); p++) {
            assertThat(TinyModel.difference(cuda.gradients.get(p), cpu.gradients.get(p)))
                    .as("%s in %s", parameters.get(p).name(), type).isLessThan(tolerance);
        }
    }

    private static void requireSame(Result again, Result cuda) {
        List<Parameter> parameters = cuda.parameters;
        assertThat(again.loss).isEqualTo(cuda.loss);
        for (int p = 0; p < parameters.size(); p++) {
            assertThat(again.gradients.get(p)).as("%s again", parameters.get(p).name())
                    .isEqualTo(cuda.gradients.get(p));
        }
    }
}
