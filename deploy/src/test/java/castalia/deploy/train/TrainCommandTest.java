package castalia.deploy.train;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.checkpoints.ExclusiveRecords;
import castalia.checkpoints.FileOperations;
import castalia.deploy.Cli;
import castalia.deploy.TinyYaml;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Whole runs through the command line. */
@Timeout(value = 300, unit = TimeUnit.SECONDS)
class TrainCommandTest {

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit fills it
    Path folder;

    private static String yaml(String precision, int tensorSlices, int steps) {
        return TinyYaml.of(steps, 10).withPrecision(precision).withTensorSlices(tensorSlices)
                .with("\"extra-save-iters\": [0, 1]").text();
    }

    private Path config(String precision, int tensorSlices, int steps) throws IOException {
        Path file = folder.resolve("run.yml");
        Files.writeString(file, yaml(precision, tensorSlices, steps));
        return file;
    }

    private static Cli.Result train(Path config, Path run, Object... more) {
        Object[] args = Stream.concat(
                Stream.of("train", "--config", config, "--run", run), Stream.of(more)).toArray();
        return Cli.run(args);
    }

    @ParameterizedTest
    @CsvSource("bf16, 2")
    void aRunStoppedAtAnyStepAndResumedOnOtherRanksEndsWithTheSameState(
            String precision, int tensorSlices) throws IOException {
        stopAndResume(precision, tensorSlices);
    }

    @Tag("default")
    @ParameterizedTest
    @CsvSource({"fp32, 1", "fp16, 2"})
    void soDoesOneInTheOtherPrecisions(String precision, int tensorSlices) throws IOException {
        stopAndResume(precision, tensorSlices);
    }

    @Tag("full")
    @ParameterizedTest
    @CsvSource({"fp32, 2", "bf16, 1", "fp16, 1"})
    void andInTheOtherSlices(String precision, int tensorSlices) throws IOException {
        stopAndResume(precision, tensorSlices);
    }

    private void stopAndResume(String precision, int tensorSlices) throws IOException {
        Path config = config(precision, tensorSlices, 30);
        Cli.Result whole = train(config, folder.resolve("whole"), "--ranks", 1, "--threads", 1);
        assertThat(whole.code()).as(whole.err()).isZero();
        for (int stop : new int[] {1, 7, 29}) {
            Path run = folder.resolve("stopped-" + stop);
            stopAfter(config, run, 2, stop);
            Cli.Result resumed = train(config, run, "--ranks", 3, "--threads", 2);
            assertThat(resumed.out()).contains("resuming from the checkpoint of step " + stop);
            assertThat(resumed.word("state")).isEqualTo(whole.word("state"));
            assertThat(resumed.word("digest")).isEqualTo(whole.word("digest"));
        }
        Cli.Result diff = Cli.run("checkpoint", "diff", folder.resolve("whole"),
                folder.resolve("stopped-7"), "--step", 20);
        assertThat(diff.code()).as(diff.out()).isZero();
        assertThat(diff.out()).contains("EQUAL");
    }

    @Tag("default")
    @Test
    void lossScaleAndSkippedStepsAreInTheMetricsOfFp16Alone() throws IOException {
        Path run = folder.resolve("half");
        Cli.Result result = train(config("fp16", 1, 12), run, "--threads", 1);
        assertThat(result.code()).as(result.err()).isZero();
        List<String> steps = Files.readAllLines(run.resolve("metrics.jsonl")).stream()
                .filter(line -> line.contains("grad_norm")).toList();
        assertThat(steps).hasSize(12);
        assertThat(steps.getFirst()).contains("\"grad_norm\":null")
                .endsWith("\"loss_scale\":524288.0,\"skipped_steps\":1}");
        assertThat(steps.getLast()).doesNotContain("null").contains("\"loss_scale\":");
        assertThat(result.out() + result.err()).contains("  scale ").contains(" steps skipped)");
        Path plain = folder.resolve("plain");
        assertThat(train(config("fp32", 1, 2), plain, "--threads", 1).code()).isZero();
        assertThat(Files.readString(plain.resolve("metrics.jsonl"))).contains("grad_norm")
                .doesNotContain("loss_scale").doesNotContain("skipped");
    }

