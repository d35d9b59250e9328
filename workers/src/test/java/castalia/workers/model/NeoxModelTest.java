package castalia.workers.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.TensorSlice;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.model.NeoxParameters;
import castalia.protocol.model.Parameter.Role;
import castalia.protocol.model.Parameter;
import castalia.protocol.planner.Recomputation;
import castalia.workers.rank.TinyRun;
import com.sun.management.ThreadMXBean;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.lang.management.ManagementFactory;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class NeoxModelTest {

    private static final ModelShape SHAPE = TinyModel.shape(true, Gelu.ERF, 1);

    private final Device device = TinyRun.devices(1).apply(0);

    @AfterAll
    void close() {
        device.close();
    }

    private TinyModel tiny(ModelShape shape) {
        return new TinyModel(device, TinyModel.plan(shape, 1, 2, 20), true);
    }

    @ParameterizedTest
    @CsvSource({"0, -1", "7, 102", "39, 2147483647", "20, -2147483648"})
    void aTokenOutsideTheVocabularyIsRefusedByPosition(int position, int id) {
        try (TinyModel tiny = tiny(SHAPE)) {
            for (MemorySegment ids : List.of(tiny.inputs(), tiny.labels())) {
                int before = ids.getAtIndex(ValueLayout.JAVA_INT, position);
                ids.setAtIndex(ValueLayout.JAVA_INT, position, id);
                assertThatThrownBy(() -> tiny.lossAndGradient(false))
                        .isInstanceOf(IllegalArgumentException.class)
                        .hasMessageContaining("token id " + id + " at position " + position)
                        .hasMessageContaining("vocabulary of 102");
                ids.setAtIndex(ValueLayout.JAVA_INT, position, before);
            }
            assertThat(tiny.loss()).isFinite();
        }
    }

    @Test
    void aModelForForwardPassesRefusesGradients() {
        try (TinyModel forward =
                        new TinyModel(device, TinyModel.plan(SHAPE, 1, 2, 20), false);
                TinyModel both = tiny(SHAPE)) {
            assertThatThrownBy(() -> forward.lossAndGradient(false))
                    .isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("forward passes only");
            assertThat(forward.loss()).isEqualTo(both.loss());
            assertThat(forward.logits(0, 40)).isEqualTo(both.logits(0, 40));
            // outputs of blocks are shared by both; what is kept of each is not needed here
            assertThat(forward.model().allocatedBytes())
                    .isLessThan(both.model().allocatedBytes() * 7 / 10);
        }
    }

    @Test
    void weightsOfAnotherTypeAreRefused() {
        ModelPlan bf16 = new ModelPlan(
                FlatLayout.of(SHAPE, 1), 1, 20, DType.BF16, Recomputation.NONE);
        try (TinyModel tiny = tiny(SHAPE)) {
            ChunkGrid grid = ChunkGrid.of(bf16.layout());
            assertThatThrownBy(() -> new NeoxModel(bf16, grid, device, tiny.gradients(), true))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("F32")
                    .hasMessageContaining("BF16");
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2})
    void uniformLogitsCostTheLogarithmOfTheVocabulary(int tensorSlices) {
        try (TinyModel tiny =
                new TinyModel(device, TinyModel.plan(SHAPE, tensorSlices, 2, 20), true)) {
            Parameter head = tiny.of(Role.HEAD).getFirst();
            tiny.set(head, new float[Math.toIntExact(head.elements())]);
            assertThat(tiny.loss()).isCloseTo(Math.log(102), within(1e-6));
            assertThat(tiny.lossAndGradient(false)).isCloseTo(Math.log(102), within(1e-6));
            assertThat(tiny.logits(3, 1)).containsOnly(0f);
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void aBiasAddedTwiceIsABiasOfTwiceTheSizeWhoseGradientCountsOnce(boolean parallel) {
        try (TinyModel twice = tiny(TinyModel.shape(parallel, Gelu.TANH, 2));
                TinyModel once = tiny(TinyModel.shape(parallel, Gelu.TANH, 1))) {
            assertThat(twice.logits(0, 40)).isNotEqualTo(once.logits(0, 40));
            for (Role role : List.of(Role.DENSE_BIAS, Role.DOWN_BIAS)) {
                for (Parameter bias : once.of(role)) {
                    float[] values = once.weights(bias);
                    for (int i = 0; i < values.length; i++) {
                        values[i] *= 2;
                    }
                    once.set(bias, values);
                }
            }
            assertThat(twice.logits(0, 40)).isEqualTo(once.logits(0, 40));
            assertThat(twice.lossAndGradient(false)).isEqualTo(once.lossAndGradient(false));
            for (Parameter parameter : NeoxParameters.of(once.plan().shape())) {
                assertThat(twice.gradient(parameter)).as(parameter.name())
                        .isEqualTo(once.gradient(parameter))
                        .isNotEqualTo(new float[Math.toIntExact(parameter.elements())]);
            }
        }
    }

    @Test
    void someRowsOfLogitsAreThoseOfAllRows() {
        ModelShape longer =
                new ModelShape(1, 24, 4, 80, 102, 100, 4, 10000, 1e-5, true, Gelu.ERF, 1);
        try (TinyModel tiny = new TinyModel(device, TinyModel.plan(longer, 2, 3, 100), true)) {
            float[] all = tiny.logits(0, 300);
            for (int[] range : new int[][] {{0, 1}, {250, 20}, {255, 1}, {256, 44}, {299, 1}}) {
                float[] expected = new float[range[1] * 102];
                System.arraycopy(all, range[0] * 102, expected, 0, expected.length);
                assertThat(tiny.logits(range[0], range[1])).isEqualTo(expected);
            }
            assertThatThrownBy(() -> tiny.logits(299, 2))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("2 rows from row 299 of a micro-batch of 300");
            assertThatThrownBy(() -> tiny.logits(-1, 2))
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }

    @Test
    void laterTokensDoNotReachEarlierLogits() {
        try (TinyModel tiny = tiny(SHAPE)) {
            float[] before = tiny.logits(0, 13);
            float[] second = tiny.logits(20, 20);
            for (int i = 13; i < 20; i++) {
                int id = tiny.inputs().getAtIndex(ValueLayout.JAVA_INT, i);
                tiny.inputs().setAtIndex(ValueLayout.JAVA_INT, i, (id + 1) % 102);
            }
            assertThat(tiny.logits(0, 13)).isEqualTo(before);
            assertThat(tiny.logits(20, 20)).as("the other sequence").isEqualTo(second);
            assertThat(tiny.logits(13, 1)).isNotEqualTo(before);
        }
    }

    @ParameterizedTest
    @CsvSource({"true, ERF, 2", "false, TANH, 2", "true, TANH, 4", "false, ERF, 4"})
    void tensorSlicesChangeOnlyRounding(boolean parallel, Gelu gelu, int tensorSlices) {
        ModelShape shape =
                new ModelShape(2, 24, 4, 80, 104, 20, 4, 10000, 1e-5, parallel, gelu, 1);
        try (TinyModel whole = tiny(shape);
                TinyModel sliced = new TinyModel(
                        device, TinyModel.plan(shape, tensorSlices, 2, 20), true)) {
            assertThat(TinyModel.difference(sliced.logits(0, 40), whole.logits(0, 40)))
                    .isLessThan(1e-5);
            assertThat(sliced.lossAndGradient(false))
                    .isCloseTo(whole.lossAndGradient(false), within(1e-5));
            for (Parameter parameter : NeoxParameters.of(shape)) {
                assertThat(TinyModel.difference(
                                sliced.gradient(parameter), whole.gradient(parameter)))
                        .as(parameter.name()).isLessThan(2e-5);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2})
    void accumulatingTheSameBatchDoublesItsGradientsAndPaddingStaysZero(int tensorSlices) {
        try (TinyModel tiny =
                new TinyModel(device, TinyModel.plan(SHAPE, tensorSlices, 2, 20), true)) {
            double first = tiny.lossAndGradient(false);
            List<Parameter> parameters = NeoxParameters.of(SHAPE);
            List<float[]> once = parameters.stream().map(tiny::gradient).toList();
            assertThat(tiny.lossAndGradient(true)).isEqualTo(first).isEqualTo(tiny.loss());
            for (int p = 0; p < parameters.size(); p++) {
                float[] doubled = once.get(p).clone();
                for (int i = 0; i < doubled.length; i++) {
                    doubled[i] *= 2;
                }
                Parameter parameter = parameters.get(p);
                if (parameter.role() == Role.EMBEDDING) { // adds row by row
                    assertThat(TinyModel.difference(tiny.gradient(parameter), doubled))
                            .isLessThan(1e-6);
                } else {
                    assertThat(tiny.gradient(parameter))
                            .as(parameter.name()).isEqualTo(doubled);
                }
            }
            float[] flat = tiny.gradients().flat().segment().toArray(ValueLayout.JAVA_FLOAT);
            for (TensorSlice slice : tiny.plan().layout().slices()) {
                int from = Math.toIntExact(slice.offset());
                Arrays.fill(flat, from, from + (int) slice.elements(), 0);
            }
            assertThat(flat).containsOnly(0f);
        }
    }

    @ParameterizedTest
    @CsvSource({"1, NONE, F32", "2, BLOCK, F32", "1, BLOCK, BF16", "1, NONE, F16"})
    void aPassAllocatesNextToNothingOnTheHeap(
            int tensorSlices, Recomputation recomputation, DType type) {
        ModelPlan plan = new ModelPlan(
                FlatLayout.of(SHAPE, tensorSlices), 2, 20, type, recomputation);
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        try (TinyModel tiny = new TinyModel(device, plan, true)) {
            tiny.lossAndGradient(false);
            long perPass = Long.MAX_VALUE;
            long begun = System.nanoTime();
            // The compiler needs passes, and time, before vectors stay in registers.
            while (perPass > 512 && System.nanoTime() - begun < TimeUnit.MINUTES.toNanos(1)) {
                long before = threads.getCurrentThreadAllocatedBytes();
                for (int i = 0; i < 100; i++) {
                    tiny.lossAndGradient(true);
                }
                perPass = (threads.getCurrentThreadAllocatedBytes() - before) / 100;
            }
            assertThat(perPass).as("bytes per pass").isLessThanOrEqualTo(512);
        }
    }
}
