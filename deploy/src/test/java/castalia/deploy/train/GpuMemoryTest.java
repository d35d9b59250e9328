package castalia.deploy.train;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.Cli;
import castalia.deploy.TinyYaml;
import castalia.protocol.ErrorCode;
import castalia.protocol.planner.Recomputation;
import castalia.testing.CudaStandIn;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** What fits a GPU is said before anything is allocated there. */
@Tag("default")
class GpuMemoryTest {

    private static final String DRIVER = "castalia.gpu.driver";
    private static final String LIBRARIES = "castalia.gpu.library-path";
    private static final long GIB = 1L << 30;

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit fills it
    Path folder;

    @BeforeEach
    void standIns() {
        System.setProperty(DRIVER, CudaStandIn.driver("memory of GPUs"));
        System.setProperty(LIBRARIES, CudaStandIn.folder());
    }

    @AfterEach
    void asBefore() {
        for (String name : new String[] {"MEMORY_MIB", "DEVICES"}) {
            CudaStandIn.environment("CASTALIA_STANDIN_" + name, null);
        }
        DeviceChoice.choose("");
        System.clearProperty(DRIVER);
        System.clearProperty(LIBRARIES);
    }

    @Test
    void everyProcessKeepsAGibibyteFreeForItsContext() {
        assertThat(GpuMemory.limit(140 * GIB, 1)).isEqualTo(139 * GIB);
        assertThat(GpuMemory.limit(140 * GIB, 4)).isEqualTo(34 * GIB);
        assertThat(GpuMemory.forTensors(140 * GIB, 4)).isEqualTo(34 * GIB - GIB / 4);
        assertThat(GpuMemory.limit(2 * GIB, 2)).isEqualTo(GIB - GIB / 16);
    }

    @Test
    void ranksOfOneGpuShareItAndThoseOfSeveralTakeTurns() {
        CudaStandIn.environment("CASTALIA_STANDIN_DEVICES", "2");
        long alone = GpuMemory.forTensors(2 * GIB, 1);
        long two = GpuMemory.forTensors(2 * GIB, 2);
        DeviceChoice.choose("cuda");
        assertThat(new Hosting(2, 1, Recomputation.NONE).usableBytes()).isEqualTo(2 * alone);
        assertThat(new Hosting(3, 1, Recomputation.NONE).usableBytes()).isEqualTo(3 * two);
        assertThat(new Hosting(1, 1, Recomputation.NONE).usableBytes(1, 2)).isEqualTo(two);
        DeviceChoice.choose("cuda:1");
        assertThat(new Hosting(2, 1, Recomputation.NONE).usableBytes()).isEqualTo(2 * two);
    }

    @Test
    void aRunThatDoesNotFitIsRefusedBeforeAnyRankStarts() throws IOException {
        CudaStandIn.environment("CASTALIA_STANDIN_MEMORY_MIB", "32");
        Path config = Files.writeString(folder.resolve("tiny.yml"),
                TinyYaml.of(4, 10).withHidden(256).text());
        Cli.Result alone = Cli.run("train", "--config", config, "--run", folder.resolve("run"),
                "--device", "cuda");
        assertThat(alone.code()).as("%s", alone).isEqualTo(ErrorCode.OUT_OF_MEMORY.exitCode());
        assertThat(alone.err()).contains("of memory per rank").contains("GPUs with more memory");
        Cli.Result workers = Cli.run("train", "--config", config, "--run",
                folder.resolve("workers"), "--local", "2", "--device", "cuda");
        assertThat(workers.code()).as("%s", workers).isEqualTo(ErrorCode.OUT_OF_MEMORY.exitCode());
        assertThat(workers.err()).contains("of memory per rank");
        assertThat(folder.resolve("workers/generations")).isEmptyDirectory();
    }

    @Test
    void layoutsOfTheGpusOfThisMachineAreListed() {
        CudaStandIn.environment("CASTALIA_STANDIN_DEVICES", "2");
        CudaStandIn.environment("CASTALIA_STANDIN_MEMORY_MIB", "4096");
        Cli.Result result = Cli.run("layouts", "--model", "pythia-70m", "--device", "cuda",
                "--flops", "400T", "--seq", "512");
        assertThat(result.code()).as("%s", result).isZero();
        assertThat(result.out()).contains("2 ranks that share 7.0 GiB of GPU memory, 2 a node");
        CudaStandIn.environment("CASTALIA_STANDIN_MEMORY_MIB", "512");
        Cli.Result none = Cli.run("layouts", "--model", "pythia-70m", "--device", "cuda:0",
                "--flops", "400T");
        assertThat(none.code()).isEqualTo(ErrorCode.OUT_OF_MEMORY.exitCode());
        assertThat(none.err()).contains("none of these layouts fits; ");
    }
}
