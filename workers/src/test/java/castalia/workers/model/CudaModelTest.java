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
import castalia.workers.rank.TinyRun;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Loss and every gradient of a model on the CUDA back end, run by the stand-ins, beside the CPU's:
 * different orders of sums, so close, and the same every time.
 */
@Tag("default")
class CudaModelTest {

    /** pythia-14m's heads of 32, one of its six layers, and few tokens of a small vocabulary. */
    private static final ModelShape GEOMETRY =
            new ModelShape(1, 128, 4, 512, 192, 32, 8, 10000, 1e-5, true, Gelu.ERF, 1);

    private record Result(double loss, List<float[]> gradients) {}

    private static Result result(Supplier<Device> devices, DType type, int slices) {
        try (Device device = devices.get();
                TinyModel model = new TinyModel(device,
                        new ModelPlan(FlatLayout.of(GEOMETRY, slices), 2, 32, type,
                                Recomputation.NONE), true)) {
            double loss = model.lossAndGradient(false);
            loss = (loss + model.lossAndGradient(true)) / 2;
            List<float[]> gradients = new ArrayList<>();
            for (Parameter parameter : NeoxParameters.of(GEOMETRY)) {
                gradients.add(model.gradient(parameter));
            }
            return new Result(loss, gradients);
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
        assertThat(Math.abs(cuda.loss - cpu.loss) / cpu.loss).isLessThan(tolerance);
        List<Parameter> parameters = NeoxParameters.of(GEOMETRY);
        for (int p = 0; p < parameters.size(); p++) {
            assertThat(TinyModel.difference(cuda.gradients.get(p), cpu.gradients.get(p)))
                    .as("%s in %s", parameters.get(p).name(), type).isLessThan(tolerance);
        }
        Result again = result(CudaModelTest::cuda, type, slices);
        assertThat(again.loss).isEqualTo(cuda.loss);
        for (int p = 0; p < parameters.size(); p++) {
            assertThat(again.gradients.get(p)).as("%s again", parameters.get(p).name())
                    .isEqualTo(cuda.gradients.get(p));
        }
    }
}
