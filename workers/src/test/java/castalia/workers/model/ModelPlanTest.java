package castalia.workers.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.kernels.DType;
import castalia.workers.rank.TinyRun;
import castalia.protocol.CastaliaException;
import castalia.kernels.ForwardingDevice;
import castalia.kernels.Device;
import castalia.kernels.reference.ReferenceDevice;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.model.NeoxParameters;
import castalia.protocol.model.Parameter.Role;
import castalia.protocol.model.Parameter;
import castalia.protocol.model.PythiaModels;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.specification.HeadSweep;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ModelPlanTest {

    private static final ModelShape SHAPE =
            new ModelShape(2, 12, 2, 20, 22, 100, 2, 10000, 1e-5, true, Gelu.ERF, 1);

    private static ModelPlan plan(
            boolean parallel, int tensorSlices, int batch, int sequence, DType type) {
        ModelShape shape =
                new ModelShape(2, 12, 2, 20, 22, 100, 2, 10000, 1e-5, parallel, Gelu.ERF, 1);
        return new ModelPlan(
                FlatLayout.of(shape, tensorSlices), batch, sequence, type, Recomputation.BLOCK);
    }

    @ParameterizedTest
    @CsvSource({
        "true, 1, 1, 7, F32", "true, 2, 3, 100, F32", "false, 1, 3, 100, F32",
        "false, 2, 1, 7, BF16", "true, 1, 3, 100, BF16", "true, 2, 1, 7, F16"
    })
    void everyProductOfAPassIsInTheList(
            boolean parallel, int tensorSlices, int batch, int sequence, DType type) {
        ModelPlan plan = plan(parallel, tensorSlices, batch, sequence, type);
        try (RecordingDevice device = new RecordingDevice(new ReferenceDevice());
                TinyModel tiny = new TinyModel(device, plan, true)) {
            tiny.lossAndGradient(false);
            tiny.lossAndGradient(true);
            assertThat(device.prepared()).isEqualTo(plan.products()).doesNotHaveDuplicates();
            assertThat(plan.products()).containsAll(device.multiplied());
        }
        try (RecordingDevice device = new RecordingDevice(new ReferenceDevice());
                TinyModel tiny = new TinyModel(device, plan, false)) {
            tiny.loss();
            tiny.logits(0, plan.rows());
            assertThat(device.prepared()).isEqualTo(plan.forwardProducts());
            assertThat(plan.forwardProducts()).containsAll(device.multiplied());
        }
    }

    @Test
    void theProductsOfAPassAreSixFlopsPerTokenAndElementOfAMatrix() {
        ModelPlan plan = plan(true, 1, 3, 100, DType.F32);
        long matrices = NeoxParameters.of(plan.shape()).stream()
                .filter(p -> !p.role().vector() && p.role() != Role.EMBEDDING)
                .mapToLong(Parameter::elements).sum();
        long vectors = NeoxParameters.of(plan.shape()).stream()
                .filter(p -> p.role().vector()).mapToLong(Parameter::elements).sum();
        try (RecordingDevice device = new RecordingDevice(new ReferenceDevice());
                TinyModel tiny = new TinyModel(device, new ModelPlan(plan.layout(), 3, 100,
                        DType.F32, Recomputation.NONE), true)) {
            tiny.lossAndGradient(false);
            assertThat(device.flops()).isEqualTo(6 * 300 * matrices);
        }
        long attention = 2 * 12 * 100;
        assertThat(plan.flops()).isEqualTo(6 * 300 * (matrices + vectors + attention));
    }

    @Test
    void flopsOfAPublishedModelAreOfTheRightSize() {
        ModelShape shape = PythiaModels.named("pythia-160m").orElseThrow().shape();
        ModelPlan plan = new ModelPlan(
                FlatLayout.of(shape, 1), 1, 2048, DType.F32, Recomputation.NONE);
        double perToken = (double) plan.flops() / 2048;
        assertThat(perToken / (6.0 * 123_689_472)).isBetween(1.1, 1.2);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 255, 256, 257, 512, 600, 100_000})
    void sweepsCoverAllRowsInPiecesOfTheFixedSize(int rows) {
        ModelShape shape =
                new ModelShape(1, 4, 1, 4, 4, 1, 2, 10000, 1e-5, true, Gelu.ERF, 1);
        ModelPlan plan = new ModelPlan(
                FlatLayout.of(shape, 1), rows, 1, DType.F32, Recomputation.NONE);
        int[] sweeps = plan.sweeps();
        assertThat(Arrays.stream(sweeps).sum()).isEqualTo(rows);
        for (int i = 0; i < sweeps.length - 1; i++) {
            assertThat(sweeps[i]).isEqualTo(HeadSweep.OF_CPU.rows());
        }
        assertThat(sweeps[sweeps.length - 1]).isBetween(1, HeadSweep.OF_CPU.rows());
    }

    @Test
    void sequencesThatTheModelHasNoPositionsForAreRefused() {
        FlatLayout layout = FlatLayout.of(SHAPE, 1);
        assertThatThrownBy(
                        () -> new ModelPlan(layout, 1, 101, DType.F32, Recomputation.NONE))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("101 tokens")
                .hasMessageContaining("100 positions");
        assertThatThrownBy(() -> new ModelPlan(layout, 0, 5, DType.F32, Recomputation.NONE))
                .isInstanceOf(IllegalArgumentException.class);
        assertThatThrownBy(() -> new ModelPlan(
                        layout, Integer.MAX_VALUE / 100, 100, DType.F32, Recomputation.NONE))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("too large");
    }

    @Test
    void partialsAreFp32OnlyWhereThereAreSeveral() {
        assertThat(plan(true, 1, 1, 5, DType.BF16).partialType()).isEqualTo(DType.BF16);
        assertThat(plan(true, 2, 1, 5, DType.BF16).partialType()).isEqualTo(DType.F32);
    }

    @Test
    void moreSlicesThanADeviceSumsAtOnceAreRefusedInOneLine() {
        ModelShape shape =
                new ModelShape(1, 32, 32, 32, 32, 4, 0, 10000, 1e-5, true, Gelu.ERF, 1);
        Device device = new ForwardingDevice(TinyRun.devices(1).apply(0)) {
            @Override
            public int mostPartials() {
                return 16;
            }
        };
        try (device) {
            new ModelPlan(FlatLayout.of(shape, 16), 1, 4, DType.F32, Recomputation.NONE)
                    .requireOn(device);
            ModelPlan plan =
                    new ModelPlan(FlatLayout.of(shape, 32), 1, 4, DType.F32, Recomputation.NONE);
            assertThatThrownBy(() -> plan.requireOn(device)).isInstanceOf(CastaliaException.class)
                    .hasMessageContaining("32 tensor slices").hasMessageContaining("up to 16");
        }
    }
}
