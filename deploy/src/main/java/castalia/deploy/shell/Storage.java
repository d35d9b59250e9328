package castalia.deploy.shell;

import castalia.checkpoints.CheckpointException;
import castalia.checkpoints.DamagedFileException;
import castalia.checkpoints.StorageFullException;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.util.Objects;

/** Turns what storage says into the errors a user sees. */
public final class Storage {

    private Storage() {}

    /** Something that reads or writes storage. */
    @FunctionalInterface
    public interface Attempt<T> {
        T run() throws IOException;
    }

    /**
     * Runs an attempt.
     *
     * @throws CastaliaException for every failure of storage, with the failure's own line
     */
    public static <T> T attempt(Attempt<T> attempt) {
        try {
            return attempt.run();
        } catch (UncheckedIOException e) {
            throw failed(Objects.requireNonNull(e.getCause()));
        } catch (IOException e) {
            throw failed(e);
        }
    }

    private static CastaliaException failed(IOException e) {
        ErrorCode code = switch (e) {
            case DamagedFileException _ -> ErrorCode.CHECKPOINT_CORRUPT;
            case StorageFullException _ -> ErrorCode.STORAGE_FAILED;
            case CheckpointException _ -> ErrorCode.CONFIG_INVALID;
            default -> ErrorCode.STORAGE_FAILED;
        };
        String message = e instanceof CheckpointException
                ? String.valueOf(e.getMessage())
                : e.getClass().getSimpleName() + ": " + e.getMessage();
        return new CastaliaException(code, message, e);
    }
}
