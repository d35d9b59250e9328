package castalia.kernels.cpu;

/**
 * How a CPU device is made.
 *
 * @param threads threads that compute, the caller's among them; 1 to 256
 * @param nativesFolder folder the native libraries are unpacked into
 * @param memoryLimitBytes most bytes the device's arenas may hold together
 * @param engine what computes matrix products
 */
public record CpuSettings(
        int threads, String nativesFolder, long memoryLimitBytes, MatmulEngine engine) {

    /** Most threads of one device. */
    public static final int MAX_THREADS = 256;

    public CpuSettings {
        if (threads < 1 || threads > MAX_THREADS) {
            throw new IllegalArgumentException("a CPU device of " + threads + " threads; 1 to "
                    + MAX_THREADS + " are possible");
        }
        if (memoryLimitBytes < 1) {
            throw new IllegalArgumentException(
                    "a memory limit of " + memoryLimitBytes + " bytes; it must be positive");
        }
        if (nativesFolder.isBlank()) {
            throw new IllegalArgumentException("the folder for native libraries has no name");
        }
    }
}
