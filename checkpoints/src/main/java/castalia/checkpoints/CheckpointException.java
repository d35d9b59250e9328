package castalia.checkpoints;

import java.io.IOException;
import org.jspecify.annotations.Nullable;

/** Something a user can mend; the message is one line that names the file and what to do. */
public class CheckpointException extends IOException {

    private static final long serialVersionUID = 1;

    public CheckpointException(String message) {
        super(message);
    }

    public CheckpointException(String message, @Nullable Throwable cause) {
        super(message, cause);
    }
}
