package castalia.kernels.cuda;

/** Working memory between the kernels of one operation; grows to the largest need. */
final class Working {

    private final CudaDevice device;
    private long address;
    private long bytes;

    Working(CudaDevice device) {
        this.device = device;
    }

    /** Undefined memory, the same at every call. */
    long of(long needed) {
        if (needed > bytes) {
            long old = address;
            long oldBytes = bytes;
            address = 0;
            bytes = 0; // the old one is given back even where there is no room for the new
            address = device.exchange(old, oldBytes, needed);
            bytes = needed;
        }
        return address;
    }
}
