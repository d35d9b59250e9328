package castalia.protocol.layout;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.fail;

import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.model.NeoxParameters;
import castalia.protocol.model.Parameter;
import castalia.protocol.model.Parameter.Role;
import castalia.protocol.model.Parameter.Split;
import castalia.protocol.model.PythiaModels;
import java.util.ArrayList;
import java.util.BitSet;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class LayoutTest {

    /** Random small shapes and all published ones, with every T that fits. */
    static Stream<Arguments> layouts() {
        List<ModelShape> shapes = new ArrayList<>();
        Random random = new Random(11);
        for (int i = 0; i < 12; i++) {
            int heads = 1 + random.nextInt(9);
            int hidden = heads * (1 + random.nextInt(24));
            shapes.add(new ModelShape(
                    1 + random.nextInt(3), hidden, heads, 8 * (1 + random.nextInt(40)),
                    8 * (1 + random.nextInt(50)), 32, 0, 10_000, 1e-5, true, Gelu.ERF, 1));
        }
        // wide enough that vectors of one layer do not fit into one chunk
        shapes.add(new ModelShape(
                1, 176_000, 16, 64, 16, 8, 0, 10_000, 1e-5, true, Gelu.ERF, 1));
        PythiaModels.all().forEach(p -> shapes.add(p.shape()));
        return shapes.stream().flatMap(shape -> Stream.of(1, 2, 4, 8)
                .filter(t -> shape.heads() % t == 0
                        && shape.intermediate() % t == 0
                        && shape.vocabulary() % t == 0)
                .map(t -> Arguments.of(shape, t)));
    }

    static Stream<Arguments> smallLayouts() {
        return layouts().filter(a -> ((ModelShape) a.get()[0]).parameters() < 400_000);
    }

    @Test
    void manyLayoutsAreExamined() {
        assertThat(layouts()).hasSizeGreaterThan(60);
        assertThat(smallLayouts()).hasSizeGreaterThan(15);
    }

    @ParameterizedTest
    @MethodSource("layouts")
    void slicesFollowEachOtherWithLessThanOneAlignmentOfPadding(ModelShape shape, int t) {
        FlatLayout layout = FlatLayout.of(shape, t);
        long end = 0;
        long elements = 0;
        for (TensorSlice slice : layout.slices()) {
            if (slice.offset() != end || slice.offset() % FlatLayout.ALIGNMENT != 0) {
                fail("%s begins after element %d", slice, end);
            }
            end = FlatLayout.align(slice.offset() + slice.elements());
            elements += slice.elements();
        }
        assertThat(layout.elements()).isEqualTo(end);
        assertThat(elements).isEqualTo(shape.parameters());
    }

    @ParameterizedTest
    @MethodSource("layouts")
    void everyTensorHasItsSlicesOnceAndTheyAreFoundByRole(ModelShape shape, int t) {
        FlatLayout layout = FlatLayout.of(shape, t);
        Map<Parameter, Integer> counts = new HashMap<>();
        layout.slices().forEach(s -> counts.merge(s.parameter(), 1, Integer::sum));
        List<Parameter> all = NeoxParameters.of(shape);
        assertThat(counts.keySet()).containsExactlyInAnyOrderElementsOf(all);
        for (Parameter p : all) {
            int expected = p.role().split() == Split.NONE ? 1 : t;
            assertThat(counts).containsEntry(p, expected);
            for (int s = 0; s < expected; s++) {
                TensorSlice slice = layout.slice(p.role(), p.layer(), s);
                boolean fits = slice.parameter().equals(p)
                        && slice.slice() == s
                        && slice.elements() * expected == p.elements();
                if (!fits) {
                    fail("%s is slice %d of %s", slice, s, p);
                }
            }
        }
    }

    @ParameterizedTest
    @MethodSource("smallLayouts")
    void tensorIndicesOfAllSlicesAreEachIndexOnce(ModelShape shape, int t) {
        FlatLayout layout = FlatLayout.of(shape, t);
        Map<Parameter, BitSet> seen = new HashMap<>();
        for (TensorSlice slice : layout.slices()) {
            BitSet indices = seen.computeIfAbsent(slice.parameter(), _ -> new BitSet());
            for (int row = 0; row < slice.rows(); row++) {
                for (int column = 0; column < slice.columns(); column++) {
                    int index = Math.toIntExact(slice.tensorIndex(row, column));
                    if (indices.get(index)) {
                        fail("index %d of %s occurs twice", index, slice);
                    }
                    indices.set(index);
                }
            }
        }
        seen.forEach((parameter, indices) -> {
            assertThat(indices.cardinality()).isEqualTo((int) parameter.elements());
            assertThat(indices.length()).isEqualTo((int) parameter.elements());
        });
    }

    @Test
    void aRowSliceIsABlockOfRowsAndAColumnSliceABlockOfEachRow() {
        ModelShape shape =
                new ModelShape(1, 8, 2, 12, 10, 4, 0, 10_000, 1e-5, true, Gelu.ERF, 1);
        FlatLayout layout = FlatLayout.of(shape, 2);
        TensorSlice qkv = layout.slice(Role.QKV_WEIGHT, 1, 1);
        assertThat(qkv.rows()).isEqualTo(12);
        assertThat(qkv.columns()).isEqualTo(8);
        assertThat(qkv.tensorIndex(2, 3)).isEqualTo((12 + 2) * 8 + 3);
        TensorSlice down = layout.slice(Role.DOWN_WEIGHT, 1, 1);
        assertThat(down.rows()).isEqualTo(8);
        assertThat(down.columns()).isEqualTo(6);
        assertThat(down.tensorIndex(2, 3)).isEqualTo(2 * 12 + 6 + 3);
        TensorSlice bias = layout.slice(Role.QKV_BIAS, 1, 1);
        assertThat(bias.tensorIndex(5, 0)).isEqualTo(12 + 5);
        TensorSlice norm = layout.slice(Role.LN1_WEIGHT, 1, 0);
        assertThat(norm.tensorIndex(5, 0)).isEqualTo(5);
    }

    @ParameterizedTest
    @MethodSource("layouts")
    void chunksCoverTheFlatSpaceWithoutGapOrOverlap(ModelShape shape, int t) {
        ChunkGrid grid = ChunkGrid.of(FlatLayout.of(shape, t));
        long end = 0;
        for (int i = 0; i < grid.size(); i++) {
            Chunk chunk = grid.chunk(i);
            boolean fits = chunk.index() == i
                    && chunk.offset() == end
                    && chunk.offset() % FlatLayout.ALIGNMENT == 0
                    && chunk.length() % FlatLayout.ALIGNMENT == 0
                    && chunk.length() >= 1
                    && chunk.length() <= ChunkGrid.LIMIT;
            if (!fits) {
                fail("%s is chunk %d after element %d", chunk, i, end);
            }
            end = chunk.end();
        }
        assertThat(end).isEqualTo(grid.layout().elements());
    }

    @ParameterizedTest
    @MethodSource("layouts")
    void aChunkCrossesNoTensorSliceNoDecayClassAndNoLayer(ModelShape shape, int t) {
        FlatLayout layout = FlatLayout.of(shape, t);
        ChunkGrid grid = ChunkGrid.of(layout);
        int at = 0;
        for (TensorSlice slice : layout.slices()) {
            while (grid.chunk(at).end() <= slice.offset()) {
                at++;
            }
            Role role = slice.parameter().role();
            int expected = role.split() == Split.NONE ? -1 : slice.slice();
            for (int c = at; c < grid.size(); c++) {
                Chunk chunk = grid.chunk(c);
                if (chunk.offset() >= slice.offset() + slice.elements()) {
                    break;
                }
                boolean fits = chunk.slice() == expected
                        && chunk.decay() == role.decay()
                        && chunk.layer() == slice.parameter().layer()
                        && (role.vector() || inside(chunk, slice));
                if (!fits) {
                    fail("%s lies in %s", slice, chunk);
                }
            }
        }
    }

    private static boolean inside(Chunk chunk, TensorSlice slice) {
        return chunk.offset() >= slice.offset()
                && chunk.end() <= FlatLayout.align(slice.offset() + slice.elements());
    }

    @Test
    void theVectorsOfABlockShareOneChunkPerKind() {
        ChunkGrid grid = ChunkGrid.of(FlatLayout.of(
                PythiaModels.named("70m").orElseThrow().shape(), 2));
        List<Chunk> vectors = grid.chunks().stream()
                .filter(c -> c.layer() == 1 && !c.decay())
                .toList();
        assertThat(vectors).map(Chunk::slice).containsExactly(-1, 0, 1);
        assertThat(vectors).map(Chunk::length).containsExactly(6 * 512, 3584 / 2, 3584 / 2);
    }

    @Test
    void offsetsOfPythia70mAreTheOnesAtRest() {
        FlatLayout layout =
                FlatLayout.of(PythiaModels.named("70m").orElseThrow().shape(), 1);
        assertThat(layout.slice(Role.QKV_WEIGHT, 1, 0).offset()).isEqualTo(50_304L * 512);
        assertThat(layout.slice(Role.LN1_WEIGHT, 1, 0).offset())
                .isEqualTo(50_304L * 512 + 12L * 512 * 512);
        assertThat(layout.slice(Role.HEAD, 7, 0).offset())
                .isEqualTo(70_426_624L - 50_304L * 512);
        assertThat(layout.elements()).isEqualTo(70_426_624L);
        assertThat(ChunkGrid.of(layout).size()).isEqualTo(25 + 25 + 6 * (1 + 1 + 1 + 1 + 2) + 1);
    }

    @Test
    void tensorSlicesThatDoNotFitAreRefused() {
        ModelShape shape =
                new ModelShape(1, 12, 6, 12, 10, 4, 0, 10_000, 1e-5, true, Gelu.ERF, 1);
        assertThatThrownBy(() -> FlatLayout.of(shape, 3))
                .hasMessage("tensor slices T = 3 must be a power of two");
        assertThatThrownBy(() -> FlatLayout.of(shape, 0))
                .hasMessage("tensor slices T = 0 must be a power of two");
        assertThatThrownBy(() -> FlatLayout.of(shape, 4))
                .hasMessage("tensor slices T = 4 must divide num-attention-heads 6");
        assertThatThrownBy(() -> FlatLayout.of(shape, 2).slice(Role.HEAD, 1, 0))
                .hasMessage("no tensor slice 0 of HEAD in layer 1");
        assertThatThrownBy(() -> FlatLayout.of(shape, 2).slice(Role.HEAD, 9, 5))
                .hasMessage("no tensor slice 5 of HEAD in layer 9");
    }

    @Test
    void aChunkOutsideItsBoundsIsRefused() {
        assertThatThrownBy(() -> new Chunk(0, 8, 16, 0, -1, false))
                .hasMessageContaining("at element 8");
        assertThatThrownBy(() -> new Chunk(0, 0, ChunkGrid.LIMIT + 16, 0, -1, false))
                .hasMessageContaining("of 1048592 elements");
    }
}
