package castalia.actors.wire;

/** Bytes of another process that are no message, or a message too long to be sent. */
public final class RefusedMessageException extends RuntimeException {

    private static final long serialVersionUID = 1L;

    RefusedMessageException(String message) {
        super(message, null, false, false);
    }
}
