package castalia.workers.rank;

import castalia.kernels.Arena;
import castalia.kernels.DType;
import castalia.protocol.layout.ChunkGrid;
import castalia.workers.model.FlatViews;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;

/** Full-size F32 buffers that live from one generation to the next: only their number changes. */
final class FoldBuffers implements AutoCloseable {

    private final ChunkGrid grid;
    private final Supplier<Arena> arenas;
    private final List<Arena> memory = new ArrayList<>();
    private final List<FlatViews> views = new ArrayList<>();

    FoldBuffers(ChunkGrid grid, Supplier<Arena> arenas) {
        this.grid = grid;
        this.arenas = arenas;
    }

    /** Exactly {@code count} buffers; what is more is freed, what lacks is allocated. */
    List<FlatViews> take(int count) {
        while (views.size() > count) {
            views.removeLast();
            memory.removeLast().close();
        }
        while (views.size() < count) {
            Arena arena = arenas.get();
            try {
                views.add(new FlatViews(
                        grid, arena.allocate(DType.F32, grid.layout().elements())));
                memory.add(arena);
            } catch (RuntimeException | Error e) {
                arena.close();
                throw e;
            }
        }
        return List.copyOf(views);
    }

    long allocatedBytes() {
        return memory.stream().mapToLong(Arena::allocatedBytes).sum();
    }

    @Override
    public void close() {
        take(0);
    }
}
