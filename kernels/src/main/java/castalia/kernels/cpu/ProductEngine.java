package castalia.kernels.cpu;

import castalia.kernels.MatmulShape;

/** Makes products. Its results depend on the shape alone, not on the thread that computes. */
interface ProductEngine extends AutoCloseable {

    /** Prepares a product; called from the device's caller, never while products run. */
    Product product(MatmulShape shape);

    /** Called on each thread before it computes products for the first time. */
    void enterThread();

    /** Name and version of what computes, as the numeric version has it. */
    String version();

    /** The instruction sets that were chosen. */
    String instructionSet();

    @Override
    void close();
}
