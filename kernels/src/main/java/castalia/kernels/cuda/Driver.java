package castalia.kernels.cuda;

import castalia.kernels.natives.NativeFile;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.List;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdevice_attribute;
import jcuda.driver.CUevent;
import jcuda.driver.CUevent_flags;
import jcuda.driver.CUfunction_attribute;
import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import jcuda.driver.CUmodule;
import jcuda.driver.CUstreamCaptureMode;
import jcuda.driver.CUstream_flags;
import jcuda.driver.CUuuid;
import jcuda.driver.JCudaDriver;

/**
 * The driver through JCuda: devices, the primary context, memory, modules, streams and events.
 * Touched only after {@link DriverLibrary} found every function.
 */
final class Driver {

    private static final String VERSION = "12.6.0";
    private static final String NATIVE = "libJCudaDriver-" + VERSION + "-linux-x86_64.so";
    private static final String TEMPORARY = "java.io.tmpdir";
    private static final int NAME_BYTES = 256;
    private static final int PORTABLE = 1;

    private static boolean loaded;

    private Driver() {}

    /**
     * Loads JCuda's library from a folder of our own and initialises the driver. JCuda itself would
     * unpack into the shared folder for temporary files, under a name that anybody can take.
     *
     * @throws CudaUnavailableException if the driver finds no device
     */
    static synchronized void load(DriverLibrary probed, String nativesFolder) {
        if (loaded) {
            return;
        }
        String before = System.getProperty(TEMPORARY);
        try {
            String folder = NativeFile.unpack(
                    Driver.class.getClassLoader(), "lib/" + NATIVE, nativesFolder + "/jcuda-" + VERSION);
            System.setProperty(TEMPORARY, folder);
            JCudaDriver.setExceptionsEnabled(false);
        } catch (IOException | UnsatisfiedLinkError e) {
            throw new CudaUnavailableException("JCuda cannot be loaded from " + nativesFolder + ": "
                    + String.valueOf(e.getMessage()).lines().findFirst().orElse(""), e);
        } finally {
            System.setProperty(TEMPORARY, before);
        }
        int code = JCudaDriver.cuInit(0);
        if (code != Results.SUCCESS) {
            throw new CudaUnavailableException("the NVIDIA driver (CUDA " + probed.version() / 1000
                    + "." + probed.version() % 1000 / 10 + ") finds no device: cuInit answers " + code
                    + "; check nvidia-smi");
        }
        loaded = true;
    }

    /** How many there are. */
    static int devices() {
        int[] count = new int[1];
        Results.require(JCudaDriver.cuDeviceGetCount(count), "cuDeviceGetCount");
        return count[0];
    }

    /**
     * A device by its number.
     *
     * @throws CudaUnavailableException if there are not so many
     */
    static CUdevice device(int ordinal) {
        int count = devices();
        if (ordinal >= count) {
            throw new CudaUnavailableException("no CUDA device " + ordinal + ": the driver has "
                    + count + (count == 1 ? " device" : " devices") + ", numbered from 0");
        }
        CUdevice device = new CUdevice();
        Results.require(JCudaDriver.cuDeviceGet(device, ordinal), "cuDeviceGet");
        return device;
    }

    static String name(CUdevice device) {
        byte[] bytes = new byte[NAME_BYTES];
        Results.require(JCudaDriver.cuDeviceGetName(bytes, bytes.length, device), "cuDeviceGetName");
        String text = new String(bytes, StandardCharsets.US_ASCII);
        int end = text.indexOf(0);
        return end < 0 ? text : text.substring(0, end);
    }

