package castalia.kernels;

/** Device memory with one lifetime. Closing it frees every buffer allocated from it. */
public interface Arena extends AutoCloseable {

    /**
     * Allocates a zeroed buffer, aligned to 64 bytes.
     *
     * @throws OutOfDeviceMemoryException if the device or its limit has no room
     */
    Buffer allocate(DType type, long elements);

    /** Bytes allocated so far. */
    long allocatedBytes();

    @Override
    void close();
}
