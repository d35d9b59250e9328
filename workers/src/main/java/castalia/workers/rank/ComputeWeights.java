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
import castalia.workers.state.HeldChunks;
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
 *
 * <p>Where it computes in F32, the weights of a chunk held are its master weights, bit for bit, and lie
 * there once: in the flat buffer if the rank computes with them, else in the chunk's own memory, from
 * which others get them. This is safe since the two never have to differ:
 * <ul>
 * <li>Master weights change when all votes of a step are there (or the generation is left, whose
 *     transport is closed first): nobody computes with the old ones then, or reads them to send them
 *     ({@link WeightPath#withdraw}). A step that is undone has not begun to change them.
 * <li>What is received from others goes to chunks that the placement does not give this rank. A chunk
 *     that is held nevertheless, of a former placement or because it is being learnt, may be of another
 *     version than the step; its master weights have memory of their own ({@link #own}).
 * <li>Chunks held outlive the flat buffer: before that is freed, master weights in it are brought to
 *     memory of their own, and into the next one when that is there ({@link #use}, {@link #own}).
 * <li>Whoever sets master weights from elsewhere (a checkpoint, another rank, a lesson) sets those to
 *     compute with as well; {@link RankState#weightsVersion} looks at the versions of such chunks.
 * </ul>
 */
final class ComputeWeights implements AutoCloseable {

    private final HeldChunks held;
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

    /**
     * None yet.
     *
     * @param held what the rank holds; the caller's
     */
    ComputeWeights(HeldChunks held, ChunkGrid grid, DType type, Supplier<Arena> arenas) {
        this.held = held;
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
     * Makes room for the weights of a space, in place of those there were. Chunks held stay as they are.
     *
     * @param inWindows whether a few layers at a time are enough
     */
    void use(LocalSpace space, boolean inWindows) {
        for (int chunk : held.chunks()) {
            held.keepWeight(chunk);
        }
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

    /** Whether weights in the compute type are the master weights where a chunk is held. */
    private boolean shared() {
        return type == DType.F32;
    }

    /**
     * Makes room for the chunks that a placement gives a rank, where they are not held yet, and for the
     * weights of those that it owns and keeps for others.
     */
    void own(Placement placement, int rank) {
        freeSpare();
        ofOthers.close();
        ofOthers = arenas.get();
        for (Chunk chunk : grid.chunks()) {
            int c = chunk.index();
            if (placement.holds(rank, c)) {
                held.add(c, shared() && stays(c) ? views.chunk(c) : null);
            } else if (held.holds(c)) {
                held.keepWeight(c);
            }
            boolean other = placement.owner(c) == rank && !stays(c);
            put(c, !other ? null : shared() ? held.weight(c)
                    : ofOthers.allocate(type, chunk.length()));
        }
    }

    @SuppressWarnings("NullAway") // an element that is null stands for a chunk without own memory
    private void put(int chunk, @Nullable Buffer memory) {
        others[chunk] = memory;
    }

    /** Whether somebody reads a chunk's weights here that are no master weights. */
    boolean rounds(int chunk) {
        return !shared() && (stays(chunk) || others[chunk] != null);
    }

    /**
     * Where new weights of a held chunk go, its master weights where they are the same; memory that
     * nobody reads, where it is not used.
     */
    Buffer of(int chunk) {
        Buffer other = others[chunk];
        return stays(chunk) ? views.chunk(chunk)
                : other != null ? other
                : shared() ? held.weight(chunk) : spare().slice(0, grid.chunk(chunk).length());
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
