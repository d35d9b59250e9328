package castalia.workers.exchange.socket;

import java.io.IOException;

/** What a peer sent makes no sense or has no room; its connection ends. */
final class RefusedException extends IOException {

    private static final long serialVersionUID = 1;

    RefusedException(String message) {
        super(message);
    }
}
