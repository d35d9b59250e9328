package castalia.workers.data;

import org.jspecify.annotations.Nullable;

/**
 * A data file, tokenizer or text that cannot be used. The message is one line for a person: it
 * names the file and the value, and says what to do.
 */
public final class DataException extends RuntimeException {
    public DataException(String message) {
        super(message);
    }

    public DataException(String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
