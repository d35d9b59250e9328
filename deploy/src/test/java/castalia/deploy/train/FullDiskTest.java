package castalia.deploy.train;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.Cli;
import castalia.testing.NotRun;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Storage that fills up while {@code train} runs: one line, exit code 16, nothing lost. */
@Tag("default")
@Timeout(value = 300, unit = TimeUnit.SECONDS)
class FullDiskTest {

    private static final int STORAGE_FAILED = 16;
    private static final long PAGE = 4096;
    private static final String YAML = """
            "num-layers": 1
            "hidden-size": 16
            "num-attention-heads": 2
            "seq-length": 12
            "max-position-embeddings": 16
            "pos-emb": "rotary"
            "no-weight-tying": true
            "optimizer": {"type": "Adam", "params": {"lr": 0.001, "betas": [0.9, 0.95], "eps": 1.0e-8}}
            "lr-decay-style": "cosine"
            "weight-decay": 0.1
            "gradient_clipping": 1.0
            "train_micro_batch_size_per_gpu": 1
            "train-iters": 24
            "extra-save-iters": [0, 2]
            "checkpoint-factor": 9
            "castalia": {"global-batch": 2, "virtual-ranks": 2, "threads": 1, "synthetic-data": true,
                "vocabulary": @VOCABULARY@}
            """;

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit fills it
    Path folder;

    /** One line of {@link SmallDisk}. */
    private record Trial(
            long bytes,
            int code,
            String error,
            String temporary,
            String verified,
            String resumed,
            String whole,
            String digest,
            String brokenMetrics) {

        static Trial parse(String line) {
            String[] words = line.split("\t", -1);
            return new Trial(Long.parseLong(words[1]), Integer.parseInt(words[2]), words[3],
                    words[4], words[5], words[6], words[7], words[8], words[9]);
        }
    }

    private Path config(int vocabulary, String more) throws IOException {
        Path config = folder.resolve("run.yml");
        Files.writeString(config,
                YAML.replace("@VOCABULARY@", Integer.toString(vocabulary)) + more);
        return config;
    }

    /** Full at each page of the records, then within and after each of the first checkpoints. */
    @Test
    void aFullDiskIsOneLineAndTheRunGoesOnWhenThereIsRoom() throws Exception {
        Path disk = Files.createDirectory(folder.resolve("disk"));
        Path config = config(128, "");
        List<String> mounting = mounting(disk).orElse(List.of());
        // A container that lets nobody mount is tested by the other method alone.
        if (mounting.isEmpty()) {
            System.out.println("no file system can be mounted here; files that may not grow must do");
            return;
        }
        List<String> bytes = new ArrayList<>();
        for (int pages = 0; pages < 150; pages += pages < 6 ? 1 : 11) {
            bytes.add(Long.toString(PAGE * pages));
        }
        bytes.add(Long.toString(PAGE * 3000));
        List<Trial> trials = run(mounting, SmallDisk.Kind.FULL_FILE_SYSTEM, disk, config, bytes);
        assertThat(trials).hasSameSizeAs(bytes);
        everyTrialLosesNothing(trials, disk, config);
        List<String> errors = trials.stream().filter(trial -> trial.code() != 0)
                .map(trial -> trial.error().toLowerCase(Locale.ROOT)).toList();
        assertThat(errors).allMatch(error -> error.contains("no space left"))
                .anyMatch(error -> error.contains("run-0:"))
                .anyMatch(error -> error.contains("/chunks:"));
    }

