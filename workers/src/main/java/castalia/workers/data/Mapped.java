package castalia.workers.data;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.channels.FileChannel;
import java.nio.channels.FileChannel.MapMode;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/** Token files and their indices, mapped to read. */
final class Mapped {
    private Mapped() {}

    /**
     * Maps a whole file.
     *
     * @throws DataException if it cannot be read
     */
    static MemorySegment file(Path path, Arena arena) {
        if (Files.isDirectory(path)) {
            throw new DataException(path + ": is a folder, not a token file; give PREFIX of"
                    + " PREFIX.bin and PREFIX.idx");
        }
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            return channel.map(MapMode.READ_ONLY, 0, channel.size(), arena);
        } catch (NoSuchFileException e) {
            throw new DataException(
                    path + ": no such file; give PREFIX of PREFIX.bin (or its numbered parts) and"
                            + " PREFIX.idx without an extension, or make the files with 'data"
                            + " prepare'",
                    e);
        } catch (IOException e) {
            throw new DataException(
                    path + ": cannot be read (" + e.getMessage() + "); check that the file is"
                            + " readable",
                    e);
        }
    }
}
