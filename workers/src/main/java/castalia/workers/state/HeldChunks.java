package castalia.workers.state;

import castalia.kernels.AdamW;
import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.DigestSum;
import castalia.kernels.Kernels;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.step.StateDigest;
import java.util.Arrays;
import java.util.function.IntFunction;
import java.util.function.Supplier;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/**
 * Master weights, moments and finished gradients of the chunks one worker holds, whatever the
 * generation. Every chunk has its own memory and its own version, so that chunks come and go one
 * by one. Owner and buddy run the same code on the same gradient; their digests must agree.
 *
 * <p>The master weights of a chunk may lie in memory of somebody else, its place: {@link #add} puts
 * them there, {@link #keepWeight} takes them back before that memory is freed or gets other weights.
 */
public final class HeldChunks implements AutoCloseable {

    /** Version of a chunk whose tensors were not set yet. */
    public static final long NOT_SET = -1;

    private final ChunkGrid grid;
    private final Kernels kernels;
    private final Supplier<Arena> arenas;
    private final Entry[] entries;
    private final DigestSum sum = new DigestSum();

    /** One held chunk: its F32 buffers and what is known of their content. */
    private static final class Entry {
        final Arena arena;
        final Buffer first;
        final Buffer second;
        @Nullable Arena weightArena;
        Buffer weight;
        @Nullable Arena gradientArena;
        @Nullable Buffer gradient;
        @Nullable Buffer finished;
        StateDigest digest = StateDigest.ZERO;
        long version = NOT_SET;

        Entry(Arena arena, int length, Buffer weight) {
            this.arena = arena;
            this.first = arena.allocate(DType.F32, length);
            this.second = arena.allocate(DType.F32, length);
            this.weight = weight;
        }

        void releaseWeight() {
            if (weightArena != null) {
                weightArena.close();
                weightArena = null;
            }
        }

        void releaseGradient() {
            finished = null;
            gradient = null;
            if (gradientArena != null) {
                gradientArena.close();
                gradientArena = null;
            }
        }

        long allocatedBytes() {
            return arena.allocatedBytes()
                    + (weightArena == null ? 0 : weightArena.allocatedBytes())
                    + (gradientArena == null ? 0 : gradientArena.allocatedBytes());
        }
    }

    /**
     * Holds nothing yet.
     *
     * @param arenas makes the memory of a chunk, which is freed when the chunk is dropped
     */
    public HeldChunks(ChunkGrid grid, Kernels kernels, Supplier<Arena> arenas) {
        this.grid = grid;
        this.kernels = kernels;
        this.arenas = arenas;
        this.entries = new Entry[grid.size()];
    }

    /** As the other, with memory of its own for all of a new chunk. */
    public void add(int chunk) {
        add(chunk, null);
    }

    /**
     * Makes room for a chunk, zeroed and not set, or keeps what is held of it; its master weights lie
     * in {@code place} afterwards.
     *
     * @param place F32, as long as the chunk, the caller's to free after {@link #keepWeight} or {@link
     *     #drop}; null to leave the weights where they are
     */
    public void add(int chunk, @Nullable Buffer place) {
        Entry entry = entries[chunk];
        if (entry == null) {
            addNew(chunk, place);
        } else if (place != null && !entry.weight.equals(place)) {
            kernels.cast(place, entry.weight, place.elements());
            entry.weight = place;
            entry.releaseWeight();
        }
    }

    private void addNew(int chunk, @Nullable Buffer place) {
        int length = grid.chunk(chunk).length();
        Arena arena = arenas.get();
        Arena own = null;
        try {
            if (place == null) {
                own = arenas.get();
                entries[chunk] = new Entry(arena, length, own.allocate(DType.F32, length));
                entries[chunk].weightArena = own;
            } else {
                entries[chunk] = new Entry(arena, length, place);
                kernels.zero(place, length);
            }
        } catch (RuntimeException | Error e) {
            arena.close();
            if (own != null) {
                own.close();
            }
            throw e;
        }
    }

    /** Whether the master weights of a chunk held lie where {@link #add} was told to put them. */
    public boolean placed(int chunk) {
        return entry(chunk).weightArena == null;
    }

    /** Whether all master weights that lie where {@link #add} was told to put them are of a version. */
    public boolean placedAreAt(long version) {
        for (Entry entry : entries) {
            if (entry != null && entry.weightArena == null && entry.version != version) {
                return false;
            }
        }
        return true;
    }

    /** Brings the master weights of a chunk held to memory of its own; nothing if they are there. */
    public void keepWeight(int chunk) {
        Entry entry = entry(chunk);
        if (entry.weightArena == null) {
            Arena own = arenas.get();
            try {
                Buffer weight = own.allocate(DType.F32, entry.weight.elements());
                kernels.cast(weight, entry.weight, weight.elements());
                entry.weight = weight;
                entry.weightArena = own;
            } catch (RuntimeException | Error e) {
                own.close();
                throw e;
            }
        }
    }

    /** Frees a chunk; nothing if it is not held. */
    public void drop(int chunk) {
        Entry entry = entries[chunk];
        if (entry != null) {
            clear(chunk);
            entry.releaseGradient();
            entry.releaseWeight();
            entry.arena.close();
        }
    }

    @SuppressWarnings("NullAway") // an element that is null stands for a chunk that is not held
    private void clear(int chunk) {
        entries[chunk] = null;
    }

    /** Whether there is room for a chunk here, set or not. */
    public boolean holds(int chunk) {
        return entries[chunk] != null;
    }

