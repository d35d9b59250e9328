package castalia.kernels;

import castalia.kernels.cpu.CpuDevice;
import castalia.kernels.cpu.CpuSettings;
import castalia.kernels.cpu.MatmulEngine;
import java.io.File;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.TestInstance;

/** The CPU back end with oneDNN keeps the contract, whatever the number of threads. */
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class CpuKernelsTest extends KernelContract {

    private final CpuDevice one = device(1);
    private final CpuDevice three = device(3);

    private static CpuDevice device(int threads) {
        return new CpuDevice(new CpuSettings(
                threads, new File("target", "natives").getPath(), 1L << 30, MatmulEngine.ONEDNN));
    }

    @Override
    public Device device() {
        return one;
    }

    @Override
    public Device twin() {
        return three;
    }

    @AfterAll
    void close() {
        one.close();
        three.close();
    }
}
