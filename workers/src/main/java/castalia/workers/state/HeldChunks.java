package castalia.workers.state;

import castalia.kernels.AdamW;
import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.DigestSum;
import castalia.kernels.Kernels;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.Placement;
import castalia.protocol.step.StateDigest;
import castalia.workers.model.FlatViews;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Master weights, moments and finished gradient of the chunks one rank holds as owner or buddy.
 * Owner and buddy run the same code on the same gradient; their digests must agree.
 */
public final class HeldChunks {

    private final ChunkGrid grid;
    private final Kernels kernels;
    private final Arena arena;
    private final int[] held;
    private final Entry[] entries;
    private final DigestSum sum = new DigestSum();

    /** One held chunk: its F32 buffers and the digest of the version they hold. */
    private static final class Entry {
        final Buffer weight;
        final Buffer first;
        final Buffer second;
        @Nullable Buffer gradient;
        StateDigest digest = StateDigest.ZERO;

        Entry(Arena arena, int length) {
            this.weight = arena.allocate(DType.F32, length);
            this.first = arena.allocate(DType.F32, length);
            this.second = arena.allocate(DType.F32, length);
        }
    }

    /** Allocates zeroed state for the chunks that {@code rank} holds from the caller's arena. */
    public HeldChunks(ChunkGrid grid, Placement placement, int rank, Kernels kernels, Arena arena) {
        this.grid = grid;
        this.kernels = kernels;
        this.arena = arena;
        this.held = IntStream.range(0, grid.size())
                .filter(c -> placement.holds(rank, c)).toArray();
        this.entries = new Entry[grid.size()];
        for (int chunk : held) {
            entries[chunk] = new Entry(arena, grid.chunk(chunk).length());
        }
    }

    /** The chunks held, ascending. */
    public int[] chunks() {
        return held.clone();
    }

    public Buffer weight(int chunk) {
        return entry(chunk).weight;
    }

    public Buffer firstMoment(int chunk) {
        return entry(chunk).first;
    }

    public Buffer secondMoment(int chunk) {
        return entry(chunk).second;
    }

    /** Digest of the version held. */
    public StateDigest digest(int chunk) {
        return entry(chunk).digest;
    }

    /**
     * Memory for a finished gradient that arrives or is folded outside the model's buffers;
     * allocated when it is first asked for.
     */
    public Buffer gradientBuffer(int chunk) {
        Entry entry = entry(chunk);
        Buffer buffer = entry.gradient;
        if (buffer == null) {
            buffer = arena.allocate(DType.F32, grid.chunk(chunk).length());
            entry.gradient = buffer;
        }
        return buffer;
    }

    /** Applies one update to a chunk, writes its new compute weights, and takes its digest. */
    public void apply(int chunk, Buffer gradient, AdamW decaying, AdamW plain, FlatViews compute) {
        Entry entry = entry(chunk);
        Chunk place = grid.chunk(chunk);
        sum.a = 0;
        sum.b = 0;
        kernels.adamW(entry.weight, entry.first, entry.second, compute.chunk(chunk), gradient,
                place.decay() ? decaying : plain, place.offset(), place.length(), sum);
        entry.digest = new StateDigest(sum.a, sum.b);
    }

    /** To be called when a chunk's tensors were set: takes its digest, writes compute weights. */
    public void loaded(int chunk, FlatViews compute) {
        Entry entry = entry(chunk);
        Chunk place = grid.chunk(chunk);
        sum.a = 0;
        sum.b = 0;
        kernels.digest(
                entry.weight, entry.first, entry.second, place.offset(), place.length(), sum);
        entry.digest = new StateDigest(sum.a, sum.b);
        kernels.cast(compute.chunk(chunk), entry.weight, place.length());
    }

    private Entry entry(int chunk) {
        Entry entry = entries[chunk];
        if (entry == null) {
            throw new IllegalArgumentException("chunk " + chunk + " is not held here");
        }
        return entry;
    }
}