    @Test
    void filesThatMayNotGrowAreOneLineToo() throws Exception {
        NotRun.unlessTool("files that may not grow under train", "prlimit");
        Path disk = Files.createDirectory(folder.resolve("limited"));
        Path tokenizer = Path.of(System.getProperty("castalia.root", ".."),
                "deploy/src/main/resources/castalia/first-light/tokenizer.json").toAbsolutePath();
        Path config = config(4096, "\"vocab-file\": \"" + tokenizer + "\"\n");
        List<Trial> trials = run(List.of(), SmallDisk.Kind.FILE_SIZE_LIMIT, disk, config,
                List.of("10", "600", "4000", "100000", "700000", "40000000"));
        assertThat(trials).hasSize(6);
        everyTrialLosesNothing(trials, disk, config);
        assertThat(trials).anyMatch(trial -> trial.error().contains("copy the tokenizer"))
                .anyMatch(trial -> trial.error().contains("/chunks"));
    }

    private void everyTrialLosesNothing(List<Trial> trials, Path disk, Path config) {
        String undisturbed = Cli.run("train", "--config", config, "--run", folder.resolve("whole"))
                .word("digest");
        assertThat(trials.getFirst().code()).isEqualTo(STORAGE_FAILED);
        assertThat(trials.getLast().code()).isZero();
        for (Trial trial : trials) {
            assertThat(trial.code()).as("%s", trial).isIn(0, STORAGE_FAILED);
            if (trial.code() != 0) {
                assertThat(trial.error()).as("%s", trial)
                        .startsWith("castalia: ").contains(disk.toString()).doesNotContain(" | ");
            }
            assertThat(trial.temporary()).as("%s", trial).isEqualTo("0");
            assertThat(trial.verified()).as("%s", trial).matches("-|0 .*");
            assertThat(trial.resumed()).as("%s", trial).startsWith("0 ");
            assertThat(trial.whole()).as("%s", trial).startsWith("0 ");
            assertThat(trial.digest()).as("%s", trial).isEqualTo(undisturbed);
            assertThat(trial.brokenMetrics()).as("%s", trial).isEqualTo("0");
        }
    }

    private List<Trial> run(
            List<String> around, SmallDisk.Kind kind, Path disk, Path config, List<String> bytes)
            throws IOException, InterruptedException {
        List<String> command = new ArrayList<>(around);
        command.addAll(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "-Xmx512m", "-XX:+UseSerialGC", "-XX:-UsePerfData",
                "--add-modules=jdk.incubator.vector", "--enable-native-access=ALL-UNNAMED",
                "--sun-misc-unsafe-memory-access=allow",
                "-Dcastalia.root=" + System.getProperty("castalia.root", "."),
                "-cp", System.getProperty("surefire.test.class.path",
                        System.getProperty("java.class.path")),
                SmallDisk.class.getName(), kind.name(), disk.toString(), config.toString()));
        command.addAll(bytes);
        Path said = folder.resolve("said");
        int code = wait(new ProcessBuilder(command).redirectErrorStream(true)
                .redirectOutput(said.toFile()).start());
        assertThat(code).as(Files.readString(said)).isZero();
        try (Stream<String> lines = Files.lines(said)) {
            return lines.filter(line -> line.startsWith("trial\t")).map(Trial::parse).toList();
        }
    }

    private static int wait(Process process) throws IOException, InterruptedException {
        if (!process.waitFor(200, TimeUnit.SECONDS)) {
            process.destroyForcibly();
            throw new IOException("the process did not end");
        }
        return process.exitValue();
    }

    /** The start of a command that runs the rest with a file system of 16 MiB at {@code disk}. */
    private static Optional<List<String>> mounting(Path disk)
            throws IOException, InterruptedException {
        for (String namespace : new String[] {"-rm", "-m"}) {
            List<String> command = List.of("unshare", namespace, "sh", "-c",
                    "mount -t tmpfs -o size=16m tmpfs \"$0\" && exec \"$@\"", disk.toString());
            List<String> probe = new ArrayList<>(command);
            probe.add("true");
            try {
                if (wait(new ProcessBuilder(probe).redirectErrorStream(true)
                        .redirectOutput(ProcessBuilder.Redirect.DISCARD).start()) == 0) {
                    return Optional.of(command);
                }
            } catch (IOException e) {
                return Optional.empty(); // no unshare here
            }
        }
        return Optional.empty();
    }
}
