package castalia.checkpoints;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.TensorSlice;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.model.NeoxParameters;
import castalia.protocol.model.Parameter;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TensorMapTest {

    private static final ValueLayout.OfFloat F = ValueLayout.JAVA_FLOAT;

    private static ModelShape shape() {
        return new ModelShape(2, 20, 4, 28, 36, 8, 4, 10000, 1e-5, true, Gelu.ERF, 1);
    }

    /** For each flat element its tensor and index there, straight from the slices. */
    private static String[] expected(FlatLayout layout) {
        String[] of = new String[(int) layout.elements()];
        for (TensorSlice slice : layout.slices()) {
            for (int row = 0; row < slice.rows(); row++) {
                for (int column = 0; column < slice.columns(); column++) {
                    of[(int) (slice.offset() + (long) row * slice.columns() + column)] =
                            slice.parameter().name() + "@" + slice.tensorIndex(row, column);
                }
            }
        }
        return of;
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 4})
    void everyRangeOfATensorHasTheRunsOfItsSlices(int slices) throws IOException {
        FlatLayout layout = FlatLayout.of(shape(), slices);
        String[] expected = expected(layout);
        TensorMap map = new TensorMap(layout);
        Random random = new Random(slices);
        for (Parameter p : NeoxParameters.of(shape())) {
            for (int i = 0; i < 50; i++) {
                long from = i == 0 ? 0 : random.nextLong(p.elements());
                long to = i == 0 ? p.elements() : random.nextLong(from, p.elements() + 1);
                long[] next = {from};
                map.ofTensor(p, from, to, (tensor, index, offset, count) -> {
                    assertThat(tensor).isEqualTo(p);
                    assertThat(index).isEqualTo(next[0]);
                    assertThat(count).isPositive();
                    for (long k = 0; k < count; k++) {
                        assertThat(expected[(int) (offset + k)])
                                .isEqualTo(p.name() + "@" + (index + k));
                    }
                    next[0] += count;
                });
                assertThat(next[0]).isEqualTo(to);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 4})
    void everyFlatRangeHasTheRunsOfItsSlices(int slices) throws IOException {
        FlatLayout layout = FlatLayout.of(shape(), slices);
        String[] expected = expected(layout);
        TensorMap map = new TensorMap(layout);
        Random random = new Random(slices);
        for (int i = 0; i < 200; i++) {
            long from = i == 0 ? 0 : random.nextLong(layout.elements());
            long to = i == 0 ? layout.elements() : random.nextLong(from, layout.elements() + 1);
            String[] found = new String[(int) (to - from)];
            map.ofFlat(from, to, (tensor, index, offset, count) -> {
                for (long k = 0; k < count; k++) {
                    found[(int) (offset - from + k)] = tensor.name() + "@" + (index + k);
                }
            });
            assertThat(found).isEqualTo(Arrays.copyOfRange(expected, (int) from, (int) to));
        }
    }

    @Test
    void tensorsAreTheSameWhateverTheNumberOfSlices() throws IOException {
        try (Arena arena = Arena.ofConfined()) {
            for (int slices : new int[] {1, 2, 4}) {
                FlatLayout layout = FlatLayout.of(shape(), slices);
                TensorMap map = new TensorMap(layout);
                MemorySegment flat = arena.allocate(layout.elements() * 4, 64);
                for (Parameter p : NeoxParameters.of(shape())) {
                    MemorySegment whole = arena.allocate(p.elements() * 4, 64);
                    for (long i = 0; i < p.elements(); i++) {
                        whole.setAtIndex(F, i, (float) (p.name().hashCode() % 1000 + i));
                    }
                    map.scatter(p, whole, flat);
                }
                for (Parameter p : NeoxParameters.of(shape())) {
                    MemorySegment whole = arena.allocate(p.elements() * 4, 64);
                    map.gather(FlatWeights.of(flat), p, 0, whole);
                    for (long i = 0; i < p.elements(); i++) {
                        assertThat(whole.getAtIndex(F, i)).isEqualTo(
                                (float) (p.name().hashCode() % 1000 + i));
                    }
                }
            }
        }
    }

    @Test
    void aRangeBeyondTheTensorIsRefused() {
        TensorMap map = new TensorMap(FlatLayout.of(shape(), 2));
        Parameter p = NeoxParameters.of(shape()).getFirst();
        assertThatThrownBy(() -> map.ofTensor(p, 0, p.elements() + 1, (_, _, _, _) -> {}))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining(p.name());
    }
}
