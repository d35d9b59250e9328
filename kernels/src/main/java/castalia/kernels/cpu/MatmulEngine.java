package castalia.kernels.cpu;

/** What computes matrix products. The choice is part of the numeric version. */
public enum MatmulEngine {
    /** oneDNN where its library loads and the processor has AVX2, Java elsewhere. */
    AUTO,
    /** oneDNN; a device that cannot load it is refused. */
    ONEDNN,
    /** The portable product: sequential sums, the same bits at any vector width. */
    JAVA
}
