package castalia.workers.rank;

import castalia.kernels.Arena;
import castalia.kernels.DType;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.LocalSpace;
import castalia.protocol.layout.SliceBlock;
import castalia.workers.model.FlatViews;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;

/**
 * F32 buffers as large as what a rank computes. They live from one generation to the next while the
 * rank's slices stay the same: then only their number changes.
 */
final class FoldBuffers implements AutoCloseable {

    private LocalSpace space;
    private final Supplier<Arena> arenas;
    private final List<Arena> memory = new ArrayList<>();
    private final List<FlatViews> views = new ArrayList<>();

    FoldBuffers(ChunkGrid grid, Supplier<Arena> arenas) {
        this.space = new LocalSpace(grid, SliceBlock.NONE);
        this.arenas = arenas;
    }

    /** Exactly {@code count} buffers of a space; what is more is freed, what lacks is allocated. */
    List<FlatViews> take(LocalSpace of, int count) {
        if (!space.equals(of)) {
            free(0);
            space = of;
        }
        free(count);
        while (views.size() < count) {
            Arena arena = arenas.get();
            try {
                views.add(new FlatViews(
                        space, arena.allocate(DType.F32, space.elements())));
                memory.add(arena);
            } catch (RuntimeException | Error e) {
                arena.close();
                throw e;
            }
        }
        return List.copyOf(views);
    }

    private void free(int left) {
        while (views.size() > left) {
            views.removeLast();
            memory.removeLast().close();
        }
    }

    long allocatedBytes() {
        return memory.stream().mapToLong(Arena::allocatedBytes).sum();
    }

    @Override
    public void close() {
        free(0);
    }
}
