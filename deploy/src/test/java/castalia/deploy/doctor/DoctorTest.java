package castalia.deploy.doctor;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.Main;
import castalia.deploy.doctor.CpuInfo.Vectors;
import castalia.deploy.doctor.Finding.Level;
import castalia.deploy.shell.CastaliaHome;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalLong;
import java.util.stream.Stream;

@Timeout(120)
class DoctorTest {
    private static final long GB = 1L << 30;

    @TempDir Path folder;

    @ParameterizedTest
    @CsvSource({
        "NONE, sse sse2 avx",
        "NONE, avx2 without its companion",
        "AVX2, avx avx2 fma avx512f",
        "AVX512, avx2 fma avx512f avx512bw avx512dq avx512vl",
        "AVX512_BF16, avx2 fma avx512f avx512bw avx512dq avx512vl avx512_bf16",
        "AMX, avx2 fma avx512f avx512bw avx512dq avx512vl avx512_bf16 amx_tile amx_bf16",
    })
    void theWidestCompleteSetOfVectorInstructionsIsNamed(Vectors wanted, String flags) {
        CpuInfo info =
                CpuInfo.parse(
                        "processor\t: 0\nmodel name\t: A B\nflags\t\t: "
                                + flags
                                + "\nflags2 : amx\n");

        assertThat(info).isEqualTo(new CpuInfo("A B", wanted));
    }

    @Test
    void aProcessorWithoutAvx2IsAWarning() {
        CpuInfo unknown = CpuInfo.parse("");

        assertThat(unknown.model()).isEqualTo("unknown processor");
        assertThat(Doctor.processors(2, unknown).level()).isEqualTo(Level.WARN);
        assertThat(Doctor.processors(2, new CpuInfo("x", Vectors.AVX2)).level())
                .isEqualTo(Level.OK);
    }

    private void put(String file, String text) throws IOException {
        Path path = folder.resolve(file);
        Files.createDirectories(path.getParent());
        Files.writeString(path, text);
    }

    @Test
    void theTightestLimitOfVersion2GroupsCounts() throws IOException {
        put(
                "proc/meminfo",
                "MemTotal:       16384000 kB\nMemFree: 1 kB\nMemAvailable:   8192000 kB\n");
        put("proc/self/cgroup", "0::/job/step\n");
        put("sys/fs/cgroup/memory.max", "max\n");
        put("sys/fs/cgroup/job/memory.max", "2147483648\n");
        put("sys/fs/cgroup/job/step/memory.max", "4294967296\n");

        MemoryInfo info = MemoryInfo.read(folder);

        assertThat(info)
                .isEqualTo(
                        new MemoryInfo(16384000L * 1024, 8192000L * 1024, OptionalLong.of(2 * GB)));
        assertThat(info.usableBytes()).isEqualTo(2 * GB);
    }

    @Test
    void theLimitOfAVersion1GroupCounts() throws IOException {
        put("proc/meminfo", "MemTotal: 16384000 kB\nMemAvailable: 8192000 kB\n");
        put("proc/self/cgroup", "7:cpu,cpuacct:/x\n5:memory:/slurm/job\n");
        put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        put("sys/fs/cgroup/memory/slurm/job/memory.limit_in_bytes", "1073741824\n");

        assertThat(MemoryInfo.read(folder).limitBytes()).hasValue(GB);
    }

    @Test
    void aLimitAboveTheMachinesMemoryIsNone() throws IOException {
        put("proc/meminfo", "MemTotal: 1024 kB\nMemAvailable: 512 kB\n");
        put("proc/self/cgroup", "0::/../..\n");
        put("sys/fs/cgroup/memory.max", "9223372036854771712\n");

        assertThat(MemoryInfo.read(folder).limitBytes()).isEmpty();
    }

