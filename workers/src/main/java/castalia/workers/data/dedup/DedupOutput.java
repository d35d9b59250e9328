package castalia.workers.data.dedup;

import com.fasterxml.jackson.core.io.JsonStringEncoder;
import com.github.luben.zstd.ZstdOutputStream;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.Objects;
import java.util.zip.GZIPOutputStream;

/** JSON lines, compressed as the final name says. */
final class DedupOutput implements AutoCloseable {
    private static final byte[] BEFORE = "{\"text\": \"".getBytes(StandardCharsets.US_ASCII);
    private static final byte[] AFTER = "\"}".getBytes(StandardCharsets.US_ASCII);

    private final FileChannel channel;
    private final OutputStream out;

    private DedupOutput(FileChannel channel, OutputStream out) {
        this.channel = channel;
        this.out = out;
    }

    /** @param name the final name, which tells the compression */
    static DedupOutput open(Path file, String name) throws IOException {
        FileChannel channel = FileChannel.open(file, StandardOpenOption.CREATE,
                StandardOpenOption.TRUNCATE_EXISTING, StandardOpenOption.WRITE);
        try {
            OutputStream raw = new BufferedOutputStream(Channels.newOutputStream(channel), 1 << 18);
            return new DedupOutput(channel, name.endsWith(".gz")
                    ? new GZIPOutputStream(raw, 1 << 16)
                    : name.endsWith(".zst")
                            ? new BufferedOutputStream(
                                    new ZstdOutputStream(raw).setChecksum(true), 1 << 18)
                            : raw);
        } catch (IOException | RuntimeException e) {
            channel.close();
            throw e;
        }
    }

    void line(byte[] content) throws IOException {
        out.write(content);
        out.write('\n');
    }

    void text(String text) throws IOException {
        out.write(BEFORE);
        out.write(JsonStringEncoder.getInstance().quoteAsUTF8(text));
        out.write(AFTER);
        out.write('\n');
    }

    /** Ends the file and brings it to the disk. */
    void finish() throws IOException {
        out.flush();
        out.close();
    }

    /** Puts a whole file under its final name. */
    static void publish(Path file, Path name) throws IOException {
        try (FileChannel whole = FileChannel.open(file, StandardOpenOption.WRITE)) {
            whole.force(true);
        }
        move(file, name);
        try (FileChannel folder = FileChannel.open(
                Objects.requireNonNull(name.toAbsolutePath().getParent()),
                StandardOpenOption.READ)) {
            folder.force(true);
        }
    }

    private static void move(Path file, Path name) throws IOException {
        try {
            Files.move(file, name, StandardCopyOption.ATOMIC_MOVE);
        } catch (AtomicMoveNotSupportedException _) { // another file system
            Path near = name.resolveSibling(
                    name.getFileName() + ".partial-" + ProcessHandle.current().pid());
            try {
                Files.copy(file, near, StandardCopyOption.REPLACE_EXISTING);
                try (FileChannel copy = FileChannel.open(near, StandardOpenOption.WRITE)) {
                    copy.force(true);
                }
                Files.move(near, name, StandardCopyOption.ATOMIC_MOVE);
            } finally {
                Files.deleteIfExists(near);
            }
        }
    }

    @Override
    public void close() throws IOException {
        channel.close();
    }
}
