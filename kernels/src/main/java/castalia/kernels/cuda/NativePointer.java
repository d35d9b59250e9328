package castalia.kernels.cuda;

import jcuda.Pointer;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUfunction;
import jcuda.driver.CUstream;

/** JCuda's objects by their addresses, and the reverse. */
final class NativePointer extends Pointer {

    NativePointer(long address) {
        super(address);
    }

    /** Memory of a device. */
    static final class Memory extends CUdeviceptr {
        long address() {
            return getNativePointer();
        }
    }

    /** A kernel. */
    static final class Function extends CUfunction {
        long address() {
            return getNativePointer();
        }
    }

    /** A queue of a device's work. */
    static final class Stream extends CUstream {
        long address() {
            return getNativePointer();
        }
    }
}
