package castalia.workers.rank;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.LayerWindows;
import castalia.protocol.layout.LocalSpace;
import castalia.protocol.layout.Placement;
import castalia.protocol.layout.SliceBlock;
import castalia.workers.model.FlatViews;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.Objects;
import java.util.Optional;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Weights in the compute type: those a rank computes with, in one flat buffer, and those it owns for
 * others, each in memory of its own. With ZeRO 3 all it owns are for others, itself among them: what it
 * computes with is brought to windows layer by layer.
 */
final class ComputeWeights implements AutoCloseable {

    private final ChunkGrid grid;
    private final DType type;
    private final Supplier<Arena> arenas;
    private FlatViews views;
    private boolean windowed;
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

    /** Whether the weights to compute with are brought to windows, layer by layer. */
    boolean windowed() {
        return windowed;
    }

    /**
     * Makes room for the weights of a space, in place of those there were.
     *
     * @param inWindows whether a few layers at a time are enough
     */
    void use(LocalSpace space, boolean inWindows) {
        ofViews.close();
        Arena arena = arenas.get();
        ofViews = arena;
        windowed = inWindows;
        views = new FlatViews(
                new LocalSpace(grid, SliceBlock.NONE), arena.allocate(type, 0));
        views = inWindows
                ? FlatViews.windowed(
                        new LayerWindows(space), elements -> arena.allocate(type, elements))
                : new FlatViews(space, arena.allocate(type, space.elements()));
    }

    /** Whether a chunk's weights are among those to compute with, and stay there. */
    private boolean stays(int chunk) {
        return !windowed && views.space().contains(chunk);
    }

    /** Makes room for the weights of the chunks that a rank owns and keeps for others. */
    void own(Placement placement, int rank) {
        freeSpare();
        ofOthers.close();
        ofOthers = arenas.get();
        for (Chunk chunk : grid.chunks()) {
            int c = chunk.index();
            boolean other = placement.owner(c) == rank && !stays(c);
            put(c, other ? ofOthers.allocate(type, chunk.length()) : null);
        }
    }

    @SuppressWarnings("NullAway") // an element that is null stands for a chunk without own memory
    private void put(int chunk, @Nullable Buffer memory) {
        others[chunk] = memory;
    }

    /** Whether somebody reads a chunk's weights here. */
    boolean has(int chunk) {
        return stays(chunk) || others[chunk] != null;
    }

    /** Where new weights of a held chunk go; memory that nobody reads, where it is not used. */
    Buffer of(int chunk) {
        Buffer other = others[chunk];
        return stays(chunk) ? views.chunk(chunk)
                : other != null ? other : spare().slice(0, grid.chunk(chunk).length());
    }

    /** By chunk the memory of the weights kept for others, null for the rest. */
    @Nullable MemorySegment[] served() {
        @Nullable MemorySegment[] all = new MemorySegment[others.length];
        for (int c = 0; c < all.length; c++) {
            Buffer other = others[c];
            if (other != null) {
                all[c] = other.segment();
            }
        }
        return all;
    }

    /** Weights for fault injection: all that are used, or with ZeRO 3 a chunk others are given. */
    Optional<Buffer> flippable() {
        return (windowed ? Arrays.stream(others).filter(Objects::nonNull).findFirst()
                : Optional.of(views.flat())).filter(weights -> weights.elements() > 0);
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