    /** Major version times ten and minor version: 90 for an H100. */
    static int capability(CUdevice device) {
        return 10 * attribute(device,
                        CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)
                + attribute(device, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
    }

    static int multiprocessors(CUdevice device) {
        return attribute(device, CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
    }

    /** Most shared memory of a block, where its kernel asks for it. */
    static int sharedBytes(CUdevice device) {
        return attribute(device,
                CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
    }

    /** Tells it from every other, whatever its number. */
    static String identity(CUdevice device) {
        CUuuid identity = new CUuuid();
        Results.require(JCudaDriver.cuDeviceGetUuid(identity, device), "cuDeviceGetUuid");
        return HexFormat.of().formatHex(identity.bytes);
    }

    private static int attribute(CUdevice device, int attribute) {
        int[] value = new int[1];
        Results.require(JCudaDriver.cuDeviceGetAttribute(value, attribute, device),
                "cuDeviceGetAttribute");
        return value[0];
    }

    /** Memory of a device, used or not. */
    static long memoryBytes(CUdevice device) {
        long[] bytes = new long[1];
        Results.require(JCudaDriver.cuDeviceTotalMem(bytes, device), "cuDeviceTotalMem");
        return bytes[0];
    }

    /** The context that every library in the process shares. */
    static CUcontext retain(CUdevice device) {
        CUcontext context = new CUcontext();
        Results.require(JCudaDriver.cuDevicePrimaryCtxRetain(context, device),
                "cuDevicePrimaryCtxRetain");
        return context;
    }

    static void release(CUdevice device) {
        Results.require(JCudaDriver.cuDevicePrimaryCtxRelease(device), "cuDevicePrimaryCtxRelease");
    }

    /** Of the calling thread. */
    static void setCurrent(CUcontext context) {
        Results.require(JCudaDriver.cuCtxSetCurrent(context), "cuCtxSetCurrent");
    }

    /** The driver's code; the memory is undefined. */
    static int allocate(NativePointer.Memory memory, long bytes) {
        return JCudaDriver.cuMemAlloc(memory, bytes);
    }

    static void free(NativePointer.Memory memory) {
        Results.require(JCudaDriver.cuMemFree(memory), "cuMemFree");
    }

    /** Pins host memory, so that copies run beside everything else. */
    static void register(long address, long bytes) {
        Results.require(
                JCudaDriver.cuMemHostRegister(new NativePointer(address), bytes, PORTABLE),
                "cuMemHostRegister");
    }

    static void unregister(long address) {
        Results.require(JCudaDriver.cuMemHostUnregister(new NativePointer(address)),
                "cuMemHostUnregister");
    }

    /**
     * Loads kernels.
     *
     * @throws CudaUnavailableException if this device or driver cannot run them
     */
    static CUmodule module(String name, byte[] image) {
        CUmodule module = new CUmodule();
        int code = JCudaDriver.cuModuleLoadData(module, image);
        if (List.of(Results.NO_BINARY, Results.INVALID_PTX, Results.UNSUPPORTED_PTX,
                Results.INVALID_IMAGE).contains(code)) {
            throw new CudaUnavailableException("the kernels of " + name + " cannot be loaded: "
                    + Results.failure(code, "cuModuleLoadData").getMessage()
                    + "; the driver may be older than they are (CUDA 13, driver 580)");
        }
        Results.require(code, "cuModuleLoadData");
        return module;
    }

    static void unload(CUmodule module) {
        Results.require(JCudaDriver.cuModuleUnload(module), "cuModuleUnload");
    }

    /** Handle of a kernel; 0 if the module has none of that name. */
    static long function(CUmodule module, String name, int sharedBytes) {
        NativePointer.Function function = new NativePointer.Function();
        int code = JCudaDriver.cuModuleGetFunction(function, module, name);
        if (code == Results.NOT_FOUND) {
            return 0;
        }
        Results.require(code, "cuModuleGetFunction");
        if (sharedBytes > 0) {
            Results.require(JCudaDriver.cuFuncSetAttribute(function,
                    CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                    sharedBytes), "cuFuncSetAttribute");
        }
        return function.address();
    }

    static NativePointer.Stream stream() {
        NativePointer.Stream stream = new NativePointer.Stream();
        Results.require(JCudaDriver.cuStreamCreateWithPriority(stream,
                CUstream_flags.CU_STREAM_NON_BLOCKING, 0), "cuStreamCreateWithPriority");
        return stream;
    }

    /** Waits for all work of a stream; errors of that work are thrown here. */
    static void synchronize(NativePointer.Stream stream) {
        Results.require(JCudaDriver.cuStreamSynchronize(stream), "cuStreamSynchronize");
    }

    /** Whether all work of a stream is done; errors of that work are thrown here. */
    static boolean idle(NativePointer.Stream stream) {
        int code = JCudaDriver.cuStreamQuery(stream);
        if (code == Results.NOT_READY) {
            return false;
        }
        Results.require(code, "cuStreamQuery");
        return true;
    }

    static void destroy(NativePointer.Stream stream) {
        Results.require(JCudaDriver.cuStreamDestroy(stream), "cuStreamDestroy");
    }

    static CUevent event() {
        CUevent event = new CUevent();
        Results.require(JCudaDriver.cuEventCreate(event, CUevent_flags.CU_EVENT_DISABLE_TIMING),
                "cuEventCreate");
        return event;
    }

    static void record(CUevent event, NativePointer.Stream stream) {
        Results.require(JCudaDriver.cuEventRecord(event, stream), "cuEventRecord");
    }

    /** Lets a stream's further work wait for what an event stands for. */
    static void waitFor(CUevent event, NativePointer.Stream stream) {
        Results.require(JCudaDriver.cuStreamWaitEvent(stream, event, 0), "cuStreamWaitEvent");
    }

    static void await(CUevent event) {
        Results.require(JCudaDriver.cuEventSynchronize(event), "cuEventSynchronize");
    }

    /** From now on the stream's work is recorded, not done. */
    static void beginCapture(NativePointer.Stream stream) {
        Results.require(JCudaDriver.cuStreamBeginCapture(
                stream, CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL),
                "cuStreamBeginCapture");
    }

    static CUgraph endCapture(NativePointer.Stream stream) {
        CUgraph graph = new CUgraph();
        Results.require(JCudaDriver.cuStreamEndCapture(stream, graph), "cuStreamEndCapture");
        return graph;
    }

    /** Ends a recording that failed; what it holds is forgotten. */
    static void abandonCapture(NativePointer.Stream stream) {
        CUgraph graph = new CUgraph();
        if (JCudaDriver.cuStreamEndCapture(stream, graph) == Results.SUCCESS) {
            int _ = JCudaDriver.cuGraphDestroy(graph);
        }
    }

    static CUgraphExec instantiate(CUgraph graph) {
        CUgraphExec executable = new CUgraphExec();
        Results.require(JCudaDriver.cuGraphInstantiate(executable, graph, 0), "cuGraphInstantiate");
        return executable;
    }

    static void launch(CUgraphExec graph, NativePointer.Stream stream) {
        Results.require(JCudaDriver.cuGraphLaunch(graph, stream), "cuGraphLaunch");
    }

    static void destroy(CUgraph graph) {
        Results.require(JCudaDriver.cuGraphDestroy(graph), "cuGraphDestroy");
    }

    static void destroy(CUgraphExec graph) {
        Results.require(JCudaDriver.cuGraphExecDestroy(graph), "cuGraphExecDestroy");
    }

    static void destroy(CUevent event) {
        Results.require(JCudaDriver.cuEventDestroy(event), "cuEventDestroy");
    }
}
