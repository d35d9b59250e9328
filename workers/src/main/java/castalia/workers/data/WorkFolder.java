package castalia.workers.data;

import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.file.DirectoryNotEmptyException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.stream.Stream;

/**
 * The folder {@code NAME.partial} beside a result, for what is not whole yet. One process at a time
 * has it. Holds files only.
 */
public final class WorkFolder implements AutoCloseable {
    private static final String LOCK = "lock";

    private final Path folder;
    private final FileChannel channel;

    private WorkFolder(Path folder, FileChannel channel) {
        this.folder = folder;
        this.channel = channel;
    }

    /** Where the folder for a result lies. */
    static Path pathBeside(Path result) {
        return result.resolveSibling(result.getFileName() + ".partial");
    }

    /**
     * Takes the folder for a result, made if absent.
     *
     * @param result what will be made
     * @throws DataException if another process has it
     */
    public static WorkFolder beside(Path result) throws IOException {
        Path folder = pathBeside(result);
        Files.createDirectories(folder);
        FileChannel channel = FileChannel.open(folder.resolve(LOCK), StandardOpenOption.CREATE,
                StandardOpenOption.WRITE);
        FileLock lock;
        try {
            lock = channel.tryLock();
        } catch (OverlappingFileLockException _) {
            lock = null;
        } catch (IOException e) {
            channel.close();
            throw e;
        }
        if (lock == null) {
            channel.close();
            throw new DataException(folder + ": another process is writing there; wait for it, or"
                    + " choose another place for the result");
        }
        return new WorkFolder(folder, channel);
    }

    public Path path() {
        return folder;
    }

    public Path file(String name) {
        return folder.resolve(name);
    }

    /** Removes all files. */
    public void clear() throws IOException {
        List<Path> files;
        try (Stream<Path> all = Files.list(folder)) {
            files = all.filter(file -> !file.endsWith(LOCK)).toList();
        }
        for (Path file : files) {
            Files.deleteIfExists(file);
        }
    }

    /** Removes the folder with all its files; it is still to be closed. */
    public void remove() throws IOException {
        clear();
        Files.deleteIfExists(file(LOCK));
        try {
            Files.deleteIfExists(folder);
        } catch (DirectoryNotEmptyException _) {
            // Another process has begun something new there.
        }
    }

    /** Lets another process have the folder. */
    @Override
    public void close() throws IOException {
        channel.close();
    }
}
