package castalia.kernels.cuda;

import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The driver library by its C functions: first to find out, without any class of JCuda, whether it
 * is there and whole, since a function that is missing would end the process; then for the calls of
 * every operation, which are an order of magnitude quicker this way. Addresses and handles are
 * numbers.
 */
final class DriverLibrary {

    /** What is called through JCuda, by the names the library exports. */
    static final List<String> THROUGH_JCUDA = List.of(
            "cuInit", "cuDeviceGetCount", "cuDeviceGet", "cuDeviceGetName",
            "cuDeviceTotalMem_v2", "cuDeviceGetUuid", "cuDeviceGetAttribute",
            "cuDevicePrimaryCtxRetain", "cuDevicePrimaryCtxRelease_v2", "cuCtxSetCurrent",
            "cuMemAlloc_v2", "cuMemFree_v2", "cuIpcGetMemHandle",
            "cuIpcOpenMemHandle_v2", "cuIpcCloseMemHandle",
            "cuMemHostRegister_v2", "cuMemHostUnregister", "cuModuleLoadData", "cuModuleUnload",
            "cuModuleGetFunction", "cuFuncSetAttribute", "cuStreamCreateWithPriority",
            "cuStreamSynchronize", "cuStreamQuery", "cuStreamWaitEvent", "cuStreamDestroy_v2",
            "cuEventCreate", "cuEventRecord", "cuEventSynchronize", "cuEventDestroy_v2",
            "cuStreamBeginCapture_v2",
            "cuStreamEndCapture", "cuGraphInstantiateWithFlags", "cuGraphLaunch",
            "cuGraphDestroy", "cuGraphExecDestroy");

    /** What is called here. */
    static final List<String> DIRECTLY = List.of("cuDriverGetVersion", "cuLaunchKernel",
            "cuMemcpyHtoDAsync_v2", "cuMemcpyDtoHAsync_v2", "cuMemcpyDtoDAsync_v2",
            "cuMemsetD8Async");

    /** The toolkit that JCuda's library was built with; the driver keeps what that one had. */
    private static final int OLDEST = 12000;

    private static final Map<String, DriverLibrary> OPENED = new HashMap<>();

    private final int version;
    private final MethodHandle launch;
    private final MethodHandle toDevice;
    private final MethodHandle toHost;
    private final MethodHandle withinDevice;
    private final MethodHandle fill;

    private DriverLibrary(SymbolLookup library, int version) {
        this.version = version;
        launch = Foreign.status(library, "cuLaunchKernel", JAVA_LONG, JAVA_INT, JAVA_INT, JAVA_INT,
                JAVA_INT, JAVA_INT, JAVA_INT, JAVA_INT, JAVA_LONG, JAVA_LONG, JAVA_LONG);
        toDevice = Foreign.status(library, "cuMemcpyHtoDAsync_v2", JAVA_LONG, JAVA_LONG, JAVA_LONG,
                JAVA_LONG);
        toHost = Foreign.status(library, "cuMemcpyDtoHAsync_v2", JAVA_LONG, JAVA_LONG, JAVA_LONG,
                JAVA_LONG);
        withinDevice = Foreign.status(library, "cuMemcpyDtoDAsync_v2", JAVA_LONG, JAVA_LONG,
                JAVA_LONG, JAVA_LONG);
        fill = Foreign.status(library, "cuMemsetD8Async", JAVA_LONG, JAVA_BYTE, JAVA_LONG,
                JAVA_LONG);
    }

    /**
     * Opens the library, once.
     *
     * @throws CudaUnavailableException if there is none, or it is too old
     */
    static synchronized DriverLibrary open(String path) {
        DriverLibrary opened = OPENED.get(path);
        if (opened == null) {
            opened = probe(path);
            OPENED.put(path, opened);
        }
        return opened;
    }

    private static DriverLibrary probe(String path) {
        SymbolLookup library;
        try {
            library = Foreign.open(path);
        } catch (IllegalArgumentException e) {
            throw new CudaUnavailableException("no NVIDIA driver on this machine (" + path
                    + " is not installed); the CUDA back end needs one of CUDA 13 (driver 580) or"
                    + " newer", e);
        }
        for (List<String> names : List.of(THROUGH_JCUDA, DIRECTLY)) {
            for (String name : names) {
                if (library.find(name).isEmpty()) {
                    throw new CudaUnavailableException(path + " lacks " + name + "; the CUDA back"
                            + " end needs an NVIDIA driver of CUDA 13 (driver 580) or newer");
                }
            }
        }
        int version = version(library, path);
        if (version < OLDEST) {
            throw new CudaUnavailableException("the NVIDIA driver is for CUDA " + version / 1000
                    + "." + version % 1000 / 10 + "; the CUDA back end needs a newer one (driver"
                    + " 580)");
        }
        return new DriverLibrary(library, version);
    }

    private static int version(SymbolLookup library, String path) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment number = arena.allocate(JAVA_INT);
            int code = (int) Foreign.status(library, "cuDriverGetVersion", JAVA_LONG)
                    .invokeExact(number.address());
            if (code != 0) {
                throw new CudaUnavailableException("cuDriverGetVersion of " + path
                        + " answers " + code + "; check nvidia-smi");
            }
            return number.get(JAVA_INT, 0);
        } catch (Throwable e) {
            throw Foreign.failed("cuDriverGetVersion", e);
        }
    }

    /** Newest CUDA the driver is for: 13000 for 13.0. */
    int version() {
        return version;
    }

    void launch(long function, int gridX, int gridY, int gridZ, int block, int sharedBytes,
            long stream, long parameters) {
        int code;
        try {
            code = (int) launch.invokeExact(function, gridX, gridY, gridZ, block, 1, 1,
                    sharedBytes, stream, parameters, 0L);
        } catch (Throwable e) {
            throw Foreign.failed("cuLaunchKernel", e);
        }
        Results.require(code, "cuLaunchKernel");
    }

    /** Starts a copy to the device; memory that is not registered is read before this returns. */
    void toDevice(long to, long from, long bytes, long stream) {
        copy(toDevice, "cuMemcpyHtoDAsync", to, from, bytes, stream);
    }

    void toHost(long to, long from, long bytes, long stream) {
        copy(toHost, "cuMemcpyDtoHAsync", to, from, bytes, stream);
    }

    /** Starts a copy from memory that the device reaches. */
    void withinDevice(long to, long from, long bytes, long stream) {
        copy(withinDevice, "cuMemcpyDtoDAsync", to, from, bytes, stream);
    }

    private static void copy(
            MethodHandle function, String name, long to, long from, long bytes, long stream) {
        int code;
        try {
            code = (int) function.invokeExact(to, from, bytes, stream);
        } catch (Throwable e) {
            throw Foreign.failed(name, e);
        }
        Results.require(code, name);
    }

    void fill(long to, byte value, long bytes, long stream) {
        int code;
        try {
            code = (int) fill.invokeExact(to, value, bytes, stream);
        } catch (Throwable e) {
            throw Foreign.failed("cuMemsetD8Async", e);
        }
        Results.require(code, "cuMemsetD8Async");
    }
}
