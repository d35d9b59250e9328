package castalia.kernels.cuda;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.util.Set;
import jcuda.driver.CUipcMemHandle;
import jcuda.driver.CUipcMem_flags;
import jcuda.driver.JCudaDriver;

/** The driver's functions for memory of other processes, through JCuda. */
final class InterProcess {

    /** Bytes of a handle. */
    static final int HANDLE_BYTES = 64;

    /**
     * What it means that memory cannot be reached from here: invalid value, no memory for it, device
     * or context, mapping, access between devices, handle, and not supported.
     */
    private static final Set<Integer> UNREACHABLE =
            Set.of(1, Results.OUT_OF_MEMORY, 101, 201, 205, 208, 217, 400, 704, 708, 711, 801);

    /** JCuda keeps a handle's bytes to itself. */
    private static final VarHandle BYTES = bytes();

    private InterProcess() {}

    private static VarHandle bytes() {
        try {
            return MethodHandles.privateLookupIn(CUipcMemHandle.class, MethodHandles.lookup())
                    .findVarHandle(CUipcMemHandle.class, "reserved", byte[].class);
        } catch (ReflectiveOperationException e) {
            throw new ExceptionInInitializerError(e);
        }
    }

    /** What other processes open memory of {@link Driver#allocate} by. */
    static byte[] handle(NativePointer.Memory memory) {
        CUipcMemHandle handle = new CUipcMemHandle();
        Results.require(JCudaDriver.cuIpcGetMemHandle(handle, memory), "cuIpcGetMemHandle");
        return ((byte[]) BYTES.get(handle)).clone();
    }

    /** Opens another process's memory; false if it cannot be reached from here. */
    static boolean open(NativePointer.Memory memory, byte[] bytes) {
        CUipcMemHandle handle = new CUipcMemHandle();
        BYTES.set(handle, bytes.clone());
        int code = JCudaDriver.cuIpcOpenMemHandle(
                memory, handle, CUipcMem_flags.CU_IPC_MEM_LAZY_ENABLE_PEER_ACCESS);
        if (UNREACHABLE.contains(code)) {
            return false;
        }
        Results.require(code, "cuIpcOpenMemHandle");
        return true;
    }

    static void close(NativePointer.Memory memory) {
        Results.require(JCudaDriver.cuIpcCloseMemHandle(memory), "cuIpcCloseMemHandle");
    }
}
