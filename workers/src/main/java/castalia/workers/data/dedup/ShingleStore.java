package castalia.workers.data.dedup;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Arrays;

/**
 * The shingle sets of some documents in a file, added in the order of the documents, then read in
 * any. Eight bytes of memory per document of the set. Not for several threads.
 */
final class ShingleStore implements AutoCloseable {
    private static final ValueLayout.OfLong LONG =
            ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final DocumentSet documents;
    private final long[] ranks;
    private final FileChannel channel;
    private final Arena arena = Arena.ofShared();
    private final ByteBuffer buffer =
            ByteBuffer.allocateDirect(1 << 20).order(ByteOrder.LITTLE_ENDIAN);
    private long[] ends = new long[1024];
    private int sets;
    private long written;
    private MemorySegment mapped = MemorySegment.NULL;

    /** @param documents whose sets will be added, all of them */
    ShingleStore(Path file, DocumentSet documents) throws IOException {
        this.documents = documents;
        this.ranks = documents.ranks();
        this.channel = FileChannel.open(file, StandardOpenOption.CREATE,
                StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.READ,
                StandardOpenOption.WRITE);
    }

    void add(long[] shingles) throws IOException {
        for (long shingle : shingles) {
            if (buffer.remaining() < Long.BYTES) {
                drain();
            }
            buffer.putLong(shingle);
        }
        written += shingles.length;
        if (sets == ends.length) {
            ends = Arrays.copyOf(ends, sets * 2);
        }
        ends[sets++] = written;
    }

    private void drain() throws IOException {
        buffer.flip();
        while (buffer.hasRemaining()) {
            channel.write(buffer);
        }
        buffer.clear();
    }

    /** Ends the adding. */
    void seal() throws IOException {
        drain();
        mapped = channel.map(MapMode.READ_ONLY, 0, written * Long.BYTES, arena);
    }

    /** The set of a document. */
    long[] get(long document) {
        int set = Math.toIntExact(documents.rank(document, ranks));
        long from = set == 0 ? 0 : ends[set - 1];
        long[] shingles = new long[Math.toIntExact(ends[set] - from)];
        MemorySegment.copy(mapped, LONG, from * Long.BYTES, shingles, 0, shingles.length);
        return shingles;
    }

    @Override
    public void close() throws IOException {
        arena.close();
        channel.close();
    }
}
