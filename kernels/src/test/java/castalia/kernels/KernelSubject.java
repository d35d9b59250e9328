package castalia.kernels;

import java.util.List;

/** What a contract needs of the back end under test. */
interface KernelSubject {

    /** Single precision's unit roundoff: errors of F32 sums are counted in it. */
    double U = 0x1p-24;

    /** The device under test. */
    Device device();

    /**
     * A device that must give the same bits, such as one with another number of threads. The
     * default is the device itself, a second time.
     */
    default Device twin() {
        return device();
    }

    /** Whether logits stay as they are until their gradients are computed. */
    default boolean keepsLogits() {
        return false;
    }

    /** The compute types of the back end. */
    default List<DType> computeTypes() {
        return List.of(DType.F32, DType.BF16, DType.F16);
    }
}
