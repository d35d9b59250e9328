package castalia.kernels.cuda;

import castalia.kernels.DType;
import java.util.ArrayList;
import java.util.List;
import jcuda.driver.CUmodule;

/** The kernels of the loaded modules by name. One that is missing keeps the back end from starting. */
final class KernelFunctions implements AutoCloseable {

    private final List<CUmodule> modules = new ArrayList<>();

    /** Loads every module; the context is current. */
    KernelFunctions(KernelImages images) {
        images.modules().forEach((name, image) -> modules.add(Driver.module(name, image)));
    }

    /** A kernel, {@code castalia_} before its name. */
    long find(String name) {
        return find(name, 0);
    }

    /** A kernel that asks for so much shared memory, more than is granted unasked. */
    long find(String name, int sharedBytes) {
        for (CUmodule module : modules) {
            long function = Driver.function(module, "castalia_" + name, sharedBytes);
            if (function != 0) {
                return function;
            }
        }
        throw new CudaUnavailableException("the kernels of this build lack castalia_" + name);
    }

    /** A kernel for each compute type. */
    Typed typed(String name) {
        return new Typed(find(name + "_f32"), find(name + "_bf16"), find(name + "_f16"));
    }

    /** Kernels for BF16 and F16 that ask for so much shared memory. */
    Typed halves(String name, int sharedBytes) {
        return new Typed(0, find(name + "_bf16", sharedBytes), find(name + "_f16", sharedBytes));
    }

    /** Kernels of one operation. */
    record Typed(long f32, long bf16, long f16) {

        long of(DType type) {
            return switch (type) {
                case F32 -> f32;
                case BF16 -> bf16;
                case F16 -> f16;
                case I32, F64 -> throw new IllegalArgumentException("no kernel computes in " + type);
            };
        }
    }

    @Override
    public void close() {
        modules.forEach(Driver::unload);
    }
}
