package castalia.checkpoints;

import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.layout.Chunk;
import castalia.protocol.step.StateDigest;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.util.Comparator;
import java.util.List;
import java.util.SortedMap;
import java.util.concurrent.ConcurrentSkipListMap;

/** Reads every byte of a checkpoint and says what is not as it was written. */
public final class CheckpointVerifier {

    private static final int MOST_DAMAGES = 1000;

    private CheckpointVerifier() {}

    /**
     * What verification found.
     *
     * @param step the checkpoint
     * @param chunks chunks read
     * @param bytes bytes of the chunk files that were found whole
     * @param damages everything wrong, in the order of the chunks; at most a thousand are listed
     */
    public record Report(long step, int chunks, long bytes, List<Damage> damages) {

        public Report {
            damages = List.copyOf(damages);
        }

        public boolean intact() {
            return damages.isEmpty();
        }
    }

    /**
     * Verifies the checkpoint of a step: manifest, and size, checksums, hash and digest of every
     * chunk. Damage is a finding, not an exception; storage that cannot be read is one.
     */
    public static Report verify(RunFolder folder, long step, int threads) throws IOException {
        CheckpointReader reader;
        try {
            reader = CheckpointReader.open(folder, step);
        } catch (CheckpointException e) {
            return new Report(step, 0, 0, List.of(Damage.of(folder.catalogue().path(step), e)));
        }
        SortedMap<Integer, Damage> damages = new ConcurrentSkipListMap<>();
        List<ChunkEntry> entries = reader.manifest().chunks();
        int largest = entries.stream().map(ChunkEntry::chunk).map(Chunk::length)
                .max(Comparator.naturalOrder()).orElse(0);
        Parallel.run(threads, entries.size(), indices -> {
            try (Arena arena = Arena.ofConfined()) {
                ChunkBuffers buffers = ChunkBuffers.allocate(arena, largest);
                for (int i = indices.next(); i >= 0; i = indices.next()) {
                    try {
                        verify(reader, entries.get(i), buffers);
                    } catch (DamagedFileException e) {
                        if (damages.size() < MOST_DAMAGES) {
                            damages.put(i, Damage.of(e.file(), e));
                        }
                    }
                }
            }
        });
        long bytes = 0;
        for (ChunkEntry entry : entries) {
            bytes += damages.containsKey(entry.chunk().index()) ? 0 : entry.bytes();
        }
        return new Report(step, entries.size(), bytes, List.copyOf(damages.values()));
    }

    private static void verify(CheckpointReader reader, ChunkEntry entry, ChunkBuffers scratch)
            throws IOException {
        Chunk chunk = entry.chunk();
        ChunkBuffers part = scratch.leading(chunk.length());
        reader.read(chunk.index(), part.weights(), part.first(), part.second());
        StateDigest found =
                Hashing.digest(chunk.offset(), part.weights(), part.first(), part.second());
        if (!found.equals(entry.digest())) {
            throw new DamagedFileException(
                    reader.folder().chunks().path(entry.sha256()), -1,
                    "chunk " + chunk.index() + " has the digest " + found.hex()
                            + ", the manifest says " + entry.digest().hex());
        }
        if (entry.bytes() != ChunkFile.fileBytes(chunk.length())) {
            throw new DamagedFileException(
                    reader.folder().catalogue().path(reader.step()), -1,
                    "chunk " + chunk.index() + " is said to take " + entry.bytes() + " bytes");
        }
    }
}
