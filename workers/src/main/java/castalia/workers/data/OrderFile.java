package castalia.workers.data;

import castalia.workers.data.SampleOrder.Request;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.util.Objects;
import java.util.Optional;
import java.util.zip.CRC32C;

/**
 * A finished order in a file, mapped to read. All little endian:
 *
 * <pre>
 * 0    8   magic "CASORDR1"
 * 8    32  key: SHA-256 of all that determines the order
 * 40   24  CRC-32C of the document list, of the starts, of the shuffled samples
 * 64       the three arrays as they lie in memory, each padded to 8 bytes
 * </pre>
 *
 * <p>The arrays' lengths follow from the key's content, so the file states none that could lie.
 */
final class OrderFile {
    private static final long MAGIC = 0x315244524f534143L;
    private static final int HEADER = 64;
    private static final int KEY_AT = 8;
    private static final int CHECKS_AT = 40;
    private static final int PIECE = 1 << 20;
    private static final int KEY_BYTES = 32;
    private static final String PARTIAL = ".partial-";

    private final Path path;
    private final Request request;
    private final OrderPlan plan;
    private final byte[] key;

    OrderFile(Path path, Request request, OrderPlan plan, byte[] key) {
        this.path = path;
        this.request = request;
        this.plan = plan;
        this.key = key.clone();
    }

    /** SHA-256 of all that determines an order: the request and the sizes it ranges over. */
    static byte[] key(SequenceSizes sizes, Request request) {
        MessageDigest digest = Sha256.start();
        for (String line : request.lines()) {
            digest.update((line + "\n").getBytes(java.nio.charset.StandardCharsets.US_ASCII));
        }
        ByteBuffer piece = ByteBuffer.allocate(PIECE).order(ByteOrder.LITTLE_ENDIAN);
        for (long d = request.firstDocument(); d < request.endDocument(); d++) {
            if (!piece.hasRemaining()) {
                digest.update(piece.flip());
                piece.clear();
            }
            piece.putInt(sizes.size(d));
        }
        digest.update(piece.flip());
        return digest.digest();
    }

    private static long padded(long bytes) {
        return (bytes + 7) & -8L;
    }

    private long startsAt() {
        return HEADER + padded(plan.documentBytes(request));
    }

    private long shuffleAt() {
        return startsAt() + padded(plan.pairBytes());
    }

    private long length() {
        return shuffleAt() + padded(plan.shuffleBytes());
    }

