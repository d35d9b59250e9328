package castalia.kernels;

import castalia.kernels.reference.ReferenceDevice;

/** The reference in F32 and BF16 against itself in F64. */
final class ReferenceKernelsTest extends KernelContract {

    private final Device device = new ReferenceDevice();

    @Override
    public Device device() {
        return device;
    }
}
