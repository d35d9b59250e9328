package castalia.deploy.launcher;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.TinyYaml;
import castalia.testing.NotRun;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * The packed program, made of what this build compiled and run where there is no Java: nothing of the
 * environment is there but a PATH of system tools.
 */
@Tag("full")
@Timeout(900)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class PackageTest {

    private static final long MOST_BYTES = 40L << 20;
    private static final Pattern JOIN = Pattern.compile("castalia node --join (\\S+)");

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit fills it
    static Path temporary;

    private Path program;
    private Path archive;

    @BeforeAll
    void pack() throws Exception {
        Path folder = temporary.toRealPath();
        NotRun.unless(Files.exists(Path.of("/usr/bin/xz")), "the packed program", "xz is missing");
        Workplace workplace = new Workplace(folder);
        Path source = Path.of(System.getProperty("castalia.root"));
        for (String name : List.of("LICENSE", "NOTICE", "THIRD-PARTY.md")) {
            Files.copy(source.resolve(name), workplace.root().resolve(name));
        }
        Path jars = Files.createDirectories(folder.resolve("jars"));
        for (String entry : System.getProperty("java.class.path").split(File.pathSeparator)) {
            Path path = Path.of(entry);
            if (entry.endsWith("target/classes")) {
                jar(path, jars.resolve(path.getParent().getParent().getFileName() + "-0.1.0.jar"));
            } else if (entry.endsWith(".jar") && !entry.contains("-test") && !entry.matches(
                    ".*/(org/junit|org/assertj|com/tngtech|org/apache/maven|org/opentest4j|org/apiguardian"
                            + "|net/bytebuddy)/.*")) {
                Files.createSymbolicLink(jars.resolve(path.getFileName()), path);
            }
        }
        workplace.maven("3.9.9", "mkdir -p deploy/target/lib",
                "cp -L '" + jars + "'/*.jar deploy/target/lib/");
        archive = folder.resolve("castalia.tar.xz");
        workplace.with("PATH", workplace.tools() + ":/usr/bin:/bin")
                .with("CASTALIA_JAVA_HOME", System.getProperty("java.home"));
        Workplace.Result packed = workplace.run(600, "package", archive.toString());
        assertThat(packed.code()).as("%s", packed).isZero();
        Process tar = new ProcessBuilder("tar", "-xf", archive.toString(), "-C",
                Files.createDirectories(folder.resolve("bare")).toString()).inheritIO().start();
        assertThat(tar.waitFor()).isZero();
        program = folder.resolve("bare/castalia/castalia");
    }

    private static void jar(Path classes, Path to) throws IOException {
        try (ZipOutputStream out = new ZipOutputStream(Files.newOutputStream(to));
                Stream<Path> files = Files.walk(classes)) {
            for (Path file : files.filter(Files::isRegularFile).sorted().toList()) {
                out.putNextEntry(new ZipEntry(classes.relativize(file).toString()));
                Files.copy(file, out);
                out.closeEntry();
            }
        }
    }

    /** What a run of the packed program gave. */
    private record Ended(int code, String text) {}

    private Process start(Path out, Object... arguments) throws IOException {
        List<String> command = new ArrayList<>(List.of("env", "-i", "PATH=/usr/bin:/bin",
                program.toString()));
        for (Object each : arguments) {
            command.add(each.toString());
        }
        return new ProcessBuilder(command).directory(temporary.toFile())
                .redirectErrorStream(true).redirectOutput(out.toFile()).start();
    }

    private Ended run(Object... arguments) throws Exception {
        Path out = Files.createTempFile(temporary, "out", "");
        Process process = start(out, arguments);
        try {
            assertThat(process.waitFor(180, TimeUnit.SECONDS)).as(() -> "it ends: " + read(out)).isTrue();
            return new Ended(process.exitValue(), read(out));
        } finally {
            process.destroyForcibly();
        }
    }

    private static String read(Path file) {
        try {
            return Files.readString(file);
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    @AfterAll
    void noProcessIsLeft() {
        assertThat(ProcessHandle.allProcesses().filter(p -> p.info().command()
                .filter(c -> program != null && c.startsWith(program.getParent().toString())).isPresent()))
                .isEmpty();
    }

    @Test
    void itIsSmallEnough() throws IOException {
        assertThat(Files.size(archive)).isLessThan(MOST_BYTES);
    }

    @Test
    void itSaysWhatItIsAndLooksAtTheMachine() throws Exception {
        Ended version = run("--version");
        assertThat(version.code()).as("%s", version).isZero();
        assertThat(version.text()).contains("onednn");
        Ended doctor = run("doctor");
        assertThat(doctor.text()).contains("oneDNN").doesNotContain("Exception");
        Ended build = run("package");
        assertThat(build.code()).isEqualTo(2);
        assertThat(build.text()).contains("'package' is for a source tree");
        assertThat(run("help").text()).doesNotContain("WARNING");
    }

    /** Trains with worker processes, one of another node, and by itself: the same bits. */
    @Test
    void itTrainsWithProcessesOfItsOwnAndOfANodeThatJoins() throws Exception {
        Path config = Files.writeString(
                temporary.resolve("tiny.yml"), TinyYaml.of(3000, 5000).text());
        Ended alone = run("train", "--config", config, "--run", temporary.resolve("alone"));
        assertThat(alone.code()).as("%s", alone).isZero();
        Path out = temporary.resolve("leader.txt");
        Path joined = temporary.resolve("joined.txt");
        Process leader = start(out, "train", "--config", config, "--run",
                temporary.resolve("cluster"), "--local", "2");
        Process node = null;
        try {
            node = start(joined, "node", "--join", address(leader, out), "--workers", "1");
            assertThat(leader.waitFor(240, TimeUnit.SECONDS)).as(() -> read(out)).isTrue();
            assertThat(leader.exitValue()).as(read(out)).isZero();
            assertThat(node.waitFor(60, TimeUnit.SECONDS)).as(() -> read(joined)).isTrue();
            assertThat(read(out)).contains("joined      w0@node1");
        } finally {
            leader.destroy();
            if (node != null) {
                node.destroy();
            }
        }
        assertThat(line("state", read(out))).isNotEmpty().isEqualTo(line("state", alone.text()));
    }

    private static String address(Process leader, Path out) throws Exception {
        while (leader.isAlive()) {
            Matcher said = JOIN.matcher(read(out));
            if (said.find()) {
                return said.group(1);
            }
            Thread.sleep(100);
        }
        throw new AssertionError(read(out));
    }

    private static String line(String word, String text) {
        return text.lines().filter(line -> line.startsWith(word + " ")).findFirst().orElse("");
    }

    @Test
    void itPreparesDataAndCompressesAndTokenizes() throws Exception {
        Path text = Files.writeString(temporary.resolve("text.txt"), "he said that he saw him. ".repeat(50));
        Path tokenizer = Files.writeString(temporary.resolve("tokenizer.json"),
                castalia.workers.data.BpeTrainer.train(List.of(Files.readString(text)), 270).toJson());
        Ended prepared = run("data", "prepare", text, "--tokenizer", tokenizer, "--out",
                temporary.resolve("data"));
        assertThat(prepared.code()).as("%s", prepared).isZero();
        Ended dedup = run("data", "dedup", text, "--out", temporary.resolve("less.jsonl.zst"));
        assertThat(dedup.code()).as("%s", dedup).isZero();
    }
}
