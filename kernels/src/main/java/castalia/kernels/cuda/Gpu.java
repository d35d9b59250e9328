package castalia.kernels.cuda;

import java.util.ArrayList;
import java.util.List;
import jcuda.driver.CUdevice;

/**
 * One of the driver's devices.
 *
 * @param ordinal its number
 * @param name such as {@code NVIDIA H200}
 * @param capability major version times ten and minor version of its instruction set
 * @param multiprocessors how many it has
 * @param memoryBytes its memory, used or not
 */
public record Gpu(
        int ordinal, String name, int capability, int multiprocessors, long memoryBytes) {

    /**
     * All of them.
     *
     * @param driver name or path of the driver library
     * @param nativesFolder folder of our own that native files are unpacked into
     * @throws CudaUnavailableException if there is no driver, or it is too old
     */
    public static List<Gpu> all(String driver, String nativesFolder) {
        Driver.load(DriverLibrary.open(driver), nativesFolder);
        List<Gpu> all = new ArrayList<>();
        int count = Driver.devices();
        for (int ordinal = 0; ordinal < count; ordinal++) {
            CUdevice device = Driver.device(ordinal);
            all.add(new Gpu(ordinal, Driver.name(device), Driver.capability(device),
                    Driver.multiprocessors(device), Driver.memoryBytes(device)));
        }
        return all;
    }
}
