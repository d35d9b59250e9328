package castalia.checkpoints;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Set;
import java.util.UUID;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * Chunk files named by the SHA-256 of their payload: {@code ab/ab..ef.chunk}. A file is written
 * under a temporary name, made durable, and renamed, so that what has its name is whole; writing
 * the same content again reuses the file. Safe from several threads and processes. Segments must be
 * native memory; the machine must be little-endian.
 */
public final class ChunkStore {

    /** Left free by new chunks, so that manifests and logs still find room. */
    static final long RESERVED_BYTES = 1 << 20;

    static final Pattern FOLDER_NAME = Pattern.compile("[0-9a-f]{2}");
    static final Pattern FILE_NAME = Pattern.compile("([0-9a-f]{64})\\.chunk");

    private static final Pattern HASH = Pattern.compile("[0-9a-f]{64}");
    private static final int PIECE_BYTES = 1 << 20;

    private final FileOperations files;
    private final Path root;
    private final Set<Path> durableFolders = ConcurrentHashMap.newKeySet();
    private final Set<Path> unsettled = ConcurrentHashMap.newKeySet();
    private volatile @Nullable IOException broken;

    /** A store in an existing folder. */
    public ChunkStore(FileOperations files, Path root) {
        if (ByteOrder.nativeOrder() != ByteOrder.LITTLE_ENDIAN) {
            throw new IllegalStateException("chunks are little-endian; this machine is not");
        }
        this.files = files;
        this.root = root;
    }

    /**
     * A chunk in the store.
     *
     * @param sha256 its name
     * @param bytes bytes of its file
     * @param reused whether the file was there before
     */
    public record Stored(String sha256, long bytes, boolean reused) {}

    /**
     * Stores a chunk. Its content is durable when this returns, its name after {@link #settle}.
     *
     * @param weights fp32 elements, as many as there are moments
     */
    Stored put(MemorySegment weights, MemorySegment first, MemorySegment second)
            throws IOException {
        int elements = elements(weights, first, second);
        requireIntact();
        List<MemorySegment> parts = List.of(weights, first, second);
        ChunkFile.Sums sums = new ChunkFile.Sums(elements, true);
        parts.forEach(sums::update);
        int[] blocks = sums.blocks();
        String sha256 = sums.sha256();
        Path file = path(sha256);
        Path folder = durableFolder(file);
        long bytes = ChunkFile.fileBytes(elements);
        boolean reused = intact(file, elements);
        if (reused) {
            files.touch(file);
        } else {
            write(file, bytes, ChunkFile.header(elements, blocks), parts);
        }
        unsettled.add(folder);
        return new Stored(sha256, bytes, reused);
    }

    private void write(Path file, long bytes, byte[] header, List<MemorySegment> parts)
            throws IOException {
        if (files.usableBytes(root) < bytes + RESERVED_BYTES) {
            throw new StorageFullException(root, bytes, null);
        }
        Path temporary = file.resolveSibling(ExclusiveRecords.TEMPORARY + UUID.randomUUID());
        try {
            try (FileOperations.Output output = files.create(temporary)) {
                output.write(ByteBuffer.wrap(header));
                for (MemorySegment part : parts) {
                    for (long at = 0; at < part.byteSize(); at += PIECE_BYTES) {
                        output.write(part.asSlice(
                                at, Math.min(PIECE_BYTES, part.byteSize() - at)).asByteBuffer());
                    }
                }
                output.force();
            }
            files.move(temporary, file);
        } catch (IOException e) {
            IOException told = StorageFullException.orCause(files, temporary, bytes, e);
            try {
                files.delete(temporary);
            } catch (IOException left) {
                told.addSuppressed(left);
            }
            throw told;
        }
    }

    /** The folder of a file; it exists and its own entry is durable. */
    private Path durableFolder(Path file) throws IOException {
        Path folder = file.getParent();
        if (folder == null) {
            throw new IllegalStateException(file + " has no folder");
        }
        if (!durableFolders.contains(folder)) {
            files.createDirectory(folder);
            force(root);
            durableFolders.add(folder);
        }
        return folder;
    }

    /**
     * Makes the names of all chunks put so far durable. After a failure the store takes no more
     * chunks: a second attempt could succeed without having written anything.
     */
    synchronized void settle() throws IOException {
        requireIntact();
        for (Path folder : List.copyOf(unsettled)) {
            unsettled.remove(folder);
            force(folder);
        }
    }

    private void force(Path folder) throws IOException {
        try {
            files.forceDirectory(folder);
        } catch (IOException e) {
            broken = e;
            throw e;
        }
    }

    private void requireIntact() throws IOException {
        IOException cause = broken;
        if (cause != null) {
            throw new CheckpointException("storage under " + root + " failed before ("
                    + cause.getMessage() + "); check it and restart", cause);
        }
    }

