package castalia.kernels.cuda;

/** A GPU or its driver failed while it was in use; the message is one line. */
public final class CudaException extends RuntimeException {

    private static final long serialVersionUID = 1;

    private final int code;
    private final boolean lost;

    CudaException(String message, int code, boolean lost) {
        super(message);
        this.code = code;
        this.lost = lost;
    }

    /** The driver's code, such as 214 for an uncorrectable memory error. */
    public int code() {
        return code;
    }

    /**
     * Whether this process can no longer use the device. Another process may, where the device
     * itself is sound.
     */
    public boolean lost() {
        return lost;
    }

    /** Gives back what lies on a device; where that failed there is nothing left to give back. */
    static void unlessLost(Runnable giveBack) {
        try {
            giveBack.run();
        } catch (CudaException e) {
            if (!e.lost) {
                throw e;
            }
        }
    }
}
