package castalia.workers.runtime;

import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.control.Committed;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.protocol.step.Verdict;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;

/** The fixed-size parts of frames that carry state between workers; little-endian. */
final class WorkerFrames {

    /** Bytes of a {@link ScalarState}. */
    static final int SCALARS = 6 * Long.BYTES;

    /** Bytes before a chunk's tensors: scalar state and digest. */
    static final int STATE_HEADER = SCALARS + 16;

    /** Bytes before a chunk's gradient; a skipped update has none. */
    static final int UPDATE_HEADER = SCALARS + 64;

    private static final long APPLIED = 1;
    private static final long SKIPPED = 2;

    /** Bytes of a stored chunk's entry: SHA-256, length, digest. */
    static final int ENTRY = 32 + 8 + 16;

    private static final ValueLayout.OfLong LONG =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfDouble DOUBLE =
            ValueLayout.JAVA_DOUBLE_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private WorkerFrames() {}

    /**
     * A committed update of a chunk.
     *
     * @param before scalar state before it
     * @param digest digest of the chunk before it
     */
    record Update(ScalarState before, StateDigest digest, Committed committed) {}

    static MemorySegment state(ScalarState scalars, StateDigest digest, Arena arena) {
        MemorySegment to = arena.allocate(STATE_HEADER, 8);
        put(to, 0, scalars);
        put(to, SCALARS, digest);
        return to;
    }

    static MemorySegment update(
            ScalarState before, StateDigest digest, Verdict.Outcome verdict, Arena arena) {
        MemorySegment to = arena.allocate(UPDATE_HEADER, 8);
        put(to, 0, before);
        put(to, SCALARS, digest);
        to.set(DOUBLE, SCALARS + 24, verdict.loss());
        put(to, SCALARS + 32, verdict.state());
        switch (verdict) {
            case Verdict.Apply update -> {
                to.set(DOUBLE, SCALARS + 16, update.norm());
                to.set(DOUBLE, SCALARS + 48, update.gradientFactor());
                to.set(LONG, SCALARS + 56, APPLIED);
            }
            case Verdict.Skip _ -> to.set(LONG, SCALARS + 56, SKIPPED);
        }
        return to;
    }

    static Update update(MemorySegment from) {
        ScalarState before = scalars(from, 0);
        double loss = from.get(DOUBLE, SCALARS + 24);
        StateDigest state = digest(from, SCALARS + 32);
        long kind = from.get(LONG, SCALARS + 56);
        if (kind != APPLIED && kind != SKIPPED) {
            throw new IllegalStateException("an update of kind " + kind);
        }
        return new Update(before, digest(from, SCALARS), new Committed(before.step(),
                kind == SKIPPED
                        ? new Verdict.Skip(loss, state)
                        : new Verdict.Apply(from.get(DOUBLE, SCALARS + 16), loss, state,
                                (float) from.get(DOUBLE, SCALARS + 48))));
    }

    /** Entries of chunks in the order given, after {@code scalars} bytes that stay free. */
    static MemorySegment entries(List<ChunkEntry> entries, int free, Arena arena) {
        MemorySegment to = arena.allocate(free + (long) ENTRY * entries.size(), 8);
        long at = free;
        for (ChunkEntry entry : entries) {
            MemorySegment.copy(entry.sha256Bytes(), 0, to, ValueLayout.JAVA_BYTE, at, 32);
            to.set(LONG, at + 32, entry.bytes());
            put(to, at + 40, entry.digest());
            at += ENTRY;
        }
        return to;
    }

    /** The entries of {@code chunks}. */
    static List<ChunkEntry> entries(
            MemorySegment from, int free, int[] chunks, ChunkGrid grid) {
        List<ChunkEntry> entries = new ArrayList<>(chunks.length);
        long at = free;
        byte[] sha256 = new byte[32];
        for (int chunk : chunks) {
            MemorySegment.copy(from, ValueLayout.JAVA_BYTE, at, sha256, 0, 32);
            entries.add(new ChunkEntry(grid.chunk(chunk), HexFormat.of().formatHex(sha256),
                    from.get(LONG, at + 32), digest(from, at + 40)));
            at += ENTRY;
        }
        return entries;
    }

    static void put(MemorySegment to, long at, ScalarState scalars) {
        MemorySegment.copy(scalars.bytes(), 0, to, ValueLayout.JAVA_BYTE, at, SCALARS);
    }

    static ScalarState scalars(MemorySegment from, long at) {
        return new ScalarState(from.get(LONG, at), from.get(LONG, at + 8),
                from.get(DOUBLE, at + 16), from.get(LONG, at + 24), from.get(LONG, at + 32),
                Math.toIntExact(from.get(LONG, at + 40)));
    }

    static void put(MemorySegment to, long at, StateDigest digest) {
        to.set(LONG, at, digest.a());
        to.set(LONG, at + 8, digest.b());
    }

    static StateDigest digest(MemorySegment from, long at) {
        return new StateDigest(from.get(LONG, at), from.get(LONG, at + 8));
    }
}