    /** The chunks held, ascending. */
    public int[] chunks() {
        return IntStream.range(0, entries.length).filter(this::holds).toArray();
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

    /** Completed steps of a chunk, or {@link #NOT_SET}. */
    public long version(int chunk) {
        return entry(chunk).version;
    }

    /** To be called before a chunk's tensors are overwritten: it has no version until set. */
    public void invalidate(int chunk) {
        Entry entry = entry(chunk);
        entry.version = NOT_SET;
        entry.finished = null;
    }

    /** {@link #invalidate} of every chunk. */
    public void invalidateAll() {
        for (int chunk : chunks()) {
            invalidate(chunk);
        }
    }

    /**
     * Memory for a finished gradient that arrives or is folded outside the model's buffers;
     * allocated when it is first asked for.
     */
    public Buffer gradientBuffer(int chunk) {
        Entry entry = entry(chunk);
        Buffer buffer = entry.gradient;
        if (buffer == null) {
            Arena arena = arenas.get();
            entry.gradientArena = arena;
            buffer = arena.allocate(DType.F32, grid.chunk(chunk).length());
            entry.gradient = buffer;
        }
        return buffer;
    }

    /** Frees the memory of {@link #gradientBuffer} and forgets the finished gradient. */
    public void releaseGradient(int chunk) {
        entry(chunk).releaseGradient();
    }

    /**
     * Says where the finished gradient of the version held lies. It must stay there until it is
     * applied or forgotten.
     */
    public void finish(int chunk, Buffer gradient) {
        entry(chunk).finished = gradient;
    }

    /** Whether the finished gradient of the version held is here. */
    public boolean finished(int chunk) {
        return entry(chunk).finished != null;
    }

    /** The finished gradient of the version held. */
    public Buffer finishedGradient(int chunk) {
        Buffer buffer = entry(chunk).finished;
        if (buffer == null) {
            throw new IllegalArgumentException("no gradient of chunk " + chunk + " is held here");
        }
        return buffer;
    }

    /** To be called before memory that holds finished gradients changes. */
    public void forgetGradients() {
        for (Entry entry : entries) {
            if (entry != null) {
                entry.finished = null;
            }
        }
    }

    /** Sums of the squares of the finished gradients of some chunks. */
    public double[] squares(int[] chunks) {
        double[] sums = new double[chunks.length];
        kernels.sumsOfSquares(sums, buffers(chunks, this::finishedGradient));
        return sums;
    }

    private static Buffer[] buffers(int[] chunks, IntFunction<Buffer> of) {
        return Arrays.stream(chunks).mapToObj(of).toArray(Buffer[]::new);
    }

    /**
     * Applies the update of the version held to some chunks with their finished gradients, takes
     * their digests, and forgets the gradients. No version of them is held while it runs.
     *
     * @param weights by chunk, what receives its new weights in the compute type; may be its master
     *     weights
     */
    public void apply(int[] chunks, AdamW decaying, AdamW plain, IntFunction<Buffer> weights) {
        for (int chunk : chunks) {
            if (entry(chunk).version == NOT_SET) {
                throw new IllegalStateException(
                        "chunk " + chunk + " was not set before its update");
            }
        }
        int count = chunks.length;
        Buffer[] gradients = buffers(chunks, this::finishedGradient);
        Buffer[] compute = buffers(chunks, weights);
        AdamW[] scalars = new AdamW[count];
        long[] before = new long[count];
        long[] positions = new long[count];
        DigestSum[] digests = new DigestSum[count];
        for (int i = 0; i < count; i++) {
            Chunk place = grid.chunk(chunks[i]);
            scalars[i] = place.decay() ? decaying : plain;
            positions[i] = place.offset();
            digests[i] = new DigestSum();
            Entry entry = entry(chunks[i]);
            before[i] = entry.version;
            entry.version = NOT_SET;
        }
        kernels.adamW(buffers(chunks, this::weight), buffers(chunks, this::firstMoment),
                buffers(chunks, this::secondMoment), compute, gradients, scalars, positions,
                digests);
        for (int i = 0; i < count; i++) {
            Entry entry = entry(chunks[i]);
            entry.digest = new StateDigest(digests[i].a, digests[i].b);
            entry.finished = null;
            entry.version = before[i] + 1;
        }
    }

    /** A skipped step: the chunk is the next version, with the same tensors. */
    public void skip(int chunk) {
        Entry entry = entry(chunk);
        if (entry.version == NOT_SET) {
            throw new IllegalStateException("chunk " + chunk + " was not set before its step");
        }
        entry.finished = null;
        entry.version++;
    }

    /** To be called when a chunk's tensors were set: takes their digest. */
    public void loaded(int chunk, long version) {
        Entry entry = entry(chunk);
        Chunk place = grid.chunk(chunk);
        sum.a = 0;
        sum.b = 0;
        kernels.digest(
                entry.weight, entry.first, entry.second, place.offset(), place.length(), sum);
        entry.digest = new StateDigest(sum.a, sum.b);
        entry.finished = null;
        entry.version = version;
    }

    /**
     * Writes a chunk's weights in the compute type, rounded as an update rounds them: to memory that is
     * not the master weights'.
     */
    public void cast(int chunk, Buffer compute) {
        kernels.cast(compute, entry(chunk).weight, grid.chunk(chunk).length());
    }

    /** Bytes of device memory of all chunks held, without what lies in memory of somebody else. */
    public long allocatedBytes() {
        long bytes = 0;
        for (Entry entry : entries) {
            bytes += entry == null ? 0 : entry.allocatedBytes();
        }
        return bytes;
    }

    private Entry entry(int chunk) {
        Entry entry = entries[chunk];
        if (entry == null) {
            throw new IllegalArgumentException("chunk " + chunk + " is not held here");
        }
        return entry;
    }

    /** Frees every chunk. */
    @Override
    public void close() {
        for (int chunk : chunks()) {
            drop(chunk);
        }
    }
}
