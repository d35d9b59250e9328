package castalia.deploy.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.Cli;
import castalia.deploy.train.DeviceChoice;
import castalia.protocol.ErrorCode;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.LayoutRequest;
import castalia.protocol.run.RunNews;
import castalia.testing.CudaStandIn;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Function;
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
    private static final String PEER_MEMORY = "castalia.gpu.peer-memory";
    private static final String NCCL = "castalia.gpu.nccl";

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
        Files.deleteIfExists(opened());
        Files.deleteIfExists(settings());
    }

    @AfterEach
    void cpu() {
        DeviceChoice.choose("");
        System.clearProperty(DRIVER);
        System.clearProperty(LIBRARIES);
        System.clearProperty(PEER_MEMORY);
        System.clearProperty(NCCL);
    }

    /** Where the stand-in writes what processes open of each other, if it is there. */
    private static Path opened() {
        return Path.of(CudaStandIn.folder(), "peers");
    }

    /** What the stand-ins of processes read at their start. */
    private static Path settings() {
        return Path.of(CudaStandIn.folder(), "settings");
    }

    private static Path faults() {
        return Path.of(CudaStandIn.folder(), "faults");
    }

    private static LayoutRequest layout(int d, int t, int zero) {
        return new LayoutRequest(OptionalInt.of(d), OptionalInt.of(t), OptionalInt.of(zero),
                OptionalInt.of(zero == 0 ? 0 : 1));
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
        Files.createFile(opened());
        Witness witness = new Witness((_, _) -> {});
        DeviceChoice.choose("cuda");
        TinyRun.Answer answer =
                tiny.onWorkers(folder.resolve("cluster"), 2, 1, layout(2, 1, 1), witness);
        assertThat(answer).as("%s", witness).isEqualTo(alone);
        assertThat(Files.readAllLines(opened())).as("processes read each other's memory")
                .filteredOn(line -> line.startsWith("opened")).hasSizeGreaterThan(1);
        if (!message.isEmpty()) {
            if (!witness.dismissedAnyBut(Optional.empty())) { // whoever fails says so
                assertThat(witness.lost()).as("%s", witness).isZero();
            }
            assertThat(witness.count(news -> news instanceof RunNews.Detected(var _, String how)
                    && how.contains(message))).as("%s", witness).isPositive();
        }
    }

    @Tag("full")
    @Test
    void payloadsOfProcessesThatShareAGpuStayThereAndAKilledOneIsReadByNobody() throws IOException {
        requireKillChangesNothing(2, List::getLast);
        List<String> lines = Files.readAllLines(opened());
        assertThat(lines).filteredOn(line -> line.startsWith("opened")).hasSizeGreaterThan(5);
        assertThat(lines).filteredOn(line -> line.startsWith("closed")).hasSizeGreaterThan(1);
    }

    @Tag("full")
    @Test
    void weightsThatAGroupOfDevicesBringsAreTheSameAndAKilledRankEndsIt() throws IOException {
        Files.writeString(settings(), "CASTALIA_STANDIN_DEVICES 3\n");
        System.setProperty(NCCL, "on");
        requireKillChangesNothing(1, List::getFirst);
        assertThat(Files.readAllLines(opened())).filteredOn(line -> line.startsWith("moved "))
                .hasSizeGreaterThan(STEPS);
    }

    /** A run of three processes of which one is killed ends as one that was alone. */
    private void requireKillChangesNothing(int zero, Function<List<Member>, Member> whom)
            throws IOException {
        TinyRun tiny = TinyRun.sliced(folder, "bf16", 24, STEPS, 100);
        TinyRun.Answer alone = alone(tiny);
        Files.createFile(opened());
        AtomicBoolean killed = new AtomicBoolean();
        Witness witness = new Witness((heard, progress) -> {
            if (progress.step() >= 2 && killed.compareAndSet(false, true)) {
                ProcessHandle.of(whom.apply(heard.members()).pid())
                        .ifPresent(ProcessHandle::destroyForcibly);
            }
        });
        DeviceChoice.choose("cuda");
        TinyRun.Answer answer =
                tiny.onWorkers(folder.resolve("cluster"), 3, 0, layout(3, 1, zero), witness);
        assertThat(answer).as("%s", witness).isEqualTo(alone);
        assertThat(killed).isTrue();
        assertThat(witness.lost()).as("%s", witness).isZero();
    }

    /** Beside a run whose payloads go through host memory and sockets: only notes and votes do here. */
    @Tag("full")
    @ParameterizedTest
    @CsvSource({"2, 1, 0", "2, 1, 1", "1, 2, 1", "2, 2, 2", "2, 1, 3", "1, 2, 3"})
    void noLayoutOfProcessesThatShareAGpuChangesABit(int d, int t, int zero) throws IOException {
        TinyRun tiny = TinyRun.sliced(folder, "bf16", 24, STEPS, 100);
        TinyRun.Answer alone = alone(tiny);
        long[] bytes = new long[2];
        for (int apart = 0; apart < 2; apart++) {
            System.setProperty(PEER_MEMORY, apart == 0 ? "true" : "false");
            Files.deleteIfExists(opened());
            Files.createFile(opened());
            Witness witness = new Witness();
            DeviceChoice.choose("cuda");
            assertThat(tiny.onWorkers(folder.resolve("cluster-" + apart), d * t, 0,
                    layout(d, t, zero), witness)).as("%s", witness).isEqualTo(alone);
            bytes[apart] = witness.dataPlaneBytes();
            assertThat(Files.readAllLines(opened()).isEmpty()).isEqualTo(apart == 1);
        }
        assertThat(bytes[0]).as("of %s", bytes[1]).isPositive().isLessThan(bytes[1] / 3);
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
