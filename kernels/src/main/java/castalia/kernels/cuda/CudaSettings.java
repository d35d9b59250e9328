package castalia.kernels.cuda;

import castalia.kernels.Repetition;

/**
 * How a CUDA device is made.
 *
 * @param ordinal which of the driver's devices
 * @param driver name or path of the driver library, {@code libcuda.so.1} outside tests
 * @param libraryPath folders with the toolkit's libraries, separated by colons; may be empty, for
 *     the places where toolkits and Python packages put them
 * @param nativesFolder folder of our own that native files are unpacked into
 * @param memoryLimitBytes most bytes the device's arenas may hold together
 * @param graphs which repeated work is recorded as graphs
 */
public record CudaSettings(
        int ordinal,
        String driver,
        String libraryPath,
        String nativesFolder,
        long memoryLimitBytes,
        Repetition graphs) {

    /** The driver library's name. */
    public static final String DRIVER = "libcuda.so.1";

    /** Settings with graphs for small models. */
    public CudaSettings(int ordinal, String driver, String libraryPath, String nativesFolder,
            long memoryLimitBytes) {
        this(ordinal, driver, libraryPath, nativesFolder, memoryLimitBytes, Repetition.AUTO);
    }

    public CudaSettings {
        if (ordinal < 0) {
            throw new IllegalArgumentException("CUDA device " + ordinal + "; the first is 0");
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