    @Test
    void littleMemoryIsAWarningAndTooLittleAFailure() {
        assertThat(Doctor.memory(new MemoryInfo(64 * GB, 32 * GB, OptionalLong.empty())).level())
                .isEqualTo(Level.OK);
        assertThat(Doctor.memory(new MemoryInfo(64 * GB, 3 * GB, OptionalLong.empty())).level())
                .isEqualTo(Level.WARN);
        Finding limited = Doctor.memory(new MemoryInfo(64 * GB, 32 * GB, OptionalLong.of(GB / 2)));
        assertThat(limited.level()).isEqualTo(Level.FAIL);
        assertThat(limited.value()).contains("limited to 0.5 GB");
    }

    @Test
    void anotherSystemThanLinuxOnX86IsAFailure() {
        assertThat(Doctor.system("Linux", "amd64").level()).isEqualTo(Level.OK);
        assertThat(Doctor.system("Linux", "aarch64").level()).isEqualTo(Level.FAIL);
        assertThat(Doctor.system("Mac OS X", "amd64").level()).isEqualTo(Level.FAIL);
        assertThat(Doctor.jdk(26).level()).isEqualTo(Level.WARN);
    }

    @Test
    void aFolderThatCannotBeWrittenIsAFailure() throws IOException {
        Path file = folder.resolve("a file");
        Files.writeString(file, "");

        assertThat(StorageProbe.disk(file).level()).isEqualTo(Level.FAIL);
        assertThat(StorageProbe.executable(file).level()).isEqualTo(Level.FAIL);
        assertThat(StorageProbe.hardLinks(file).level()).isEqualTo(Level.FAIL);
        assertThat(NetworkProbe.unixSocket(file).level()).isEqualTo(Level.WARN);
    }

    @Test
    void aRunFolderNeedsHardLinks() {
        Path runs = folder.resolve("new/runs");

        assertThat(StorageProbe.hardLinks(runs).level()).isEqualTo(Level.OK);
        assertThat(runs).isEmptyDirectory();
        // /proc exists on every Linux and takes no files at all, as root neither.
        assertThat(StorageProbe.hardLinks(Path.of("/proc")).level()).isEqualTo(Level.FAIL);
    }

    @Test
    void aTooLongPathForAUnixSocketIsAWarning() {
        assertThat(NetworkProbe.unixSocket(folder.resolve("x".repeat(120))).level())
                .isEqualTo(Level.WARN);
        assertThat(NetworkProbe.loopback().level()).isEqualTo(Level.OK);
    }

    @Test
    void aMissingCudaDriverIsNoFault() {
        Finding missing = CudaProbe.driver("libno-such-driver.so.1");

        assertThat(missing.level()).isEqualTo(Level.OK);
        assertThat(missing.value()).contains("libno-such-driver.so.1 is not installed");
    }

    @Test
    void aLibraryThatIsNoDriverIsAWarning() {
        assertThat(CudaProbe.driver("libc.so.6").level()).isEqualTo(Level.WARN);
    }

    @Test
    void theReportIsCompleteAndLeavesNothingBehind() throws Exception {
        StringWriter out = new StringWriter();
        StringWriter err = new StringWriter();
        Path home = folder.resolve("home");

        String[] arguments = {
            "doctor", "--json", "--run-folder", folder.resolve("runs").toString()
        };
        int code =
                Main.run(
                        arguments,
                        new PrintWriter(out),
                        new PrintWriter(err),
                        new CastaliaHome(home));

        List<String> lines = out.toString().lines().toList();
        JsonNode json = new ObjectMapper().readTree(lines.getLast());
        assertThat(code).isEqualTo(json.get("fit").asBoolean() ? 0 : 1);
        assertThat(json.get("findings")).hasSize(lines.size() - 1);
        assertThat(lines.subList(0, lines.size() - 1))
                .allMatch(line -> line.matches("(ok|warn|fail) .*"));
        assertThat(lines)
                .anyMatch(line -> line.contains("JDK"))
                .anyMatch(line -> line.contains("memory"))
                .anyMatch(line -> line.contains("CUDA driver"))
                .anyMatch(line -> line.contains("run folder"));
        try (Stream<Path> files = Files.walk(folder)) {
            assertThat(files.filter(Files::isRegularFile)).isEmpty();
        }
        assertThat(err.toString()).isEmpty();
    }
}
