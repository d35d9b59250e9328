package castalia.checkpoints;

import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.checkpoint.Manifest;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicReferenceArray;
import org.jspecify.annotations.Nullable;

/**
 * Writes one checkpoint: chunks in any order and from any thread or process, the manifest last.
 * Nothing of an attempt that ends before {@link #publish} counts; its chunk files are reused by the
 * next attempt or removed by the {@link Sweeper}.
 */
public final class CheckpointWriter {

    private final RunFolder folder;
    private final ScalarState state;
    private final long parentStep;
    private final AtomicReferenceArray<@Nullable ChunkEntry> entries;

    /**
     * Begins a checkpoint.
     *
     * @param parentStep step of the checkpoint the process started from, or {@link
     *     Manifest#NO_PARENT}
     */
    public CheckpointWriter(RunFolder folder, ScalarState state, long parentStep) {
        this.folder = folder;
        this.state = state;
        this.parentStep = parentStep;
        this.entries = new AtomicReferenceArray<>(folder.grid().size());
    }

    /**
     * Stores one chunk, padding included. The segments are native memory and must not change
     * before this returns.
     *
     * @return what another process's writer needs to {@link #accept} it, after {@link #settle}
     * @throws StorageFullException naming the bytes the rest of the checkpoint needs
     */
    public ChunkEntry add(
            int chunk, MemorySegment weights, MemorySegment first, MemorySegment second)
            throws IOException {
        Chunk of = folder.grid().chunk(chunk);
        return add(of, Hashing.digest(of.offset(), weights, first, second), weights, first, second);
    }

    /**
     * Stores one chunk after comparing it with the digest the state had when it was computed.
     *
     * @throws CheckpointException if the memory no longer holds that state
     */
    public ChunkEntry add(
            int chunk,
            StateDigest expected,
            MemorySegment weights,
            MemorySegment first,
            MemorySegment second)
            throws IOException {
        Chunk of = folder.grid().chunk(chunk);
        StateDigest found = Hashing.digest(of.offset(), weights, first, second);
        if (!found.equals(expected)) {
            throw new CheckpointException("chunk " + chunk + " of step " + state.step()
                    + " has the digest " + found.hex() + " in memory instead of " + expected.hex()
                    + ": the memory is damaged; nothing was written");
        }
        return add(of, found, weights, first, second);
    }

    private ChunkEntry add(
            Chunk chunk,
            StateDigest digest,
            MemorySegment weights,
            MemorySegment first,
            MemorySegment second)
            throws IOException {
        if (weights.byteSize() != (long) chunk.length() * Float.BYTES) {
            throw new IllegalArgumentException("chunk " + chunk.index() + " has " + chunk.length()
                    + " elements, not " + weights.byteSize() + " bytes");
        }
        ChunkStore.Stored stored;
        try {
            stored = folder.chunks().put(weights, first, second);
        } catch (StorageFullException e) {
            throw new StorageFullException(e.folder(), missingBytes(), e);
        }
        ChunkEntry entry = new ChunkEntry(chunk, stored.sha256(), stored.bytes(), digest);
        entries.set(chunk.index(), entry);
        return entry;
    }

    /** Takes over a chunk that another process's writer has added and settled. */
    public void accept(ChunkEntry entry) {
        ChunkGrid grid = folder.grid();
        int index = entry.chunk().index();
        if (index < 0 || index >= grid.size() || !grid.chunk(index).equals(entry.chunk())) {
            throw new IllegalArgumentException(entry.chunk() + " is none of this run's");
        }
        entries.set(index, entry);
    }

    /** Makes the names of the chunks added so far durable; before that nobody may rely on them. */
    public void settle() throws IOException {
        folder.chunks().settle();
    }

    /**
     * Publishes the checkpoint. When this returns it exists and survives a power cut.
     *
     * @return the manifest that stands for the step: an earlier one, if the state was there already
     * @throws IllegalStateException if chunks are missing
     */
    public Manifest publish() throws IOException {
        List<ChunkEntry> all = new ArrayList<>(entries.length());
        for (int i = 0; i < entries.length(); i++) {
            ChunkEntry entry = entries.get(i);
            if (entry == null) {
                throw new IllegalStateException(
                        "chunk " + i + " of step " + state.step() + " was not added");
            }
            if (!folder.chunks().contains(entry.sha256(), entry.chunk().length())) {
                throw new DamagedFileException(folder.chunks().path(entry.sha256()), -1,
                        "chunk " + i + " of step " + state.step() + " is gone before its"
                                + " checkpoint was published");
            }
            all.add(entry);
        }
        settle();
        return folder.catalogue().publish(Manifest.of(
                folder.identity().hash(),
                folder.specification().numericVersion(),
                state,
                parentStep,
                all));
    }

    private long missingBytes() {
        long bytes = 0;
        for (int i = 0; i < entries.length(); i++) {
            bytes += entries.get(i) == null
                    ? ChunkFile.fileBytes(folder.grid().chunk(i).length()) : 0;
        }
        return bytes;
    }
}
