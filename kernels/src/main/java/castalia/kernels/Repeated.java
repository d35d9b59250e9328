package castalia.kernels;

/**
 * Work on one device that is the same every time: the same operations with the same buffers and
 * numbers. None of it may have a result for the host, upload or download.
 */
public interface Repeated extends AutoCloseable {

    /** Does the work once more, in the device's order. */
    void run();

    @Override
    void close();
}
