package castalia.workers.state;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.within;

import castalia.checkpoints.FlatWeights;
import castalia.checkpoints.TensorMap;
import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.InverseNormal;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.TensorSlice;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.model.NeoxParameters;
import castalia.protocol.model.Parameter;
import castalia.protocol.model.Parameter.Role;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.specification.TrainingPlan;
import castalia.workers.rank.RankGroup;
import castalia.workers.rank.StateTransfer;
import castalia.workers.rank.TinyRun;
import castalia.workers.rank.TinyRun.Layout;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class InitialWeightsTest {

    private static final ModelShape SHAPE = TinyRun.shape(104, true, Gelu.ERF, 1);

    private static List<float[]> tensors(TrainingPlan plan, int ranks) throws IOException {
        try (RankGroup group = TinyRun.group(plan, Layout.ranks(ranks))) {
            FlatWeights weights = StateTransfer.weights(group);
            TensorMap map = new TensorMap(group.settings().grid().layout());
            List<float[]> tensors = new ArrayList<>();
            for (Parameter parameter : NeoxParameters.of(plan.model())) {
                float[] whole = new float[Math.toIntExact(parameter.elements())];
                map.gather(weights, parameter, 0, MemorySegment.ofArray(whole));
                tensors.add(whole);
            }
            return tensors;
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 3", "2, 1", "2, 2", "4, 1", "4, 4"})
    void tensorsDependNeitherOnSlicesNorOnRanks(int tensorSlices, int ranks) throws IOException {
        TrainingPlan plan = TinyRun.plan(SHAPE).build();
        List<float[]> expected = tensors(plan, 1);
        List<float[]> sliced =
                tensors(plan.toBuilder().tensorSlices(tensorSlices).build(), ranks);
        List<Parameter> parameters = NeoxParameters.of(SHAPE);
        for (int i = 0; i < parameters.size(); i++) {
            assertThat(sliced.get(i)).as(parameters.get(i).name()).isEqualTo(expected.get(i));
        }
    }

    @Test
    void everyElementIsTheValueOfItsSeedTensorAndIndex() throws IOException {
        TrainingPlan plan = TinyRun.plan(SHAPE).seed(-5).tensorSlices(2).build();
        List<float[]> tensors = tensors(plan, 1);
        List<Parameter> parameters = NeoxParameters.of(SHAPE);
        Initialisation.Drawn drawn = Initialisation.Drawn.published();
        for (int t = 0; t < parameters.size(); t++) {
            Parameter parameter = parameters.get(t);
            double std = drawn.std(parameter.role(), SHAPE);
            float[] values = tensors.get(t);
            for (int e = 0; e < values.length; e++) {
                float expected = parameter.role().vector()
                        ? vector(parameter.role())
                        : (float) (std * InverseNormal.value(-5, t, e));
                assertThat(values[e]).as("%s, element %d", parameter.name(), e)
                        .isEqualTo(expected);
            }
        }
    }

    private static float vector(Role role) {
        return role == Role.LN1_WEIGHT || role == Role.LN2_WEIGHT || role == Role.FINAL_LN_WEIGHT
                ? 1 : 0;
    }

    @Test
    void matricesHaveTheDeviationOfTheirRule() throws IOException {
        ModelShape shape =
                new ModelShape(2, 64, 4, 256, 300, 8, 4, 10000, 1e-5, true, Gelu.ERF, 1);
        List<float[]> tensors = tensors(TinyRun.plan(shape).build(), 1);
        List<Parameter> parameters = NeoxParameters.of(shape);
        double small = Math.sqrt(2.0 / (5 * 64));
        double wang = 2 / (2 * Math.sqrt(64));
        for (int t = 0; t < parameters.size(); t++) {
            Role role = parameters.get(t).role();
            if (role.vector()) {
                continue;
            }
            double sum = 0;
            double squares = 0;
            for (float value : tensors.get(t)) {
                sum += value;
                squares += (double) value * value;
            }
            int n = tensors.get(t).length;
            double expected =
                    role == Role.DENSE_WEIGHT || role == Role.DOWN_WEIGHT ? wang : small;
            assertThat(Math.sqrt(squares / n)).as(parameters.get(t).name())
                    .isCloseTo(expected, within(0.05 * expected));
            assertThat(sum / n).isCloseTo(0, within(5 * expected / Math.sqrt(n)));
        }
    }

    /** Matrices larger than a chunk, which cuts them inside a row; T cuts them as well. */
    @ParameterizedTest
    @CsvSource({"EMBEDDING, 0, 1", "EMBEDDING, 0, 2", "DOWN_WEIGHT, 1, 1", "DOWN_WEIGHT, 1, 2"})
    void aChunkThatCutsAMatrixInsideARowHasTheSameElements(
            Role role, int layer, int tensorSlices) {
        ModelShape shape =
                new ModelShape(1, 700, 4, 3200, 3000, 8, 4, 10000, 1e-5, true, Gelu.ERF, 1);
        ChunkGrid grid = ChunkGrid.of(FlatLayout.of(shape, tensorSlices));
        int last = tensorSlices - 1;
        TensorSlice slice = grid.layout().slice(role, layer, last);
        long cut = slice.offset() + ChunkGrid.LIMIT;
        assertThat((cut - slice.offset()) % slice.columns()).isNotZero();
        InitialWeights initial = new InitialWeights(grid.layout(), _ -> 0.5, 99);
        int tensor = NeoxParameters.of(shape).indexOf(slice.parameter());
        try (Device device = TinyRun.devices(1).apply(0);
                Arena arena = device.arena()) {
            for (Chunk chunk : grid.chunks()) {
                if (chunk.offset() != cut && chunk.end() != cut) {
                    continue;
                }
                Buffer values = arena.allocate(DType.F32, chunk.length());
                initial.fill(chunk, values, device.kernels());
                long end = Math.min(chunk.end(), slice.offset() + slice.elements());
                long from = chunk.offset() == cut ? cut : cut - 5000;
                long to = chunk.offset() == cut ? Math.min(cut + 5000, end) : cut;
                check(slice, tensor, chunk, values, from, to);
                check(slice, tensor, chunk, values, end - 100, end);
            }
        }
    }

    private static void check(
            TensorSlice slice, int tensor, Chunk chunk, Buffer values, long from, long to) {
        for (long at = from; at < to; at++) {
            long within = at - slice.offset();
            long element = slice.tensorIndex((int) (within / slice.columns()),
                    (int) (within % slice.columns()));
            assertThat(values.segment().getAtIndex(ValueLayout.JAVA_FLOAT, at - chunk.offset()))
                    .as("element %d", element)
                    .isEqualTo((float) (0.5 * InverseNormal.value(99, tensor, element)));
        }
    }

    @Test
    void paddingIsZeroWhateverTheBufferHeld() {
        ChunkGrid grid = ChunkGrid.of(FlatLayout.of(
                new ModelShape(1, 6, 2, 10, 7, 8, 2, 10000, 1e-5, true, Gelu.ERF, 1), 1));
        InitialWeights initial = new InitialWeights(grid.layout(), _ -> 0.5, 99);
        try (Device device = TinyRun.devices(1).apply(0);
                Arena arena = device.arena()) {
            for (Chunk chunk : grid.chunks()) {
                Buffer values = arena.allocate(DType.F32, chunk.length());
                device.kernels().fill(values, Float.NaN, values.elements());
                initial.fill(chunk, values, device.kernels());
                boolean[] used = new boolean[chunk.length()];
                for (TensorSlice slice : grid.layout().slices()) {
                    long end = Math.min(slice.offset() + slice.elements(), chunk.end());
                    for (long at = Math.max(slice.offset(), chunk.offset()); at < end; at++) {
                        used[(int) (at - chunk.offset())] = true;
                    }
                }
                for (int i = 0; i < used.length; i++) {
                    float value = values.segment().getAtIndex(ValueLayout.JAVA_FLOAT, i);
                    assertThat(value).isNotNaN();
                    if (!used[i]) {
                        assertThat(value).isEqualTo(0f);
                    }
                }
            }
        }
    }
}
