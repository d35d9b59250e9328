package castalia.kernels;

/**
 * What decides the bits of a device's results. Runs of equal specification and equal numeric
 * version end with equal bits; a device of another version is refused by whoever compares.
 *
 * @param backEnd such as {@code cpu}
 * @param engine what computes matrix products, with its version
 * @param instructionSet the instruction sets the engine chose, per type
 * @param javaFeature feature version of the Java runtime
 * @param kernelRevision revision of the back end's own kernels
 * @param answers SHA-256 over the results of a fixed set of small products and kernels
 */
public record NumericVersion(
        String backEnd,
        String engine,
        String instructionSet,
        int javaFeature,
        int kernelRevision,
        String answers) {

    /**
     * Raised with every change of kernels, or of how a model calls them, that changes bits. What is a
     * GPU's alone need not be remembered: the sources of its kernels and launches are in its engine.
     */
    public static final int KERNEL_REVISION = 2;

    /** One line that names everything. */
    public String id() {
        return backEnd + "; " + engine + "; " + instructionSet + "; java " + javaFeature
                + "; kernels " + kernelRevision + "; answers " + answers;
    }
}
