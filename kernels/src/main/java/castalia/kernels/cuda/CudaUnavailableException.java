package castalia.kernels.cuda;

/** The CUDA back end cannot be used on this machine; the message is one line that says why. */
public final class CudaUnavailableException extends RuntimeException {

    private static final long serialVersionUID = 1;

    public CudaUnavailableException(String message) {
        super(message);
    }

    public CudaUnavailableException(String message, Throwable cause) {
        super(message, cause);
    }
}
