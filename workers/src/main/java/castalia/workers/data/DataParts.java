package castalia.workers.data;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * Cuts a {@code .bin} file into numbered parts, joins parts again, and sums both up. Results are
 * written under temporary names and renamed once all of them are on disk, the index last where it
 * is copied along; what is read is never changed.
 */
public final class DataParts {
    /** The size of the parts the Pythia data is published in. */
    public static final long PUBLISHED_BYTES = 5_000_000_000L;

    private static final long PIECE = 1 << 20;

    private DataParts() {}

    /** One file and what it holds. */
    public record Part(Path file, long bytes, String sha256) {}

    /**
     * The parts of a token file.
     *
     * @param bytes of all parts together
     * @param sha256 of all parts one after another: of the joined file
     */
    public record Sums(List<Part> parts, long bytes, String sha256) {}

    /** SHA-256 of each part of a prefix, or of its one file, and of the whole; reads everything. */
    public static Sums checksum(Path prefix, DataProgress progress) {
        List<Path> files = TokenBytes.files(prefix);
        Whole whole = new Whole(total(files), progress);
        List<Part> parts = new ArrayList<>();
        for (Path file : files) {
            try (Arena arena = Arena.ofConfined()) {
                MemorySegment bytes = Mapped.file(file, arena);
                parts.add(new Part(file, bytes.byteSize(), whole.take(bytes, file, null)));
            } catch (IOException e) {
                throw failed(file, e);
            }
        }
        return whole.sums(parts);
    }

    /**
     * Cuts {@code prefix.bin} into parts of {@code partBytes} (the last may be shorter), beside it
     * or in another folder.
     *
     * @param target prefix of the parts
     * @throws DataException if a part exists already, or there would be too many
     */
    public static Sums shard(Path prefix, Path target, long partBytes, DataProgress progress) {
        Path bin = TokenFile.binPath(prefix);
        if (partBytes < 1) {
            throw new DataException("parts of " + partBytes + " bytes; at least 1 is needed");
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment source = Mapped.file(bin, arena);
            long count = Math.max(1, Math.ceilDiv(source.byteSize(), partBytes));
            if (count > ShardNames.MOST) {
                throw new DataException(bin + ": parts of " + partBytes + " bytes would be " + count
                        + ", at most " + ShardNames.MOST + " are possible; give a larger --size");
            }
            List<Path> there = ShardNames.find(target);
            if (!there.isEmpty()) {
                throw new DataException(there.getFirst()
                        + ": exists already; remove the parts or choose another folder");
            }
            Whole whole = new Whole(source.byteSize(), progress);
            List<Part> parts = new ArrayList<>();
            try (Pending pending = new Pending()) {
                for (int i = 0; i < count; i++) {
                    MemorySegment part = source.asSlice(i * partBytes,
                            Math.min(partBytes, source.byteSize() - i * partBytes));
                    Path file = ShardNames.part(target, i, (int) count);
                    try (FileChannel out = pending.open(file)) {
                        parts.add(new Part(file, part.byteSize(), whole.take(part, bin, out)));
                        out.force(true);
                    }
                }
                pending.copyIndex(prefix, target);
                pending.publish();
            } catch (IOException e) {
                throw failed(target, e);
            }
            return whole.sums(parts);
        }
    }

    /**
     * Joins the parts of a prefix to one {@code target.bin}.
     *
     * @throws DataException if a part is missing, or the file exists already
     */
    public static Sums unshard(Path prefix, Path target, DataProgress progress) {
        List<Path> files = ShardNames.find(prefix);
        if (files.isEmpty()) {
            throw new DataException(ShardNames.part(prefix, 0, 1) + ": there are no parts "
                    + prefix.getFileName() + "-00000-of-NNNNN.bin; give the prefix before the"
                    + " number");
        }
        Path bin = TokenFile.binPath(target);
        if (Files.exists(bin)) {
            throw new DataException(bin + ": exists already; remove it or give another --out");
        }
        Whole whole = new Whole(total(files), progress);
        List<Part> parts = new ArrayList<>();
        try (Pending pending = new Pending(); FileChannel out = pending.open(bin)) {
            for (Path file : files) {
                try (Arena arena = Arena.ofConfined()) {
                    MemorySegment bytes = Mapped.file(file, arena);
                    parts.add(new Part(file, bytes.byteSize(), whole.take(bytes, file, out)));
                }
            }
            out.force(true);
            pending.copyIndex(prefix, target);
            pending.publish();
        } catch (IOException e) {
            throw failed(bin, e);
        }
        return whole.sums(parts);
    }

