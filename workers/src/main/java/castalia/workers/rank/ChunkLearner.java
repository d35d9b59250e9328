package castalia.workers.rank;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.control.Committed;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.protocol.step.Verdict;
import castalia.workers.state.HeldChunks;
import java.lang.foreign.MemorySegment;
import java.util.Set;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/**
 * Adds chunks to what a rank holds while their owners go on: a base copy of each, then every
 * committed gradient. It runs the owner's update, so that the bits are the same; compute weights
 * are left alone. Used by the rank's thread, between steps.
 */
public final class ChunkLearner implements AutoCloseable {

    private final TrainingRank rank;
    private final ChunkGrid grid;
    private final Set<Integer> wanted;
    private final Set<Integer> learned = new TreeSet<>();
    private @Nullable Room room;

    /** Learns {@code wanted}. */
    public ChunkLearner(TrainingRank rank, ChunkGrid grid, Set<Integer> wanted) {
        this.rank = rank;
        this.grid = grid;
        this.wanted = Set.copyOf(wanted);
    }

    /** Whether a chunk is to be learnt. */
    public boolean wants(int chunk) {
        return wanted.contains(chunk);
    }

    /** Whether every chunk is here. */
    public boolean complete() {
        return learned.size() == wanted.size();
    }

    /** The oldest version of the learnt chunks; {@link HeldChunks#NOT_SET} if one is missing. */
    public long version() {
        if (!complete()) {
            return HeldChunks.NOT_SET;
        }
        return learned.stream().mapToLong(rank.held()::version).min().orElse(HeldChunks.NOT_SET);
    }

    /**
     * Takes a base copy.
     *
     * @param scalars the scalar state it is of
     * @param digest the owner's digest of it
     * @throws CastaliaException if the copy has another digest
     */
    public void base(
            int chunk, ScalarState scalars, StateDigest digest, MemorySegment weights,
            MemorySegment first, MemorySegment second) {
        HeldChunks held = rank.held();
        held.add(chunk);
        held.invalidate(chunk);
        if (held.placed(chunk)) {
            rank.state().weightsIncomplete(); // of a generation it left: the copy goes among them
        }
        learned.remove(chunk);
        rank.bytes().upload(held.weight(chunk), weights);
        rank.bytes().upload(held.firstMoment(chunk), first);
        rank.bytes().upload(held.secondMoment(chunk), second);
        held.loaded(chunk, scalars.step());
        requireDigest(chunk, digest);
        learned.add(chunk);
        follow(scalars);
    }

    private void requireDigest(int chunk, StateDigest digest) {
        StateDigest found = rank.held().digest(chunk);
        if (!found.equals(digest)) {
            rank.held().drop(chunk);
            learned.remove(chunk);
            throw new CastaliaException(ErrorCode.NUMERIC_DIVERGED, "chunk " + chunk
                    + " has the digest " + found.hex() + " where it is learnt and " + digest.hex()
                    + " at its owner: memory, processor or network of one of them is faulty");
        }
    }

    /**
     * Takes in a committed step. One that the base copy has already is passed over.
     *
     * @param before the scalar state before it
     * @param digest the owner's digest of the chunk before it
     * @param from the finished gradient; empty where the update was skipped
     * @throws CastaliaException if the owner's chunk was another one
     */
    public void update(
            int chunk, Committed committed, ScalarState before, StateDigest digest,
            MemorySegment from) {
        HeldChunks held = rank.held();
        if (!learned.contains(chunk) || held.version(chunk) > committed.step()) {
            return;
        }
        if (held.version(chunk) < committed.step()) {
            learned.remove(chunk);
            return;
        }
        requireDigest(chunk, digest);
        switch (committed.verdict()) {
            case Verdict.Apply update -> apply(chunk, update, before, from);
            case Verdict.Skip _ -> held.skip(chunk);
        }
        rank.state().heardOf(committed);
        follow(rank.state().after(before, committed.verdict()));
    }

    private void apply(int chunk, Verdict.Apply update, ScalarState before, MemorySegment from) {
        UpdateRule.Scalars with =
                rank.state().rule().after(before.appliedUpdates(), update.gradientFactor());
        int length = grid.chunk(chunk).length();
        Buffer gradient = room().gradient().slice(0, length);
        rank.bytes().upload(gradient, from);
        rank.held().finish(chunk, gradient);
        rank.held().apply(new int[] {chunk}, with.decaying(), with.plain(),
                _ -> room().weights().slice(0, length));
    }

    /** A worker that is no member has no scalar state but its chunks'. */
    private void follow(ScalarState scalars) {
        if (!rank.installed()) {
            rank.state().follow(scalars);
        }
    }

    /** Working memory, allocated by the first update. */
    private record Room(Arena arena, Buffer gradient, Buffer weights) {}

    private Room room() {
        Room now = room;
        if (now == null) {
            Arena arena = rank.newArena();
            try {
                now = new Room(arena, arena.allocate(DType.F32, ChunkGrid.LIMIT),
                        arena.allocate(rank.modelPlan().compute(), ChunkGrid.LIMIT));
            } catch (RuntimeException | Error e) {
                arena.close();
                throw e;
            }
            room = now;
        }
        return now;
    }

    /** Frees its working memory; the chunks stay. */
    @Override
    public void close() {
        Room last = room;
        room = null;
        if (last != null) {
            last.arena().close();
        }
    }
}
