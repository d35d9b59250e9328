package castalia.kernels;

import castalia.kernels.cuda.CudaDevice;
import castalia.kernels.cuda.CudaSettings;
import castalia.testing.CudaStandIn;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.TestInstance;

/**
 * The CUDA back end keeps the contract on the stand-ins for NVIDIA's libraries, which run the
 * kernels themselves, compiled for the host.
 */
@Tag("default")
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class CudaKernelsTest extends KernelContract {

    private CudaDevice device;
    private CudaDevice twin;

    @BeforeAll
    void open() {
        CudaSettings settings = new CudaSettings(0, CudaStandIn.driver("kernels of the CUDA back end"),
                CudaStandIn.folder(), "target/natives", 256L << 20);
        device = new CudaDevice(settings);
        twin = new CudaDevice(settings);
    }

    @Override
    public Device device() {
        return device;
    }

    @Override
    public Device twin() {
        return twin;
    }

    @Override
    public boolean keepsLogits() {
        return true;
    }

    @AfterAll
    void close() {
        if (twin != null) {
            twin.close();
        }
        if (device != null) {
            device.close();
        }
    }
}
