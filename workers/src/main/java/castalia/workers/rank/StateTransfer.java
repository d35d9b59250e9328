package castalia.workers.rank;

import castalia.checkpoints.FlatWeights;
import castalia.kernels.Buffer;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.checkpoint.Manifest;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.model.Parameter.Role;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.workers.state.InitialWeights;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/** Brings state into ranks and out of them, chunk by chunk through a bounded host buffer. */
public final class StateTransfer {

    private StateTransfer() {}

    /** Says what the weights are before the first step; moments are zero then. */
    @FunctionalInterface
    public interface InitialState {

        /** Fills the weights of some chunks of a rank. Called by several threads. */
        void fill(TrainingRank rank, int[] chunks) throws IOException;
    }

    /** Drawn initial weights. */
    public static InitialState drawn(RankSettings settings, Initialisation.Drawn drawn) {
        ChunkGrid grid = settings.grid();
        InitialWeights initial = new InitialWeights(grid.layout(),
                (Role role) -> drawn.std(role, settings.plan().model()), settings.plan().seed());
        return (rank, chunks) -> {
            for (int chunk : chunks) {
                initial.fill(grid.chunk(chunk), rank.held().weight(chunk), rank.kernels());
            }
        };
    }

    /** The weights of a folder. */
    public static InitialState given(RankSettings settings, FlatWeights weights) {
        ChunkGrid grid = settings.grid();
        return (rank, chunks) -> {
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment host = buffer(grid, arena);
                for (int c : chunks) {
                    Chunk chunk = grid.chunk(c);
                    MemorySegment part = host.asSlice(0, 4L * chunk.length());
                    weights.read(chunk.offset(), part);
                    rank.bytes().upload(rank.held().weight(c), part);
                }
            }
        };
    }

    /** Gives all ranks the drawn initial weights of their plan. */
    public static void initialise(RankGroup group, Initialisation.Drawn drawn) {
        initialise(group, drawn(group.settings(), drawn));
    }

    /** Gives all ranks the weights of a folder, with zero moments, before the first step. */
    public static void load(RankGroup group, FlatWeights weights) {
        initialise(group, given(group.settings(), weights));
    }

    private static void initialise(RankGroup group, InitialState initial) {
        group.onAll(rank -> {
            initialise(rank, initial);
            return rank;
        });
    }

    /** To be called on all ranks: gives them the state before the first step. */
    public static void initialise(TrainingRank rank, InitialState initial) {
        int[] chunks = rank.placement().held(rank.rank());
        rank.forget();
        try {
            initial.fill(rank, chunks);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        for (int chunk : chunks) {
            clearMoments(rank, chunk);
        }
        rank.loaded(rank.initialScalars());
    }

    /** Gives a chunk's tensors, each as fp32. */
    @FunctionalInterface
    public interface ChunkSource {

        /** Fills the segments with weights, first and second moments of a chunk. */
        void read(int chunk, MemorySegment weights, MemorySegment first, MemorySegment second)
                throws IOException;
    }

    /** Takes a chunk's tensors, each as fp32. */
    @FunctionalInterface
    public interface ChunkSink {

        /** Takes a chunk; the segments may change when it returns. Called by several threads. */
        void add(
                int chunk, StateDigest digest, MemorySegment weights, MemorySegment first,
                MemorySegment second) throws IOException;
    }

    /**
     * Gives all ranks a stored state.
     *
     * @param source called by several threads
     * @throws CastaliaException if the state read has not the manifest's digest
     */
    public static void load(RankGroup group, Manifest manifest, ChunkSource source) {
        group.onAll(rank -> {
            load(rank, group.settings().grid(), manifest.scalarState(), source);
            return rank;
        });
        if (!group.digest().equals(manifest.digest())) {
            throw new CastaliaException(ErrorCode.CHECKPOINT_CORRUPT, "the state of step "
                    + manifest.step() + " has the digest " + group.digest().hex()
                    + " after loading; its manifest says " + manifest.digest().hex());
        }
    }

    /** To be called on all ranks: gives one of them its part of a stored state. */
    public static void load(
            TrainingRank rank, ChunkGrid grid, ScalarState scalars, ChunkSource source) {
        rank.forget();
        forEachChunk(grid, rank.placement().held(rank.rank()), (c, weights, first, second) -> {
            source.read(c, weights, first, second);
            rank.bytes().upload(rank.held().weight(c), weights);
            rank.bytes().upload(rank.held().firstMoment(c), first);
            rank.bytes().upload(rank.held().secondMoment(c), second);
        });
        rank.loaded(scalars);
    }

    /** Hands the current state to {@code sink}: every owner its chunks, side by side. */
    public static void save(RankGroup group, ChunkSink sink) {
        group.onAll(rank -> {
            save(rank, group.settings().grid(), sink);
            return rank;
        });
    }

    /** Hands the chunks that one rank owns to {@code sink}, ascending. */
    public static void save(TrainingRank rank, ChunkGrid grid, ChunkSink sink) {
        beginSaving(rank, grid, sink);
        finishSaving(rank);
    }

    /**
     * Begins to hand the chunks that one rank owns to {@code sink}, on another thread. It is finished
     * before the rank votes in its next step at the latest, and ended when it leaves the generation.
     */
    public static void beginSaving(TrainingRank rank, ChunkGrid grid, ChunkSink sink) {
        rank.state().save(new Saving(
                rank, rank.placement().owned(rank.rank()), 4L * longest(grid), sink));
    }

    /** Waits until {@code sink} has taken everything; throws what it threw. */
    public static void finishSaving(TrainingRank rank) {
        rank.state().finishSaving();
    }

    private static void forEachChunk(ChunkGrid grid, int[] chunks, ChunkSource each) {
        try (Arena arena = Arena.ofShared()) {
            MemorySegment weights = buffer(grid, arena);
            MemorySegment first = buffer(grid, arena);
            MemorySegment second = buffer(grid, arena);
            for (int c : chunks) {
                long bytes = 4L * grid.chunk(c).length();
                each.read(c, weights.asSlice(0, bytes), first.asSlice(0, bytes),
                        second.asSlice(0, bytes));
            }
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static void clearMoments(TrainingRank rank, int chunk) {
        Buffer first = rank.held().firstMoment(chunk);
        Buffer second = rank.held().secondMoment(chunk);
        rank.kernels().zero(first, first.elements());
        rank.kernels().zero(second, second.elements());
    }

    /** The master weights of a group that does not step meanwhile, read from their owners. */
    public static FlatWeights weights(RankGroup group) {
        ChunkGrid grid = group.settings().grid();
        return (offset, destination) -> {
            try (Arena arena = Arena.ofConfined()) {
                long at = offset;
                long end = offset + destination.byteSize() / Float.BYTES;
                MemorySegment host =
                        arena.allocate(4 * Math.min(end - at, ChunkGrid.LIMIT), 64);
                for (int c = chunkAt(grid, offset); at < end; c++) {
                    Chunk chunk = grid.chunk(c);
                    long count = Math.min(end, chunk.end()) - at;
                    MemorySegment part = host.asSlice(0, 4 * count);
                    TrainingRank owner = group.owner(c);
                    owner.bytes().download(
                            part, owner.held().weight(c).slice(at - chunk.offset(), count));
                    MemorySegment.copy(part, 0, destination, 4 * (at - offset), 4 * count);
                    at += count;
                }
            }
        };
    }

    private static int chunkAt(ChunkGrid grid, long offset) {
        int low = 0;
        int high = grid.size() - 1;
        while (low < high) {
            int middle = (low + high + 1) >>> 1;
            if (grid.chunk(middle).offset() <= offset) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        return low;
    }

    private static MemorySegment buffer(ChunkGrid grid, Arena arena) {
        return arena.allocate(4L * longest(grid), 64);
    }

    private static int longest(ChunkGrid grid) {
        return grid.chunks().stream().mapToInt(Chunk::length).max().orElseThrow();
    }
}
