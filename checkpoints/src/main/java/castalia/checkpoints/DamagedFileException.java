package castalia.checkpoints;

import java.nio.file.Path;

/** A file does not hold what it should: truncated, corrupt, or not of the expected kind. */
public final class DamagedFileException extends CheckpointException {

    private static final long serialVersionUID = 1;

    private final transient Path file;
    private final long offset;
    private final String what;

    /**
     * Names the first damage found.
     *
     * @param file the damaged file
     * @param offset byte offset of the first damage that can be told, -1 where none can
     * @param what what was expected and found
     */
    public DamagedFileException(Path file, long offset, String what) {
        super(file + (offset < 0 ? "" : " at byte " + offset) + ": " + what);
        this.file = file;
        this.offset = offset;
        this.what = what;
    }

    public Path file() {
        return file;
    }

    /** Byte offset of the damage in the file, -1 where it is not known. */
    public long offset() {
        return offset;
    }

    public String what() {
        return what;
    }
}
