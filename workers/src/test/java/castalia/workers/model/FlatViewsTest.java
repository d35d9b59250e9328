package castalia.workers.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.reference.ReferenceDevice;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.TensorSlice;
import castalia.protocol.model.Parameter.Role;
import castalia.workers.rank.TinyRun;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class FlatViewsTest {

    @ParameterizedTest
    @CsvSource({"1, F32", "2, F32", "2, BF16", "2, F16"})
    void everySliceAndEveryChunkIsTheRangeTheLayoutSays(int tensorSlices, DType type) {
        ChunkGrid grid = ChunkGrid.of(FlatLayout.of(TinyRun.shape(), tensorSlices));
        try (Device device = new ReferenceDevice();
                Arena arena = device.arena()) {
            Buffer flat = arena.allocate(type, grid.layout().elements());
            FlatViews views = new FlatViews(grid, flat);
            assertThat(views.flat()).isSameAs(flat);
            for (TensorSlice slice : grid.layout().slices()) {
                Buffer view = views.slice(
                        slice.parameter().role(), slice.parameter().layer(), slice.slice());
                assertThat(view).isEqualTo(flat.slice(slice.offset(), slice.elements()));
                assertThat(view.segment().address() - flat.segment().address())
                        .isEqualTo(slice.offset() * type.bytes());
            }
            for (Chunk chunk : grid.chunks()) {
                Buffer view = views.chunk(chunk.index());
                assertThat(view).isEqualTo(flat.slice(chunk.offset(), chunk.length()));
            }
        }
    }

    @Test
    void aBufferOfAnotherLengthIsRefused() {
        ChunkGrid grid = ChunkGrid.of(FlatLayout.of(TinyRun.shape(), 1));
        long elements = grid.layout().elements();
        try (Device device = new ReferenceDevice();
                Arena arena = device.arena()) {
            Buffer longer = arena.allocate(DType.F32, elements + 16);
            assertThatThrownBy(() -> new FlatViews(grid, longer))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining(String.valueOf(elements))
                    .hasMessageContaining(String.valueOf(elements + 16));
        }
    }

    @Test
    void aTensorThatALayerDoesNotHaveIsRefusedByName() {
        ChunkGrid grid = ChunkGrid.of(FlatLayout.of(TinyRun.shape(), 2));
        try (Device device = new ReferenceDevice();
                Arena arena = device.arena()) {
            FlatViews views =
                    new FlatViews(grid, arena.allocate(DType.F32, grid.layout().elements()));
            assertThatThrownBy(() -> views.slice(Role.EMBEDDING, 1, 0))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("EMBEDDING in layer 1");
            assertThatThrownBy(() -> views.slice(Role.LN1_BIAS, 1, 1))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("slice 1 of LN1_BIAS");
        }
    }
}
