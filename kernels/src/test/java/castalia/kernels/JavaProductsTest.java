package castalia.kernels;

import castalia.kernels.cpu.CpuDevice;
import castalia.kernels.cpu.CpuSettings;
import castalia.kernels.cpu.MatmulEngine;
import java.io.File;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestInstance;

/** The portable product keeps the contract wherever products are used. */
@Tag("default")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class JavaProductsTest implements ProductContract, GeluProductContract, AttentionContract {

    private final CpuDevice one = device(1);
    private final CpuDevice two = device(2);

    private static CpuDevice device(int threads) {
        return new CpuDevice(new CpuSettings(
                threads, new File("target", "natives").getPath(), 1L << 30, MatmulEngine.JAVA));
    }

    @Override
    public Device device() {
        return one;
    }

    @Override
    public Device twin() {
        return two;
    }

    @AfterAll
    void close() {
        one.close();
        two.close();
    }
}
