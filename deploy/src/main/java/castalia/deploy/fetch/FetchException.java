package castalia.deploy.fetch;

import java.io.IOException;

/** A try that failed; the message is one line. */
final class FetchException extends IOException {
    private static final long serialVersionUID = 1L;

    private final boolean again;
    private final long waitMillis;

    private FetchException(String message, boolean again, long waitMillis) {
        super(message);
        this.again = again;
        this.waitMillis = waitMillis;
    }

    /** Trying again may help. */
    static FetchException passing(String message) {
        return new FetchException(message, true, 0);
    }

    /** The server asks to wait so long before the next try. */
    static FetchException busy(String message, long waitMillis) {
        return new FetchException(message, true, waitMillis);
    }

    /** Trying again does not help. */
    static FetchException lasting(String message) {
        return new FetchException(message, false, 0);
    }

    boolean again() {
        return again;
    }

    long waitMillis() {
        return waitMillis;
    }
}