    /** A checkpoint written right after a skipped step is of that step. */
    @Tag("default")
    @Test
    void anFp16RunStoppedAfterASkippedStepEndsWithTheSameState() throws IOException {
        Path config = config("fp16", 1, 12);
        Cli.Result whole = train(config, folder.resolve("whole"), "--threads", 1);
        Path run = folder.resolve("stopped");
        stopAfter(config, run, 2, 2);
        assertThat(Cli.run("checkpoint", "list", run).out()).contains("2");
        Cli.Result resumed = train(config, run, "--ranks", 3, "--threads", 1);
        assertThat(resumed.out()).contains("resuming from the checkpoint of step 2");
        assertThat(resumed.word("state")).isEqualTo(whole.word("state"));
        assertThat(resumed.word("digest")).isEqualTo(whole.word("digest"));
    }

    /** As a signal does: the current step is finished and a checkpoint written. */
    private static void stopAfter(Path config, Path run, int ranks, long step) {
        try (TrainingJob job = TrainingJob.read(config, java.util.OptionalInt.of(ranks),
                        java.util.OptionalInt.empty(), java.util.Optional.empty(), Cli.home());
                TrainingRun training = job.open(run, Cli.home(), new Silent())) {
            TrainingRun.Outcome outcome =
                    training.run(() -> training.group().scalars().step() >= step);
            assertThat(outcome.step()).isEqualTo(step);
            assertThat(outcome.finished()).isFalse();
        }
    }

    private record Silent() implements TrainingRun.Listener {
        @Override
        public void stepped(
                castalia.workers.rank.StepReport report, double seconds, double tokensPerSecond) {}

        @Override
        public void saved(castalia.protocol.checkpoint.Manifest manifest, double seconds) {}

        @Override
        public void validated(long step, double loss) {}

        @Override
        public void resumed(
                castalia.protocol.checkpoint.Manifest manifest, List<String> skipped) {}
    }

    @Test
    void aRunGoesOnOnlyWhereItsProductsHaveTheSameBits() throws IOException {
        Path config = config("fp32", 1, 4);
        Path run = folder.resolve("run");
        stopAfter(config, run, 1, 2);
        ExclusiveRecords records = new ExclusiveRecords(FileOperations.real(), run, 1 << 18);
        byte[] answers = records.read("answers").orElseThrow();
        String text = new String(answers, StandardCharsets.UTF_8);
        assertThat(text.lines()).hasSizeGreaterThan(15).allMatch(
                line -> line.matches("[0-9a-f]{64}  (\\d+ x \\d+ x \\d+.*F32 to F32.*|attention of .*)"));
        String other = text.replaceFirst("[0-9a-f]{64}(  20 x 128 x 24)", "0".repeat(64) + "$1");
        assertThat(other).isNotEqualTo(text);
        records.remove("answers");
        records.publish("answers", other.getBytes(StandardCharsets.UTF_8));
        String before = Cli.run("checkpoint", "digest", run).out();
        Cli.Result refused = train(config, run);
        assertThat(refused.code()).isEqualTo(17);
        assertThat(refused.err().lines()).singleElement().asString()
                .contains("20 x 128 x 24, b transposed, F32 to F32", run.toString());
        assertThat(Cli.run("checkpoint", "digest", run).out()).isEqualTo(before);
        records.remove("answers");
        records.publish("answers", answers);
        assertThat(train(config, run).word("digest"))
                .isEqualTo(train(config, folder.resolve("whole")).word("digest"));
    }

    @Test
    void everyStepHasOneLineOfMetricsAndCheckpointsAreWhereTheConfigurationWantsThem()
            throws IOException {
        Path run = folder.resolve("run");
        assertThat(train(config("fp32", 1, 12), run).code()).isZero();
        List<String> lines = Files.readAllLines(run.resolve("metrics.jsonl"));
        assertThat(lines.stream().filter(line -> line.contains("\"loss\":"))).hasSize(12);
        assertThat(Cli.run("checkpoint", "list", run).out().lines()
                        .map(line -> line.strip().split(" ")[0]))
                .containsExactly("0", "1", "10", "12");
    }