    private static long total(List<Path> files) {
        long bytes = 0;
        for (Path file : files) {
            try {
                bytes += Files.size(file);
            } catch (IOException e) {
                throw new DataException(file + ": no such file, or it cannot be read; give PREFIX of"
                        + " PREFIX.bin or of its parts", e);
            }
        }
        return bytes;
    }

    private static DataException failed(Path path, IOException cause) {
        return new DataException(path + ": cannot be written (" + cause + "); check the folder's"
                + " rights and the free space, then start again", cause);
    }

    /** Sums up a whole while its parts pass by. */
    private static final class Whole {
        private final MessageDigest digest = Sha256.start();
        private final long total;
        private final DataProgress progress;
        private long done;

        Whole(long total, DataProgress progress) {
            this.total = Math.max(1, total);
            this.progress = progress;
        }

        /** SHA-256 of one part, which is copied on the way if there is somewhere to. */
        String take(MemorySegment part, Path file, @Nullable FileChannel out)
                throws IOException {
            MessageDigest own = Sha256.start();
            for (long at = 0; at < part.byteSize(); at += PIECE) {
                MemorySegment piece = part.asSlice(at, Math.min(PIECE, part.byteSize() - at));
                try {
                    own.update(piece.asByteBuffer());
                    digest.update(piece.asByteBuffer());
                } catch (InternalError e) {
                    throw new DataException(file + ": cannot be read; the file shrank while it was"
                            + " in use, or the storage failed. Restore it and try again", e);
                }
                if (out != null) {
                    ByteBuffer bytes = piece.asByteBuffer();
                    while (bytes.hasRemaining()) {
                        out.write(bytes);
                    }
                }
                done += piece.byteSize();
                progress.at(done, total);
            }
            return Sha256.hex(own);
        }

        Sums sums(List<Part> parts) {
            return new Sums(List.copyOf(parts), done, Sha256.hex(digest));
        }
    }

    /** Files under temporary names, renamed together; removed if that does not come to pass. */
    private static final class Pending implements AutoCloseable {
        private final Map<Path, Path> names = new LinkedHashMap<>();

        FileChannel open(Path file) throws IOException {
            Files.createDirectories(Objects.requireNonNull(file.toAbsolutePath().getParent()));
            Path partial = file.resolveSibling(
                    file.getFileName() + ".partial-" + ProcessHandle.current().pid());
            names.put(partial, file);
            return FileChannel.open(partial, StandardOpenOption.CREATE,
                    StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE);
        }

        /** Copies the index too where results go under another name and have none there. */
        void copyIndex(Path from, Path to) throws IOException {
            Path index = TokenFile.indexPath(from);
            Path copy = TokenFile.indexPath(to);
            if (!Files.exists(index) || Files.exists(copy)) {
                return;
            }
            try (FileChannel out = open(copy);
                    FileChannel in = FileChannel.open(index, StandardOpenOption.READ)) {
                for (long at = 0; at < in.size();) {
                    at += in.transferTo(at, in.size() - at, out);
                }
                out.force(true);
            }
        }

        void publish() throws IOException {
            for (Map.Entry<Path, Path> name : names.entrySet()) {
                Files.move(name.getKey(), name.getValue(), StandardCopyOption.ATOMIC_MOVE);
            }
            Path one = names.values().iterator().next(); // all lie in one folder
            try (FileChannel folder = FileChannel.open(
                    Objects.requireNonNull(one.toAbsolutePath().getParent()),
                    StandardOpenOption.READ)) {
                folder.force(true);
            }
        }

        @Override
        public void close() throws IOException {
            for (Path partial : names.keySet()) {
                Files.deleteIfExists(partial);
            }
        }
    }
}
