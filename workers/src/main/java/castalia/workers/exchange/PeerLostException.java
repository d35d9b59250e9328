package castalia.workers.exchange;

import org.jspecify.annotations.Nullable;

/** A rank that this one waits for does not answer. */
public final class PeerLostException extends RuntimeException {

    private static final long serialVersionUID = 1;

    private final int peer;

    public PeerLostException(int peer, String message, @Nullable Throwable cause) {
        super(message, cause);
        this.peer = peer;
    }

    /** The rank that was waited for. */
    public int peer() {
        return peer;
    }
}
