package castalia.deploy.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.Cli;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What {@code train --local} cannot begin with: one clear line, an exit code, nothing lost. */
@Tag("default")
@Timeout(value = 120, unit = TimeUnit.SECONDS)
class ClusterInputTest {

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit fills it
    Path folder;

    @SuppressWarnings("NullAway.Init") // set before every test
    private TinyRun tiny;

    @SuppressWarnings("NullAway.Init") // set before every test
    private Path run;

    @BeforeEach
    void prepare() throws IOException {
        tiny = TinyRun.write(folder, "fp32", 24, 4, 2);
        run = folder.resolve("run");
    }

    private static void refused(Cli.Result result, int code, String... words) {
        assertThat(result.code()).as("%s", result).isEqualTo(code);
        assertThat(result.err().lines()).singleElement().asString()
                .contains(words).doesNotContain("unexpected error", "Exception");
    }

    @Test
    void workersThatDoNotFitTheRunAreRefused() {
        refused(tiny.train(run, "--local", 0), 10, "--local 0", "4 virtual ranks");
        refused(tiny.train(run, "--local", -1), 10, "--local -1");
        refused(tiny.train(run, "--local", 5), 10, "5", "4");
        refused(tiny.train(run, "--local", 1, "--spares", -1), 10, "--spares -1");
        refused(tiny.train(run, "--local", 1, "--spares", 65), 10, "--spares 65");
        refused(tiny.train(run, "--local", 2, "--ranks", 2), 10, "--ranks", "--local");
        refused(tiny.train(run, "--local", 1, "--threads", 0), 10, "threads 0");
        assertThat(run.resolve(RunCluster.LOGS)).doesNotExist();
    }

    @Test
    void impossiblePortsAreRefused() {
        refused(tiny.train(run, "--local", 1, "--port", 70_000), 10, "70000");
        refused(tiny.train(run, "--local", 1, "--port", -1), 10, "-1");
        refused(tiny.train(run, "--local", 1, "--page-port", 70_000), 10, "70000");
        refused(tiny.train(run, "--local", 1, "--page-port", -1), 10, "-1");
        assertThat(run.resolve(RunCluster.LOGS)).doesNotExist();
    }

    @Test
    void portsInUseAreNamed() throws IOException {
        try (ServerSocket used = new ServerSocket(0, 1, InetAddress.getLoopbackAddress())) {
            int port = used.getLocalPort();
            refused(tiny.train(run, "--local", 1, "--port", port), 10,
                    "127.0.0.1:" + port, "in use");
            refused(tiny.train(run, "--local", 1, "--page-port", port), 10, "port " + port, "page");
        }
        assertThat(run.resolve(RunCluster.LOGS)).doesNotExist();
        assertThat(tiny.train(run).code()).as("the folder's lock is free again").isZero();
    }

    @Test
    void aRunFolderOfAnotherSpecificationOrNumericVersionIsRefusedAndKept() throws IOException {
        TinyRun.Answer answer = TinyRun.Answer.of(tiny.train(run));
        String before = Cli.run("checkpoint", "digest", run).out();
        TinyRun other = TinyRun.write(folder, "fp32", 24, 5, 2);
        refused(other.train(run, "--local", 2), 10, run.toString());
        try (NodeProcess elsewhere = NodeProcess.startOfAnotherNumericVersion(
                folder.resolve("elsewhere.log"), "train", "--config", tiny.config(), "--run", run,
                "--local", 1)) {
            assertThat(elsewhere.code()).as(elsewhere.printed()).isEqualTo(10);
            assertThat(elsewhere.printed().lines().filter(line -> line.startsWith("castalia: ")))
                    .singleElement().asString()
                    .contains(run.toString(), "numeric version");
        }
        assertThat(Cli.run("checkpoint", "digest", run).out()).isEqualTo(before);
        assertThat(TinyRun.Answer.of(tiny.train(run))).isEqualTo(answer);
    }

    @Test
    void aRunFolderThatIsAFileIsRefused() throws IOException {
        Files.writeString(run, "no folder");
        Cli.Result result = tiny.train(run, "--local", 1);
        assertThat(result.code()).as("%s", result).isNotZero();
        assertThat(result.err().lines()).singleElement().asString()
                .contains(run.toString()).doesNotContain("unexpected error");
        assertThat(run).hasContent("no folder");
    }
}
