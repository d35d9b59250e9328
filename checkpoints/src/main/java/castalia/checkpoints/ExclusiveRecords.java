package castalia.checkpoints;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.FileSystemException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.UUID;
import java.util.stream.Stream;

/**
 * Small records in a folder, each published under its name exactly once, whoever tries: writers may
 * be threads, processes or machines that share the folder.
 *
 * <p>A record is written to a temporary file with a random name, made durable, and linked to its
 * own name, which fails if the name exists. Then it is asked whether name and temporary are one
 * file: on network storage a link may succeed and yet be reported as failed. The folder is made
 * durable before any outcome is told.
 *
 * <p>Format: 8 bytes of magic, the length as a 64-bit little-endian integer, the record, and the
 * SHA-256 of all before.
 */
public final class ExclusiveRecords {

    /** Prefix of temporary files, here and in the chunk store. */
    static final String TEMPORARY = ".tmp-";

    private static final byte[] MAGIC = {'C', 'A', 'S', 'T', 'R', 'E', 'C', '1'};
    private static final int START = MAGIC.length + Long.BYTES;
    private static final int SEAL = Hashing.SHA256_BYTES;

    private final FileOperations files;
    private final Path folder;
    private final int mostBytes;

    /**
     * Records in an existing folder.
     *
     * @param mostBytes longest record that is written or read
     */
    public ExclusiveRecords(FileOperations files, Path folder, int mostBytes) {
        if (mostBytes < 0 || mostBytes > Integer.MAX_VALUE - START - SEAL) {
            throw new IllegalArgumentException("records of " + mostBytes + " bytes");
        }
        this.files = files;
        this.folder = folder;
        this.mostBytes = mostBytes;
    }

    /** What became of an attempt to publish. */
    public sealed interface Outcome {

        /** The name now stands for the record given. */
        record Won() implements Outcome {}

        /** The name stood for another record before. */
        final class Lost implements Outcome {

            private final byte[] existing;

            private Lost(byte[] existing) {
                this.existing = existing;
            }

            /** The record that was there. */
            public byte[] existing() {
                return existing.clone();
            }
        }
    }

    /**
     * Publishes a record. When this returns, the record that has the name is durable.
     *
     * @param name a plain file name, see {@link SafeNames}
     * @throws DamagedFileException if another record has the name and is damaged
     */
    public Outcome publish(String name, byte[] record) throws IOException {
        if (record.length > mostBytes) {
            throw new IllegalArgumentException(name + " has " + record.length
                    + " bytes; a record here has at most " + mostBytes);
        }
        Path path = SafeNames.resolve(folder, name);
        Path temporary = folder.resolve(TEMPORARY + UUID.randomUUID());
        byte[] sealed = seal(record);
        boolean won;
        try {
            write(temporary, sealed);
            won = link(path, temporary);
            files.forceDirectory(folder);
        } catch (IOException e) {
            discard(temporary, e);
            throw e;
        }
        files.delete(temporary);
        return won
                ? new Outcome.Won()
                : new Outcome.Lost(read(name).orElseThrow(() -> new CheckpointException(
                        path + " was there and is gone; someone removes records here")));
    }

    private void write(Path temporary, byte[] sealed) throws IOException {
        try (FileOperations.Output output = files.create(temporary)) {
            output.write(ByteBuffer.wrap(sealed));
            output.force();
        } catch (IOException e) {
            throw StorageFullException.orCause(files, temporary, sealed.length, e);
        }
    }

    private boolean link(Path path, Path temporary) throws IOException {
        try {
            files.link(path, temporary);
            return true;
        } catch (FileAlreadyExistsException e) {
            return Files.isSameFile(path, temporary);
        } catch (UnsupportedOperationException e) {
            throw noLinks(e);
        } catch (FileSystemException e) {
            String reason = String.valueOf(e.getReason());
            if (reason.contains("not permitted") || reason.contains("not supported")) {
                throw noLinks(e);
            }
            throw e;
        }
    }

    private CheckpointException noLinks(Exception cause) {
        return new CheckpointException(folder + " is on storage without hard links, which are"
                + " needed to publish a record once; choose a folder on another file system",
                cause);
    }

    private void discard(Path temporary, IOException cause) {
        try {
            files.delete(temporary);
        } catch (IOException e) {
            cause.addSuppressed(e);
        }
    }

    /**
     * Reads a record, or nothing where there is none of that name.
     *
     * @throws DamagedFileException if it is not as it was written
     */
    public Optional<byte[]> read(String name) throws IOException {
        Path path = SafeNames.resolve(folder, name);
        byte[] sealed;
        try (FileChannel channel = FileChannel.open(
                path, StandardOpenOption.READ, LinkOption.NOFOLLOW_LINKS)) {
            long size = channel.size();
            if (size > (long) mostBytes + START + SEAL) {
                throw new DamagedFileException(path, -1, "it has " + size
                        + " bytes; a record here has at most " + mostBytes);
            }
            sealed = new byte[(int) size];
            ByteBuffer into = ByteBuffer.wrap(sealed);
            int read = 0;
            while (into.hasRemaining() && read >= 0) {
                read = channel.read(into);
            }
            if (into.hasRemaining()) {
                throw new DamagedFileException(path, into.position(), "the record is cut off");
            }
        } catch (NoSuchFileException e) {
            return Optional.empty();
        }
        return Optional.of(open(path, sealed));
    }

    /** The names of all records, sorted. */
    public List<String> names() throws IOException {
        try (Stream<Path> list = Files.list(folder)) {
            return list.map(p -> String.valueOf(p.getFileName()))
                    .filter(SafeNames::plain)
                    .sorted()
                    .toList();
        }
    }

    /** Removes a record; the removal is durable when this returns. False if there was none. */
    public boolean remove(String name) throws IOException {
        boolean removed = files.delete(SafeNames.resolve(folder, name));
        files.forceDirectory(folder);
        return removed;
    }

    public Path path(String name) throws IOException {
        return SafeNames.resolve(folder, name);
    }

    private static byte[] seal(byte[] record) {
        ByteBuffer bytes = ByteBuffer.allocate(START + record.length + SEAL)
                .order(ByteOrder.LITTLE_ENDIAN);
        bytes.put(MAGIC).putLong(record.length).put(record);
        MessageDigest hash = Hashing.sha256();
        hash.update(bytes.duplicate().flip());
        return bytes.put(hash.digest()).array();
    }

    private static byte[] open(Path path, byte[] sealed) throws DamagedFileException {
        if (sealed.length < START + SEAL
                || !Arrays.equals(sealed, 0, MAGIC.length, MAGIC, 0, MAGIC.length)) {
            throw new DamagedFileException(path, 0, "no record of this program");
        }
        int end = sealed.length - SEAL;
        long length = ByteBuffer.wrap(sealed).order(ByteOrder.LITTLE_ENDIAN).getLong(MAGIC.length);
        if (length != end - START) {
            throw new DamagedFileException(path, MAGIC.length, "the record is damaged: it declares "
                    + length + " bytes and has " + (end - START));
        }
        MessageDigest hash = Hashing.sha256();
        hash.update(sealed, 0, end);
        if (!Arrays.equals(hash.digest(), Arrays.copyOfRange(sealed, end, sealed.length))) {
            throw new DamagedFileException(path, -1, "the record is damaged: its hash is wrong");
        }
        return Arrays.copyOfRange(sealed, START, end);
    }
}
