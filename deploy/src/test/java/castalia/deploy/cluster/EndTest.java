package castalia.deploy.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.Cli;
import castalia.protocol.layout.LayoutRequest;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** However the leading process ends, its workers end too, and the same command goes on. */
@Timeout(value = 240, unit = TimeUnit.SECONDS)
class EndTest {

    private static final int STEPS = 300;

    /** Longer than any test: the run is stopped. */
    private static final int ENDLESS = 1_000_000;

    /** Workers end within a moment; a busy machine is given more. */
    private static final int SECONDS = 20;

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit fills it
    Path folder;

    @Tag("default")
    @Test
    void aRunWhoseProcessesWereAllKilledGoesOnFromDisk() throws Exception {
        killAll(1);
    }

    @Tag("full")
    @ParameterizedTest
    @ValueSource(longs = {11, 12, 13, 14, 15, 16, 17, 18, 19, 20})
    void soItDoesAtTenOtherMoments(long seed) throws Exception {
        killAll(seed);
    }

    private void killAll(long seed) throws Exception {
        Random random = new Random(seed);
        TinyRun tiny = TinyRun.write(folder, seed % 2 == 1 ? "bf16" : "fp32", 24, STEPS, 20);
        Path run = folder.resolve("cluster");
        try (LedProcess led = LedProcess.start(tiny, run, 2)) {
            led.awaitSteps(random.nextInt(STEPS / 2));
            Thread.sleep(random.nextInt(20));
            List<Long> workers = led.workers();
            assertThat(workers).as(led::output).hasSize(2);
            led.kill();
            Signals.assertGone(workers, SECONDS);
        }
        assertGoesOn(tiny, run);
    }

    private void assertGoesOn(TinyRun tiny, Path run) throws IOException {
        Cli.Result resumed = tiny.train(run, "--local", 2, "--threads", 2);
        assertThat(TinyRun.Answer.of(resumed)).isEqualTo(tiny.alone(folder.resolve("alone")));
        assertNothingIsLeft(run);
    }

    private static void assertNothingIsLeft(Path run) throws IOException {
        assertThat(Cli.run("checkpoint", "verify", run).code()).isZero();
        try (Stream<Path> logs = Files.list(run.resolve(RunCluster.LOGS))) {
            assertThat(logs.map(log -> log.getFileName().toString())
                    .map(log -> Path.of(LeftSockets.FOLDER,
                            log.replaceAll(".*-|\\.log", "") + ".sock")))
                    .as("sockets of the killed").isNotEmpty().allSatisfy(
                            socket -> assertThat(socket).doesNotExist());
        }
    }

    /** A terminal sends SIGINT to all its processes. */
    @Tag("default")
    @Test
    void ctrlCStopsTheRunWithACheckpointAndLeavesNoProcess() throws Exception {
        stop("INT", 130);
    }

    @Tag("full")
    @Test
    void soDoesTheSignalOfAJobManager() throws Exception {
        stop("TERM", 143);
    }

    private void stop(String signal, int code) throws Exception {
        TinyRun tiny = TinyRun.write(folder, "fp32", 24, ENDLESS, ENDLESS);
        Path run = folder.resolve("cluster");
        long stopped;
        try (LedProcess led = LedProcess.start(tiny, run, 2)) {
            led.awaitSteps(30);
            List<Long> workers = led.workers();
            assertThat(workers).hasSize(2);
            Cli.Result second = tiny.train(run, "--local", 1);
            assertThat(second.code()).as("%s", second).isEqualTo(10);
            assertThat(second.err().lines()).singleElement().asString()
                    .contains(run.toString(), Long.toString(led.pid()));
            if (signal.equals("INT")) {
                workers.forEach(pid -> Signals.send(signal, pid));
            }
            Signals.send(signal, led.pid());
            assertThat(led.exit()).as(led::output).isEqualTo(code);
            Signals.assertGone(workers, SECONDS);
            String said = led.output().lines().filter(line -> line.startsWith("stopped after step "))
                    .findFirst().orElseThrow(() -> new AssertionError(led.output()));
            stopped = Long.parseLong(said.replaceAll("\\D+(\\d+).*", "$1"));
            assertThat(Cli.run("checkpoint", "list", run).out().lines()
                            .map(line -> line.strip().split(" ")[0]))
                    .last().isEqualTo(Long.toString(stopped));
        }
        assertThat(tiny.until(stopped + 5, run, 2, LayoutRequest.NOTHING, (_, _) -> {}))
                .isEqualTo(tiny.until(stopped + 5, folder.resolve("alone"), 1,
                        LayoutRequest.NOTHING, (_, _) -> {}));
        assertNothingIsLeft(run);
    }
}
