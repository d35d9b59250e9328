package castalia.kernels;

/** A device has no room for an allocation. */
public final class OutOfDeviceMemoryException extends RuntimeException {

    private static final long serialVersionUID = 1;

    private final long requestedBytes;

    public OutOfDeviceMemoryException(long requestedBytes, String message) {
        super(message);
        this.requestedBytes = requestedBytes;
    }

    /** Size of the allocation that failed. */
    public long requestedBytes() {
        return requestedBytes;
    }
}
