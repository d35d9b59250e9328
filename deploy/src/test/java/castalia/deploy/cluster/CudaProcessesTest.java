package castalia.deploy.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.Cli;
import castalia.deploy.train.DeviceChoice;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.LayoutRequest;
import castalia.protocol.run.RunNews;
import castalia.testing.CudaStandIn;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.OptionalInt;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Worker processes that share a GPU, on the stand-ins: one digest however many, and a device that
 * fails costs its worker, not the run.
 */
@Tag("default")
@Timeout(value = 240, unit = TimeUnit.SECONDS)
class CudaProcessesTest {

    private static final int STEPS = 6;
    private static final String DRIVER = "castalia.gpu.driver";
    private static final String LIBRARIES = "castalia.gpu.library-path";

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit fills it
    Path folder;

    @BeforeEach
    void standIns() throws IOException {
        System.setProperty(DRIVER, CudaStandIn.driver("worker processes on GPUs"));
        System.setProperty(LIBRARIES, CudaStandIn.folder());
        DeviceChoice.choose("cuda");
        clear();
    }

    @AfterEach
    void clear() throws IOException {
        Files.deleteIfExists(faults());
        Files.deleteIfExists(Path.of(CudaStandIn.folder(), "faults.struck"));
    }

    @AfterEach
    void cpu() {
        DeviceChoice.choose("");
        System.clearProperty(DRIVER);
        System.clearProperty(LIBRARIES);
    }

    private static Path faults() {
        return Path.of(CudaStandIn.folder(), "faults");
    }

    private static LayoutRequest layout(int d, int t, int zero) {
        return new LayoutRequest(OptionalInt.of(d), OptionalInt.of(t), OptionalInt.of(zero),
                OptionalInt.of(1));
    }

    private TinyRun.Answer alone(TinyRun tiny) {
        return TinyRun.Answer.of(Cli.run("train", "--config", tiny.config(), "--run",
                folder.resolve("alone"), "--device", "cuda:0"));
    }

    @Test
    void aDeviceWithAMemoryErrorCostsItsWorkerAndNoBit() throws IOException {
        aDeviceThatFailsCostsItsWorkerAndNoBit(
                "cuGraphLaunch 2 214 1", "uncorrectable memory error");
    }

    @Tag("full")
    @ParameterizedTest
    @CsvSource({
        "cuEventSynchronize 150 702 1, time limit",
        "cuStreamSynchronize 0 999 1, ''",
        "cuMemAlloc_v2 1 2 0, ''",
    })
    void aDeviceThatFailsCostsItsWorkerAndNoBit(String fault, String message) throws IOException {
        TinyRun tiny = TinyRun.sliced(folder, "bf16", 24, STEPS, 100);
        TinyRun.Answer alone = alone(tiny);
        Files.writeString(faults(), fault + "\n");
        Witness witness = new Witness((_, _) -> {});
        DeviceChoice.choose("cuda");
        TinyRun.Answer answer =
                tiny.onWorkers(folder.resolve("cluster"), 2, 1, layout(2, 1, 1), witness);
        assertThat(answer).as("%s", witness).isEqualTo(alone);
        if (!message.isEmpty()) {
            assertThat(witness.lost()).as("%s", witness).isZero();
            assertThat(witness.count(news -> news instanceof RunNews.Detected(var _, String how)
                    && how.contains(message))).as("%s", witness).isPositive();
        }
    }

    @Test
    void aDeviceThatCannotBeHadIsAnErrorAndNothingElse() throws IOException {
        TinyRun tiny = TinyRun.sliced(folder, "fp32", 24, STEPS, 100);
        Cli.Result none = Cli.run("train", "--config", tiny.config(), "--run",
                folder.resolve("none"), "--device", "cuda:7");
        assertThat(none.code()).isEqualTo(ErrorCode.UNSUPPORTED.exitCode());
        assertThat(none.err()).contains("no CUDA device 7: the driver has 1 device");
        System.setProperty(DRIVER, "libno-driver.so.1");
        Cli.Result missing = Cli.run("train", "--config", tiny.config(), "--run",
                folder.resolve("missing"), "--device", "cuda");
        assertThat(missing.code()).isEqualTo(ErrorCode.UNSUPPORTED.exitCode());
        assertThat(missing.err()).contains("no NVIDIA driver on this machine");
        Cli.Result unknown = Cli.run("train", "--config", tiny.config(), "--run",
                folder.resolve("unknown"), "--device", "gpu");
        assertThat(unknown.code()).isEqualTo(2);
        assertThat(unknown.err()).contains("--device gpu must be cpu, cuda or cuda:N");
        assertThat(folder.resolve("missing")).doesNotExist();
    }
}
