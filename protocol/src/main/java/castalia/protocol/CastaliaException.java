package castalia.protocol;

import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * An operating error: something outside the code went wrong and a person can act on it. The message
 * is one line, names the file, key or value, and says what to do. Errors of the programmer are
 * IllegalArgumentException and IllegalStateException instead.
 */
public final class CastaliaException extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final ErrorCode code;

    /**
     * @param message one line for a person
     */
    public CastaliaException(ErrorCode code, String message) {
        this(code, message, null);
    }

    /**
     * @param message one line for a person
     * @param cause what was caught, for the stack trace, or null
     */
    public CastaliaException(ErrorCode code, String message, @Nullable Throwable cause) {
        super(Objects.requireNonNull(message, "message"), cause);
        this.code = Objects.requireNonNull(code, "code");
    }

    /** The error whose line is the message of {@code cause}, or its type where it has none. */
    public static CastaliaException of(ErrorCode code, Throwable cause) {
        String message = cause.getMessage();
        return new CastaliaException(
                code, message == null ? cause.getClass().getSimpleName() : message, cause);
    }

    /** Why it failed. */
    public ErrorCode code() {
        return code;
    }
}
