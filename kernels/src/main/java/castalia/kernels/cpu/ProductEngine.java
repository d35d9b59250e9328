package castalia.kernels.cpu;

import castalia.kernels.MatmulShape;
import org.jspecify.annotations.Nullable;

/** Makes products. Its results depend on the shape alone, not on the thread that computes. */
interface ProductEngine extends AutoCloseable {

    /** Prepares a product; called from the device's caller, never while products run. */
    Product product(MatmulShape shape);

    /**
     * Prepares a product whose second operand lies as {@link Packing} leaves it.
     *
     * @return null if such products of the shape are not faster here
     */
    default @Nullable Product packed(MatmulShape shape) {
        return null;
    }

    /** Called on each thread before it computes products for the first time. */
    void enterThread();

    /** Name and version of what computes, as the numeric version has it. */
    String version();

    /** The instruction sets that were chosen. */
    String instructionSet();

    @Override
    void close();
}
