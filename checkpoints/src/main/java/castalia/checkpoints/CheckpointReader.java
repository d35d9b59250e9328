package castalia.checkpoints;

import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.checkpoint.Manifest;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.FlatLayout;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;

/**
 * One checkpoint, opened for reading. Every chunk is verified whenever it is read. Safe from
 * several threads.
 */
public final class CheckpointReader {

    private final RunFolder folder;
    private final Manifest manifest;

    private CheckpointReader(RunFolder folder, Manifest manifest) {
        this.folder = folder;
        this.manifest = manifest;
    }

    /**
     * Opens the checkpoint of a step: its manifest is verified, its chunks are not yet.
     *
     * @throws CheckpointException if there is none, or it does not fit the run
     */
    public static CheckpointReader open(RunFolder folder, long step) throws IOException {
        Manifest manifest = folder.catalogue().read(step);
        String numericVersion = folder.specification().numericVersion();
        if (!manifest.numericVersion().equals(numericVersion)) {
            throw new CheckpointException(folder.catalogue().path(step)
                    + ": the state was computed with numeric version " + manifest.numericVersion()
                    + ", the run has " + numericVersion);
        }
        List<Chunk> chunks = manifest.chunks().stream().map(ChunkEntry::chunk).toList();
        if (!chunks.equals(folder.grid().chunks())) {
            throw new CheckpointException(folder.catalogue().path(step)
                    + ": its chunks are not those of the run's specification");
        }
        return new CheckpointReader(folder, manifest);
    }

    /**
     * The newest checkpoint found whole, and what was wrong with those passed over.
     *
     * @param reader the newest verified checkpoint; empty if there is none
     * @param passedOver damage of newer checkpoints, newest first
     */
    public record Latest(Optional<CheckpointReader> reader, List<Damage> passedOver) {

        public Latest {
            passedOver = List.copyOf(passedOver);
        }
    }

    /**
     * The newest checkpoint of which every byte is as it was written.
     *
     * @param fallBack whether an older checkpoint may be taken where the newest is damaged
     * @param threads threads that read and hash
     * @throws CheckpointException if the newest is damaged and falling back is not wanted
     */
    public static Latest latest(RunFolder folder, boolean fallBack, int threads)
            throws IOException {
        List<Damage> passedOver = new ArrayList<>();
        for (long step : folder.catalogue().steps().reversed()) {
            CheckpointVerifier.Report report = CheckpointVerifier.verify(folder, step, threads);
            if (report.intact()) {
                return new Latest(Optional.of(open(folder, step)), passedOver);
            }
            passedOver.addAll(report.damages());
            if (!fallBack) {
                throw new CheckpointException("the newest checkpoint, step " + step
                        + ", is damaged (" + report.damages().getFirst()
                        + "); an older one may be used instead");
            }
        }
        return new Latest(Optional.empty(), passedOver);
    }

    public Manifest manifest() {
        return manifest;
    }

    public long step() {
        return manifest.step();
    }

    public RunFolder folder() {
        return folder;
    }

    /** The layout in whose order the checkpoint lies. */
    public FlatLayout layout() {
        return folder.grid().layout();
    }

    /**
     * Fills the segments with a chunk, padding included.
     *
     * @throws DamagedFileException if the chunk's file is missing or damaged; the segments are zero
     *     then
     */
    public void read(
            int chunk, MemorySegment weights, MemorySegment first, MemorySegment second)
            throws IOException {
        folder.chunks().read(manifest.chunks().get(chunk).sha256(), weights, first, second);
    }

    /** The weights in flat order; a few chunks are kept in memory of their own. */
    public FlatWeights weights() {
        return elements(Kind.WEIGHTS, new Cache(layout().tensorSlices() + 1));
    }

    /** What a chunk holds of each element. */
    public enum Kind {
        WEIGHTS, FIRST_MOMENTS, SECOND_MOMENTS
    }

    /** One kind in flat order, through a cache that may be shared between kinds. */
    FlatWeights elements(Kind kind, Cache cache) {
        return (offset, destination) -> {
            long end = offset + destination.byteSize() / Float.BYTES;
            long at = offset;
            for (int i = chunkAt(offset); at < end; i++) {
                Chunk chunk = folder.grid().chunk(i);
                long count = Math.min(end, chunk.end()) - at;
                cache.copy(i, kind, at - chunk.offset(), destination.asSlice(
                        (at - offset) * Float.BYTES, count * Float.BYTES));
                at += count;
            }
        };
    }

    /** The chunk that holds a flat element. */
    int chunkAt(long offset) {
        int low = 0;
        int high = folder.grid().size() - 1;
        while (low < high) {
            int middle = (low + high) >>> 1;
            if (folder.grid().chunk(middle).end() <= offset) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low;
    }

    /** The chunks read last, in memory that the garbage collector frees. */
    final class Cache {

        private final int most;
        private final LinkedHashMap<Integer, ChunkBuffers> held =
                new LinkedHashMap<>(16, 0.75f, true);

        Cache(int most) {
            this.most = most;
        }

        synchronized void copy(int chunk, Kind kind, long from, MemorySegment destination)
                throws IOException {
            MemorySegment.copy(get(chunk).of(kind), from * Float.BYTES,
                    destination, 0, destination.byteSize());
        }

        private ChunkBuffers get(int chunk) throws IOException {
            ChunkBuffers buffers = held.get(chunk);
            if (buffers == null) {
                buffers = memory(folder.grid().chunk(chunk).length());
                read(chunk, buffers.weights(), buffers.first(), buffers.second());
                held.put(chunk, buffers);
            }
            return buffers;
        }

        /** Memory for a chunk: that of the one used longest ago, if it is full and fits. */
        private ChunkBuffers memory(int elements) {
            if (held.size() >= most) {
                ChunkBuffers oldest = held.pollFirstEntry().getValue();
                if (oldest.weights().byteSize() == (long) elements * Float.BYTES) {
                    return oldest;
                }
            }
            return ChunkBuffers.allocate(Arena.ofAuto(), elements);
        }
    }
}
