package castalia.workers.rank;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.LocalSpace;
import castalia.protocol.layout.Placement;
import castalia.protocol.layout.SliceBlock;
import castalia.workers.model.FlatViews;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Weights in the compute type: those a rank computes with, in one flat buffer, and those it owns for
 * others, each in memory of its own.
 */
final class ComputeWeights implements AutoCloseable {

    private final ChunkGrid grid;
    private final DType type;
    private final Supplier<Arena> arenas;
    private FlatViews views;
    private Arena ofViews;
    private Arena ofOthers;
    private final @Nullable Buffer[] others;
    private @Nullable Arena ofSpare;
    private @Nullable Buffer spare;

    /** Holds nothing yet. */
    ComputeWeights(ChunkGrid grid, DType type, Supplier<Arena> arenas) {
        this.grid = grid;
        this.type = type;
        this.arenas = arenas;
        this.others = new Buffer[grid.size()];
        this.ofViews = arenas.get();
        this.ofOthers = arenas.get();
        this.views = new FlatViews(
                new LocalSpace(grid, SliceBlock.NONE), ofViews.allocate(type, 0));
    }

    DType type() {
        return type;
    }

    /** The weights that the rank computes with. */
    FlatViews views() {
        return views;
    }

    /** Makes room for the weights of a space, in place of those there were. */
    void use(LocalSpace space) {
        ofViews.close();
        ofViews = arenas.get();
        views = new FlatViews(
                new LocalSpace(grid, SliceBlock.NONE), ofViews.allocate(type, 0));
        views = new FlatViews(space, ofViews.allocate(type, space.elements()));
    }

    /** Makes room for the weights of the chunks that a rank owns and does not compute with. */
    void own(Placement placement, int rank) {
        freeSpare();
        ofOthers.close();
        ofOthers = arenas.get();
        for (Chunk chunk : grid.chunks()) {
            int c = chunk.index();
            boolean other = placement.owner(c) == rank && !views.space().contains(c);
            put(c, other ? ofOthers.allocate(type, chunk.length()) : null);
        }
    }

    @SuppressWarnings("NullAway") // an element that is null stands for a chunk without own memory
    private void put(int chunk, @Nullable Buffer memory) {
        others[chunk] = memory;
    }

    /** Whether somebody reads a chunk's weights here. */
    boolean has(int chunk) {
        return views.space().contains(chunk) || others[chunk] != null;
    }

    /** Where new weights of a held chunk go; memory that nobody reads, where it is not used. */
    Buffer of(int chunk) {
        Buffer other = others[chunk];
        return views.space().contains(chunk) ? views.chunk(chunk)
                : other != null ? other : spare().slice(0, grid.chunk(chunk).length());
    }

    private Buffer spare() {
        Buffer made = spare;
        if (made == null) {
            Arena arena = arenas.get();
            ofSpare = arena;
            made = arena.allocate(type,
                    grid.chunks().stream().mapToInt(Chunk::length).max().orElse(0));
            spare = made;
        }
        return made;
    }

    /** It is made again when it is needed. */
    private void freeSpare() {
        Arena arena = ofSpare;
        ofSpare = null;
        spare = null;
        if (arena != null) {
            arena.close();
        }
    }

    long allocatedBytes() {
        return ofViews.allocatedBytes() + ofOthers.allocatedBytes()
                + (ofSpare == null ? 0 : ofSpare.allocatedBytes());
    }

    @Override
    public void close() {
        ofViews.close();
        ofOthers.close();
        freeSpare();
    }
}
