package castalia.kernels.cuda;

import castalia.kernels.OutOfDeviceMemoryException;
import java.util.Map;

/** What the driver's result codes mean for us. */
final class Results {

    static final int SUCCESS = 0;
    static final int OUT_OF_MEMORY = 2;
    static final int INVALID_IMAGE = 200;
    static final int NO_BINARY = 209;
    static final int INVALID_PTX = 218;
    static final int UNSUPPORTED_PTX = 222;
    static final int NOT_FOUND = 500;
    static final int NOT_READY = 600;

    /** Errors of a call, after which the context still works. */
    private static final Map<Integer, String> OF_A_CALL = Map.ofEntries(
            Map.entry(1, "an argument is invalid"),
            Map.entry(INVALID_IMAGE, "the kernels' image is invalid"),
            Map.entry(NO_BINARY, "the kernels' image has no code for this device"),
            Map.entry(INVALID_PTX, "the kernels' PTX is invalid"),
            Map.entry(UNSUPPORTED_PTX, "the driver is older than the kernels' PTX"),
            Map.entry(400, "a handle is invalid"),
            Map.entry(NOT_FOUND, "a name was not found"),
            Map.entry(NOT_READY, "work is not finished"),
            Map.entry(900, "this is not possible while a stream's work is recorded"),
            Map.entry(901, "what a stream recorded is void"),
            Map.entry(907, "an event of recorded work cannot be waited for"),
            Map.entry(701, "a launch asks for more resources than the device has"));

    /** Errors that end the use of the device by this process. */
    private static final Map<Integer, String> OF_THE_DEVICE = Map.ofEntries(
            Map.entry(46, "the device is unavailable"),
            Map.entry(214, "the device met an uncorrectable memory error (ECC)"),
            Map.entry(220, "a link between devices met an uncorrectable error"),
            Map.entry(700, "a kernel read or wrote where no memory is"),
            Map.entry(702, "a kernel ran into the device's time limit"),
            Map.entry(709, "the context is gone"),
            Map.entry(714, "a kernel met a hardware stack error"),
            Map.entry(715, "a kernel met an illegal instruction"),
            Map.entry(716, "a kernel used a misaligned address"),
            Map.entry(719, "a kernel failed"),
            Map.entry(802, "the system's links between devices are not ready"),
            Map.entry(999, "the driver met an unknown error; the device may have been lost"));

    private Results() {}

    /**
     * Returns if the code is success.
     *
     * @throws OutOfDeviceMemoryException if the device is out of memory
     * @throws CudaException for every other code
     */
    static void require(int code, String function) {
        if (code != SUCCESS) {
            throw failure(code, function);
        }
    }

    static RuntimeException failure(int code, String function) {
        if (code == OUT_OF_MEMORY) {
            return new OutOfDeviceMemoryException(
                    0, "the GPU is out of memory in " + function);
        }
        String call = OF_A_CALL.get(code);
        if (call != null) {
            return new CudaException(function + ": " + call + " (CUDA error " + code + ")", code,
                    false);
        }
        return new CudaException("the GPU failed in " + function + ": "
                + OF_THE_DEVICE.getOrDefault(code, "an error of the driver") + " (CUDA error " + code
                + "); this process must end to use it again", code, true);
    }
}