    @Test
    void aDamagedNewestCheckpointIsPassedOverAndTheRunEndsAsItShould() throws IOException {
        Path config = config("fp32", 1, 12);
        Path run = folder.resolve("run");
        Cli.Result first = train(config, run);
        try (Stream<Path> chunks = Files.walk(run.resolve("chunks"))) {
            for (Path chunk : chunks.filter(Files::isRegularFile).toList()) {
                flipLastByteIfOf(run, chunk, 12);
            }
        }
        assertThat(Cli.run("checkpoint", "verify", run).code()).isEqualTo(1);
        Cli.Result again = train(config, run);
        assertThat(again.code()).as(again.err()).isZero();
        assertThat(again.out()).contains("not used:")
                .contains("resuming from the checkpoint of step 10");
        assertThat(again.word("state")).isEqualTo(first.word("state"));
        assertThat(Cli.run("checkpoint", "verify", run).code()).isZero();
    }

    /** Damages the chunk files that only the given checkpoint names. */
    private static void flipLastByteIfOf(Path run, Path chunk, long step) throws IOException {
        String name = chunk.getFileName().toString().replace(".chunk", "");
        try (castalia.checkpoints.RunFolder opened =
                castalia.checkpoints.RunFolder.openToRead(run)) {
            for (long other : opened.catalogue().steps()) {
                boolean names = opened.catalogue().read(other).chunks().stream()
                        .anyMatch(entry -> entry.sha256().equals(name));
                if (names != (other == step)) {
                    return;
                }
            }
        }
        try (FileChannel channel = FileChannel.open(
                chunk, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
            ByteBuffer one = ByteBuffer.allocate(1);
            channel.read(one, channel.size() - 1);
            one.put(0, (byte) (one.get(0) ^ 1)).rewind();
            channel.write(one, channel.size() - 1);
        }
    }

    @Test
    void anExportedFolderStartsARunAndComesOutAgainBitForBit() throws IOException {
        Path config = config("fp32", 2, 4);
        Path run = folder.resolve("run");
        train(config, run);
        Path exported = folder.resolve("exported");
        assertThat(Cli.run("checkpoint", "export", run, "--out", exported).out())
                .contains("exact");
        Path second = folder.resolve("second");
        assertThat(Cli.run("checkpoint", "import", exported, "--config", config, "--run", second)
                        .code())
                .isZero();
        Path again = folder.resolve("again");
        Cli.run("checkpoint", "export", second, "--out", again, "--step", 0);
        assertThat(again.resolve("model.safetensors"))
                .hasSameBinaryContentAs(exported.resolve("model.safetensors"));
        Cli.Result trained = train(config, folder.resolve("third"), "--init", exported);
        assertThat(trained.code()).as(trained.err()).isZero();
        assertThat(train(config, run, "--init", exported).code())
                .as("another specification may not use the folder").isEqualTo(10);
    }

    @Tag("default")
    @Test
    void theStepBenchmarkEndsAtTheDigestOfTheSameTraining() throws IOException {
        Path config = folder.resolve("bench.yml");
        Cli.Result bench = Cli.run("bench", "step", "--model", "pythia-14m", "--seq", 8,
                "--threads", 2, "--steps", 2, "--warmup", 1, "--virtual-ranks", 2, "--json",
                "--write-config", config);
        assertThat(bench.code()).as(bench.err()).isZero();
        Cli.Result trained = train(config, folder.resolve("bench"), "--ranks", 2);
        assertThat(trained.code()).as(trained.err()).isZero();
        String last = bench.out().lines().reduce((a, b) -> b).orElseThrow();
        assertThat(last).contains("\"digest\":\"" + trained.word("digest") + "\"")
                .contains("tokens_per_s").contains("peak_bytes")
                .containsPattern("\"answers\":\"[0-9a-f]{16}\"");
    }

    @Tag("default")
    @Test
    @Timeout(value = 600, unit = TimeUnit.SECONDS)
    void theDemoOnAShortRunSaysEqual() {
        Cli.Result demo = Cli.run("demo", "--steps", 12, "--out", folder.resolve("demo"));
        assertThat(demo.code()).as(demo.out() + demo.err()).isZero();
        assertThat(demo.out()).contains("verdict EQUAL, bit for bit")
                .contains("with SIGKILL in the middle of step")
                .contains("text written by the model");
        if (!demo.out().contains(" did not answer a query")) { // nobody stood still for seconds
            assertThat(demo.out()).contains("committed steps lost 0; bytes read from disk 0");
        }
    }
}
