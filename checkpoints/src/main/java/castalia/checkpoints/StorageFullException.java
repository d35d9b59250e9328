package castalia.checkpoints;

import java.io.IOException;
import java.nio.file.Path;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/** The storage under a folder cannot take what was to be written; nothing half-written is left. */
public final class StorageFullException extends CheckpointException {

    private static final long serialVersionUID = 1;

    /** With less than this left a failed write is taken for a full disk, whatever its words. */
    private static final long FULL = 64 << 10;

    private final transient Path folder;
    private final long bytesNeeded;

    public StorageFullException(Path folder, long bytesNeeded, @Nullable Throwable cause) {
        super("no space left in " + folder + ": writing needs " + bytesNeeded
                + " bytes; free some space or choose another folder", cause);
        this.folder = folder;
        this.bytesNeeded = bytesNeeded;
    }

    /**
     * What a failed write says: that the storage is full, where it is, or else the cause itself.
     *
     * @param file the file that was being written
     * @param bytes bytes the whole file would have taken
     */
    public static IOException orCause(
            FileOperations files, Path file, long bytes, IOException cause) {
        if (cause instanceof CheckpointException) {
            return cause;
        }
        Path folder = file.toAbsolutePath().getParent();
        String reason = String.valueOf(cause.getMessage()).toLowerCase(Locale.ROOT);
        boolean full = reason.contains("no space left") || reason.contains("quota exceeded");
        try {
            full |= folder != null && files.usableBytes(folder) < Math.min(bytes, FULL);
        } catch (IOException e) {
            cause.addSuppressed(e);
        }
        return full
                ? new StorageFullException(folder == null ? file : folder, bytes, cause)
                : cause;
    }

    public Path folder() {
        return folder;
    }

    /** Bytes of the file that could not be written. */
    public long bytesNeeded() {
        return bytesNeeded;
    }
}
