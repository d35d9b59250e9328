package castalia.deploy.gpu;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.Cli;
import castalia.deploy.train.DeviceChoice;
import castalia.protocol.ErrorCode;
import castalia.testing.CudaStandIn;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** {@code gpu check}, on the stand-ins; figures of speed are not looked at. */
@Tag("default")
class GpuCheckTest {

    private static final String DRIVER = "castalia.gpu.driver";
    private static final String LIBRARIES = "castalia.gpu.library-path";

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit fills it
    Path folder;

    @AfterEach
    void asBefore() {
        DeviceChoice.choose("");
        System.clearProperty(DRIVER);
        System.clearProperty(LIBRARIES);
    }

    @Test
    void whatHoldsAndWhatWasNotRunIsReported() throws IOException {
        System.setProperty(DRIVER, CudaStandIn.driver("gpu check"));
        System.setProperty(LIBRARIES, CudaStandIn.folder());
        Cli.Result result = Cli.run("gpu", "check", "--models", "12b", "--no-recovery", "--out", folder);
        assertThat(result.code()).as("%s", result).isOne();
        assertThat(result.out()).contains("gpu 0       stand-in 0, sm_90, 4 multiprocessors, 2.0 GiB")
                .contains("holds       known answers of kernels and products twice: cuda; cublasLt")
                .contains("holds       training beside the CPU: losses of three steps in fp32 differ by")
                .contains("holds       the same bits twice and on two ranks: digest ")
                .contains("not run     recovery of processes that share the GPU: not asked for")
                .contains("fails       speed of pythia-12b: it does not fit the GPU's memory");
        assertThat(folder.resolve("gpu-check.txt")).content().isEqualToNormalizingNewlines(
                result.out().lines().reduce("", (all, line) -> all + line + "\n"));
        JsonNode report = new ObjectMapper().readTree(
                Files.readString(folder.resolve("gpu-check.json")));
        assertThat(report.get("holds").asBoolean()).isFalse();
        assertThat(report.get("gpus").get(0).get("name").asText()).isEqualTo("stand-in 0");
        assertThat(report.get("findings")).hasSize(6);
        assertThat(report.get("device").asText()).startsWith("cuda; cublasLt 13.0.0, kernels ");
    }

    /** Everything: processes that share the GPU, one of them killed, and a timed model. */
    @Tag("full")
    @Test
    void allOfItHolds() throws IOException {
        System.setProperty(DRIVER, CudaStandIn.driver("gpu check"));
        System.setProperty(LIBRARIES, CudaStandIn.folder());
        Cli.Result result = Cli.run("gpu", "check", "--models", "14m", "--seq", "32", "--batch", "1",
                "--steps", "1", "--minutes", "60", "--out", folder); // a stand-in is slow
        assertThat(result.code()).as("%s", result).isZero();
        assertThat(result.out()).contains("holds       recovery of processes that share the GPU: recovery ")
                .contains("verdict EQUAL, bit for bit").contains("holds       speed of pythia-14m: ")
                .doesNotContain("not run").doesNotContain("fails");
        JsonNode report = new ObjectMapper().readTree(
                Files.readString(folder.resolve("gpu-check.json")));
        assertThat(report.get("holds").asBoolean()).isTrue();
        assertThat(report.get("speeds").get(0).get("step").get("tokens_per_s").asDouble())
                .isPositive();
    }

    @Test
    void aMachineWithoutAGpuIsToldInOneLine() {
        System.setProperty(DRIVER, "libno-driver.so.1");
        Cli.Result result = Cli.run("gpu", "check", "--out", folder);
        assertThat(result.code()).isEqualTo(ErrorCode.UNSUPPORTED.exitCode());
        assertThat(result.err()).contains("no NVIDIA driver on this machine");
        assertThat(folder.resolve("gpu-check.json")).doesNotExist();
        assertThat(folder.resolve("gpu-check.txt")).content().startsWith("no NVIDIA driver");
        Cli.Result unknown = Cli.run("gpu", "check", "--models", "160m,9b", "--out", folder);
        assertThat(unknown.code()).isEqualTo(ErrorCode.CONFIG_INVALID.exitCode());
        assertThat(unknown.err()).contains("--models 9b is none of 14m, ");
        Cli.Result cpu = Cli.run("gpu", "check", "--device", "cpu", "--out", folder);
        assertThat(cpu.err()).contains("--device cpu is no GPU");
    }
}