    /**
     * Fills the segments with a chunk. All of it is verified before this returns; if it is damaged
     * the segments are left zero.
     *
     * @throws DamagedFileException naming the first damaged block
     */
    public void read(
            String sha256, MemorySegment weights, MemorySegment first, MemorySegment second)
            throws IOException {
        int elements = elements(weights, first, second);
        List<MemorySegment> parts = List.of(weights, first, second);
        Path file = path(sha256);
        boolean verified = false;
        try (FileChannel channel = open(file)) {
            int[] expected = readHeader(file, channel, elements);
            int start = ChunkFile.headerBytes(elements);
            long at = start;
            for (MemorySegment part : parts) {
                at = fill(file, channel, at, part);
            }
            ChunkFile.Sums sums = new ChunkFile.Sums(elements, true);
            parts.forEach(sums::update);
            compare(file, start, expected, sums.blocks());
            if (!sums.sha256().equals(sha256)) {
                throw new DamagedFileException(
                        file, -1, "the content is not the one its name says");
            }
            verified = true;
        } finally {
            if (!verified) {
                parts.forEach(part -> part.fill((byte) 0));
            }
        }
    }

    private static void compare(Path file, int start, int[] expected, int[] found)
            throws DamagedFileException {
        for (int i = 0; i < expected.length; i++) {
            if (found[i] != expected[i]) {
                long from = start + (long) i * ChunkFile.BLOCK_BYTES;
                throw new DamagedFileException(file, from, "the content is damaged in the "
                        + ChunkFile.BLOCK_BYTES + " bytes from here on");
            }
        }
    }

    /** Whether a chunk's file stands under its name with a size that fits. */
    public boolean contains(String sha256, int elements) throws IOException {
        Path file = path(sha256);
        return Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)
                && Files.size(file) == ChunkFile.fileBytes(elements);
    }

    /** Whether a file stands there, of the right size and with the right sums. */
    private boolean intact(Path file, int elements) throws IOException {
        if (!Files.isRegularFile(file, LinkOption.NOFOLLOW_LINKS)) {
            return false;
        }
        try (Arena arena = Arena.ofConfined();
                FileChannel channel = open(file)) {
            int[] expected = readHeader(file, channel, elements);
            ChunkFile.Sums sums = new ChunkFile.Sums(elements, false);
            MemorySegment piece = arena.allocate(PIECE_BYTES);
            int start = ChunkFile.headerBytes(elements);
            long at = start;
            long end = ChunkFile.fileBytes(elements);
            while (at < end) {
                MemorySegment part = piece.asSlice(0, Math.min(PIECE_BYTES, end - at));
                at = fill(file, channel, at, part);
                sums.update(part);
            }
            compare(file, start, expected, sums.blocks());
            return true;
        } catch (DamagedFileException e) {
            return false;
        }
    }

    private static FileChannel open(Path file) throws IOException {
        try {
            return FileChannel.open(file, StandardOpenOption.READ, LinkOption.NOFOLLOW_LINKS);
        } catch (NoSuchFileException e) {
            throw new DamagedFileException(file, -1, "the chunk is missing");
        } catch (IOException e) {
            if (Files.isSymbolicLink(file)) {
                throw new DamagedFileException(file, -1, "a symbolic link instead of a chunk");
            }
            throw e;
        }
    }

    private static int[] readHeader(Path file, FileChannel channel, int elements)
            throws IOException {
        long size = channel.size();
        if (size != ChunkFile.fileBytes(elements)) {
            throw new DamagedFileException(file, Math.min(size, ChunkFile.fileBytes(elements)),
                    "the file has " + size + " bytes instead of " + ChunkFile.fileBytes(elements));
        }
        byte[] header = new byte[ChunkFile.headerBytes(elements)];
        fill(file, channel, 0, ByteBuffer.wrap(header));
        return ChunkFile.blockSums(file, header, elements);
    }

    private static long fill(Path file, FileChannel channel, long position, MemorySegment into)
            throws IOException {
        for (long at = 0; at < into.byteSize(); at += PIECE_BYTES) {
            long part = Math.min(PIECE_BYTES, into.byteSize() - at);
            fill(file, channel, position + at, into.asSlice(at, part).asByteBuffer());
        }
        return position + into.byteSize();
    }

    private static void fill(Path file, FileChannel channel, long position, ByteBuffer into)
            throws IOException {
        long at = position;
        while (into.hasRemaining()) {
            int read = channel.read(into, at);
            if (read < 0) {
                throw new DamagedFileException(file, at, "the file is truncated");
            }
            at += read;
        }
    }

    /** Where a chunk's file is or would be. */
    public Path path(String sha256) {
        if (!HASH.matcher(sha256).matches()) {
            throw new IllegalArgumentException("no SHA-256: " + sha256);
        }
        return root.resolve(sha256.substring(0, 2)).resolve(sha256 + ".chunk");
    }

    Path root() {
        return root;
    }

    private static int elements(MemorySegment w, MemorySegment first, MemorySegment second) {
        long bytes = w.byteSize();
        if (bytes == 0
                || bytes % 8 != 0
                || bytes > (long) Integer.MAX_VALUE / 3
                || first.byteSize() != bytes
                || second.byteSize() != bytes) {
            throw new IllegalArgumentException("a chunk of " + bytes + ", " + first.byteSize()
                    + " and " + second.byteSize() + " bytes");
        }
        if (!w.isNative() || !first.isNative() || !second.isNative()) {
            throw new IllegalArgumentException("a chunk's segments must be native memory");
        }
        return (int) (bytes / Float.BYTES);
    }
}
