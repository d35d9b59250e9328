package castalia.workers.exchange;

/** The generation a rank waited in is over; nothing of it is acted on any more. */
public final class AbandonedException extends RuntimeException {

    private static final long serialVersionUID = 1;

    public AbandonedException(String message) {
        super(message);
    }
}
