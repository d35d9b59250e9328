package castalia.protocol.layout;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.model.PythiaModels;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class LocalSpaceTest {

    private static final ChunkGrid GRID =
            ChunkGrid.of(FlatLayout.of(PythiaModels.named("160m").orElseThrow().shape(), 4));

    @ParameterizedTest
    @CsvSource({"0,4", "0,2", "2,2", "1,1", "3,1"})
    void tensorSlicesStayContiguousAndApart(int first, int count) {
        SliceBlock slices = new SliceBlock(first, count);
        LocalSpace space = new LocalSpace(GRID, slices);
        long end = 0;
        for (TensorSlice slice : GRID.layout().slices()) {
            boolean used = slice.parameter().role().split()
                    == castalia.protocol.model.Parameter.Split.NONE
                    || slices.contains(slice.slice());
            if (used) {
                assertThat(space.offset(slice)).isEqualTo(FlatLayout.align(end));
                end = space.offset(slice) + slice.elements();
            } else {
                assertThat(space.offset(slice)).isEqualTo(-1);
            }
        }
        assertThat(space.elements()).isEqualTo(FlatLayout.align(end));
        assertThat(Arrays.stream(space.chunks()).mapToLong(c -> GRID.chunk(c).length()).sum())
                .isEqualTo(space.elements());
    }

    @Test
    void theWholeSpaceIsTheFlatSpace() {
        LocalSpace whole = LocalSpace.whole(GRID);
        assertThat(whole.elements()).isEqualTo(GRID.layout().elements());
        for (Chunk chunk : GRID.chunks()) {
            assertThat(whole.offset(chunk.index())).isEqualTo(chunk.offset());
        }
    }

    @Test
    void whatIsNotUsedHasNoPlace() {
        LocalSpace space = new LocalSpace(GRID, new SliceBlock(0, 1));
        int other = GRID.chunks().stream().filter(c -> c.slice() == 3).findFirst().orElseThrow()
                .index();
        assertThatThrownBy(() -> space.offset(other)).hasMessageContaining("not used");
        assertThatThrownBy(() -> new LocalSpace(GRID, new SliceBlock(3, 2)))
                .hasMessageContaining("4 tensor slices");
    }
}
