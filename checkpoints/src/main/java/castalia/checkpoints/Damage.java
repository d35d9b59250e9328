package castalia.checkpoints;

import java.nio.file.Path;

/**
 * Something wrong with a checkpoint.
 *
 * @param file the file at fault
 * @param offset byte offset of the first damage that can be told, -1 where none can
 * @param what what was expected and found
 */
public record Damage(Path file, long offset, String what) {

    static Damage of(Path file, CheckpointException e) {
        return e instanceof DamagedFileException damaged
                ? new Damage(damaged.file(), damaged.offset(), damaged.what())
                : new Damage(file, -1, String.valueOf(e.getMessage()));
    }

    @Override
    public String toString() {
        return file + (offset < 0 ? "" : " at byte " + offset) + ": " + what;
    }
}
