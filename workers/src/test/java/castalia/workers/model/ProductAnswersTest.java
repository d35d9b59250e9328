package castalia.workers.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.ForwardingDevice;
import castalia.kernels.MatmulShape;
import castalia.kernels.cpu.CpuDevice;
import castalia.kernels.cpu.CpuSettings;
import castalia.kernels.cpu.MatmulEngine;
import castalia.kernels.reference.ReferenceDevice;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.planner.Recomputation;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ProductAnswersTest {

    private static final ModelShape SHAPE =
            new ModelShape(2, 12, 2, 20, 22, 400, 2, 10000, 1e-5, true, Gelu.ERF, 1);

    private static ModelPlan plan(int tensorSlices, DType type) {
        return new ModelPlan(
                FlatLayout.of(SHAPE, tensorSlices), 1, 300, type, Recomputation.NONE);
    }

    private static ProductAnswers onCpu(int threads, ModelPlan plan) {
        try (Device device = new CpuDevice(new CpuSettings(threads,
                Path.of("target", "natives").toString(), 1L << 28, MatmulEngine.AUTO))) {
            return ProductAnswers.of(device, plan);
        }
    }

    @ParameterizedTest
    @CsvSource({"1, F32", "2, F32", "1, BF16", "2, BF16", "1, F16", "2, F16"})
    void everyProductOfARunHasAnAnswerThatNoNumberOfThreadsChanges(int tensorSlices, DType type) {
        ModelPlan plan = plan(tensorSlices, type);
        ProductAnswers one = onCpu(1, plan);
        assertThat(one.byShape()).hasSize(
                plan.products().size() + 1 + (type == DType.F16 ? 1 : 0));
        assertThat(one.byShape()).containsKey(
                "attention of " + 2 / tensorSlices + " heads of 6 over 300 tokens, " + type);
        assertThat(onCpu(3, plan)).isEqualTo(one);
        assertThat(one.hash()).matches("[0-9a-f]{16}");
    }

    @Test
    void otherShapesAndOtherArithmeticHaveOtherAnswers() {
        ProductAnswers answers = onCpu(1, plan(1, DType.F32));
        assertThat(onCpu(1, plan(2, DType.F32)).hash()).isNotEqualTo(answers.hash());
        try (Device reference = new ReferenceDevice()) {
            ProductAnswers others = ProductAnswers.of(reference, plan(1, DType.F32));
            assertThat(others.hash()).isNotEqualTo(answers.hash());
            assertThat(others.difference(answers)).hasValue(
                    "300 x 36 x 12, b transposed, F32 to F32, with bias");
        }
    }

    @Test
    void theTextComesBackAndNothingElseIsTaken() {
        ProductAnswers answers = onCpu(1, plan(1, DType.BF16));
        ProductAnswers read = ProductAnswers.parse(answers.text());
        assertThat(read).isEqualTo(answers);
        assertThat(read.hash()).isEqualTo(answers.hash());
        assertThat(answers.difference(read)).isEmpty();
        assertThatThrownBy(() -> ProductAnswers.parse(answers.text().substring(1)))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("no line of known answers");
    }

    @Test
    void aDifferentOrAbsentAnswerIsNamed() {
        Map<String, String> changed = new LinkedHashMap<>();
        changed.put("1 x 1 x 1", "a".repeat(64));
        changed.put("2 x 2 x 2", "b".repeat(64));
        ProductAnswers two = new ProductAnswers(changed);
        changed.put("2 x 2 x 2", "c".repeat(64));
        assertThat(two.difference(new ProductAnswers(changed))).hasValue("2 x 2 x 2");
        changed.remove("2 x 2 x 2");
        ProductAnswers one = new ProductAnswers(changed);
        assertThat(two.difference(one)).hasValue("2 x 2 x 2");
        assertThat(one.difference(two)).hasValue("2 x 2 x 2");
    }

    @Test
    void aDeviceWhoseThreadsDisagreeIsRefusedByShape() {
        try (Device device = new DisagreeingDevice()) {
            assertThatThrownBy(() -> ProductAnswers.of(device, plan(1, DType.F32)))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("threads 0 and 1")
                    .hasMessageContaining("300 x 12 x 20, b transposed, F32 to F32");
        }
    }

    /** Its second thread has other bits for one shape. */
    private static final class DisagreeingDevice extends ForwardingDevice {
        DisagreeingDevice() {
            super(new ReferenceDevice());
        }

        @Override
        public List<String> productAnswers(MatmulShape shape) {
            String answer = "0".repeat(64);
            return List.of(answer, shape.k() == 20 ? "1".repeat(64) : answer);
        }
    }
}