    /**
     * Opens the file; empty if there is none, or another or a damaged one: every byte is read.
     *
     * @throws IOException if it cannot be read
     */
    Optional<SampleOrder> read() throws IOException {
        if (ByteOrder.nativeOrder() != ByteOrder.LITTLE_ENDIAN) {
            return Optional.empty();
        }
        MemorySegment file;
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            if (channel.size() != length()) {
                return Optional.empty();
            }
            file = channel.map(MapMode.READ_ONLY, 0, length(), Arena.ofAuto());
        } catch (NoSuchFileException e) {
            return Optional.empty();
        }
        IndexArray documents = IndexArray.in(
                file.asSlice(HEADER, plan.documentBytes(request)), plan.documents(),
                request.endDocument());
        IndexArray starts = IndexArray.in(file.asSlice(startsAt(), plan.pairBytes()),
                2 * (plan.samples() + 1), plan.largestPair());
        IndexArray shuffle = IndexArray.in(file.asSlice(shuffleAt(), plan.shuffleBytes()),
                plan.samples(), plan.samples());
        try {
            boolean whole = file.get(TokenDtype.LONG, 0) == MAGIC
                    && file.asSlice(KEY_AT, KEY_BYTES).mismatch(MemorySegment.ofArray(key)) < 0
                    && intact(file, 0, documents)
                    && intact(file, 1, starts)
                    && intact(file, 2, shuffle);
            return whole
                    ? Optional.of(new SampleOrder(request, plan, documents, starts, shuffle))
                    : Optional.empty();
        } catch (InternalError e) {
            throw new IOException("the storage failed, or the file shrank", e);
        }
    }

    private static boolean intact(MemorySegment file, int array, IndexArray values) {
        CRC32C check = new CRC32C();
        MemorySegment memory = values.memory(values.length());
        for (long at = 0; at < memory.byteSize(); at += PIECE) {
            check.update(memory.asSlice(at, Math.min(PIECE, memory.byteSize() - at))
                    .asByteBuffer());
        }
        return file.get(TokenDtype.LONG, CHECKS_AT + 8L * array) == check.getValue();
    }

    /**
     * Builds the order and publishes it: whoever looks finds no file or the whole one. Memory: one
     * of the three arrays at a time.
     */
    void write(SequenceSizes sizes, DataProgress progress) throws IOException {
        long free = Files.getFileStore(
                Objects.requireNonNull(path.toAbsolutePath().getParent())).getUsableSpace();
        if (free < length()) {
            throw new IOException(length() + " bytes are needed, " + free + " are free");
        }
        Path partial = path.resolveSibling(path.getFileName() + PARTIAL
                + ProcessHandle.current().pid() + "-" + System.nanoTime());
        OrderBuilder builder = new OrderBuilder(
                sizes, request, plan, new NumpyRandomState(request.seed()), progress);
        try {
            try (FileChannel channel = FileChannel.open(partial, StandardOpenOption.CREATE_NEW,
                    StandardOpenOption.WRITE)) {
                write(channel, builder);
            }
            Files.move(partial, path, StandardCopyOption.ATOMIC_MOVE);
        } finally {
            Files.deleteIfExists(partial);
        }
    }

    /** Removes what processes that were killed left of this file; only while nobody writes it. */
    static void removePartial(Path path) throws IOException {
        Path folder = Objects.requireNonNull(path.toAbsolutePath().getParent());
        String start = path.getFileName() + PARTIAL;
        try (DirectoryStream<Path> left = Files.newDirectoryStream(
                folder, file -> file.getFileName().toString().startsWith(start))) {
            for (Path file : left) {
                Files.deleteIfExists(file);
            }
        } catch (DirectoryIteratorException e) {
            throw e.getCause();
        }
    }

    private void write(FileChannel channel, OrderBuilder builder) throws IOException {
        ByteBuffer header = ByteBuffer.allocate(HEADER).order(ByteOrder.LITTLE_ENDIAN);
        header.putLong(MAGIC).put(key);
        try (Arena arena = Arena.ofShared()) {
            IndexArray documents = builder.documents(arena);
            Appended list = new Appended(channel, HEADER);
            list.take(documents, documents.length());
            header.putLong(list.check.getValue());
            Appended starts = new Appended(channel, startsAt());
            builder.starts(documents, starts);
            header.putLong(starts.check.getValue());
        }
        try (Arena arena = Arena.ofShared()) {
            IndexArray shuffle = builder.shuffle(arena);
            Appended samples = new Appended(channel, shuffleAt());
            samples.take(shuffle, shuffle.length());
            header.putLong(samples.check.getValue());
        }
        if (channel.size() < length()) { // the padding of the last array
            channel.write(ByteBuffer.allocate(1), length() - 1);
        }
        header.flip();
        while (header.hasRemaining()) {
            channel.write(header, header.position());
        }
        channel.force(true);
    }

    /** Writes entries one after another from a place of the file on, and sums them up. */
    private static final class Appended implements OrderBuilder.Sink {
        private final FileChannel channel;
        private final CRC32C check = new CRC32C();
        private long at;

        Appended(FileChannel channel, long at) {
            this.channel = channel;
            this.at = at;
        }

        @Override
        public void take(IndexArray values, long count) throws IOException {
            MemorySegment memory = values.memory(count);
            for (long from = 0; from < memory.byteSize(); from += PIECE) {
                ByteBuffer piece = memory
                        .asSlice(from, Math.min(PIECE, memory.byteSize() - from)).asByteBuffer();
                check.update(piece.duplicate());
                while (piece.hasRemaining()) {
                    at += channel.write(piece, at);
                }
            }
        }
    }
}
