package castalia.workers.runtime;

import castalia.checkpoints.DamagedFileException;
import castalia.kernels.OutOfDeviceMemoryException;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.workers.data.DataException;
import java.io.UncheckedIOException;

/** What a failure is called when the coordinator is told of it. */
final class Failures {

    private Failures() {}

    static ErrorCode code(Throwable failure) {
        return switch (failure) {
            case CastaliaException known -> known.code();
            case DataException _ -> ErrorCode.DATA_CORRUPT;
            case OutOfDeviceMemoryException _ -> ErrorCode.OUT_OF_MEMORY;
            case OutOfMemoryError _ -> ErrorCode.OUT_OF_MEMORY;
            case UncheckedIOException e when e.getCause() instanceof DamagedFileException ->
                    ErrorCode.CHECKPOINT_CORRUPT;
            case UncheckedIOException _ -> ErrorCode.STORAGE_FAILED;
            default -> ErrorCode.DEVICE_FAILED;
        };
    }

    /** One line. */
    static String message(Throwable failure) {
        Throwable cause = failure.getCause();
        Throwable told = failure instanceof UncheckedIOException && cause != null
                ? cause : failure;
        String message = told.getMessage();
        boolean ours = failure instanceof CastaliaException || failure instanceof DataException
                || failure instanceof UncheckedIOException;
        String line = message == null ? told.getClass().getSimpleName()
                : ours ? message : told.getClass().getSimpleName() + ": " + message;
        return line.lines().findFirst().orElse("");
    }
}
