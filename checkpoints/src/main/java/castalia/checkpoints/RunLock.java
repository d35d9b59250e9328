package castalia.checkpoints;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/**
 * The lock that keeps apart those who would train in a run folder beside each other. The operating
 * system releases it when the process ends, however it ends; the file stays and says who holds or
 * held it.
 */
final class RunLock implements AutoCloseable {

    private static final int MOST_TEXT = 200;
    private static final long LOOK_NANOS = 2_000_000_000L;

    /** A byte that who holds the lock locks too: who looks tries this one and is in nobody's way. */
    private static final long SHOWN = 1;

    /**
     * Locks held by this process. Closing any channel to a file releases the process's lock on it,
     * so a second attempt must be refused before it opens one.
     */
    private static final Set<Path> HELD = ConcurrentHashMap.newKeySet();

    private final Path key;
    private final FileChannel channel;

    private RunLock(Path key, FileChannel channel) {
        this.key = key;
        this.channel = channel;
    }

    /**
     * Takes the lock.
     *
     * @throws CheckpointException if another holds it, naming its process
     */
    static synchronized RunLock acquire(Path file) throws IOException {
        Path folder = folder(file);
        Path key = folder.toRealPath();
        if (!HELD.add(key)) {
            throw new FolderInUseException(folder, thisProcess(), "this process");
        }
        FileChannel channel = null;
        try {
            channel = FileChannel.open(
                    file,
                    StandardOpenOption.CREATE,
                    StandardOpenOption.READ,
                    StandardOpenOption.WRITE,
                    LinkOption.NOFOLLOW_LINKS);
            FileLock lock = channel.tryLock(0, 1, false);
            if (lock == null) {
                throw new FolderInUseException(folder, holder(channel), "another process");
            }
            byte[] text = (thisProcess() + "\n").getBytes(StandardCharsets.UTF_8);
            write(file, channel, text);
            show(folder, channel);
            return new RunLock(key, channel);
        } catch (IOException | RuntimeException e) {
            release(key, channel, e);
            throw e;
        }
    }

    /** Lets others see that the lock is held; one that just looks is waited for. */
    private static void show(Path folder, FileChannel channel) throws IOException {
        long end = System.nanoTime() + LOOK_NANOS;
        while (channel.tryLock(SHOWN, 1, false) == null) {
            if (System.nanoTime() - end > 0) {
                throw new FolderInUseException(folder, "", "a process that looks at its lock");
            }
            Thread.onSpinWait();
        }
    }

    /** Who holds the lock, as its file says; empty if nobody does. */
    static synchronized Optional<String> holder(Path file) throws IOException {
        if (!Files.exists(file, LinkOption.NOFOLLOW_LINKS)) {
            return Optional.empty();
        }
        if (HELD.contains(folder(file).toRealPath())) {
            return Optional.of(thisProcess());
        }
        try (FileChannel channel = FileChannel.open(
                file, StandardOpenOption.READ, LinkOption.NOFOLLOW_LINKS)) {
            FileLock shared = channel.tryLock(SHOWN, 1, true);
            return shared == null ? Optional.of(holder(channel)) : Optional.empty();
        }
    }

    private static Path folder(Path file) {
        Path folder = file.toAbsolutePath().getParent();
        if (folder == null) {
            throw new IllegalArgumentException(file + " has no folder");
        }
        return folder;
    }

    private static void write(Path file, FileChannel channel, byte[] text) throws IOException {
        try {
            channel.truncate(0);
            channel.write(ByteBuffer.wrap(text), 0);
        } catch (IOException e) {
            throw StorageFullException.orCause(
                    FileOperations.real(), file, text.length, RealFiles.named(file, e));
        }
    }

    private static void release(Path key, @Nullable FileChannel channel, Exception cause) {
        try {
            if (channel != null) {
                channel.close();
            }
        } catch (IOException e) {
            cause.addSuppressed(e);
        } finally {
            HELD.remove(key);
        }
    }

    private static String holder(FileChannel channel) throws IOException {
        ByteBuffer text = ByteBuffer.allocate(MOST_TEXT);
        channel.read(text, 0);
        return new String(text.array(), 0, text.position(), StandardCharsets.UTF_8)
                .lines().findFirst().orElse("").replaceAll("[^\\x20-\\x7e]", "?");
    }

    /** This process in words, as the lock's file has them. */
    static String thisProcess() throws IOException {
        Path file = Path.of("/proc/sys/kernel/hostname");
        return "pid " + ProcessHandle.current().pid()
                + (Files.isReadable(file) ? " on " + Files.readString(file).strip() : "");
    }

    @Override
    public void close() throws IOException {
        try {
            channel.close();
        } finally {
            HELD.remove(key);
        }
    }
}
