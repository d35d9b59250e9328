package castalia.kernels.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.testing.CudaStandIn;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Nobody can change what decides a GPU's bits and leave its numeric version: the sources of all classes
 * that launch kernels or ask cublasLt for a product are in it, as those of the kernels are.
 */
@Tag("default")
class CudaVersionTest {

    private static final Path BUILD =
            Path.of(System.getProperty("castalia.root", ".."), "kernels", "src", "build", "cuda.sh");
    private static final Path SOURCES = Path.of(System.getProperty("castalia.root", ".."), "kernels",
            "src", "main", "java", "castalia", "kernels", "cuda");

    /** A number that is given a name. */
    private static final Pattern NUMBER =
            Pattern.compile("static final (int|long) \\w+ = [^;]*\\d");

    /** How work is started, or asked of cublasLt, or of the compiler of the kernels. */
    private static final Pattern STARTS = Pattern.compile(
            "Launcher|CublasLt\\.[A-Z]|library\\.(multiply|choose|set)|\\.launch\\(|cuLaunchKernel"
                    + "|--fmad");

    @TempDir
    Path folder;

    @Test
    void theVersionHasWhatTheSourcesSay() throws Exception {
        String expected = launches(SOURCES);
        try (InputStream in = KernelImages.class.getResourceAsStream("launches")) {
            assertThat(new String(in.readAllBytes(), StandardCharsets.UTF_8).strip())
                    .isEqualTo(expected);
        }
        CudaSettings settings = new CudaSettings(0, CudaStandIn.driver("the CUDA numeric version"),
                CudaStandIn.folder(), "target/natives", 64L << 20);
        try (CudaDevice device = new CudaDevice(settings)) {
            assertThat(device.numericVersion().id()).contains("launches " + expected);
        }
    }

    /** Every number that has a name, in every class that decides bits. */
    @Test
    void aChangedNumberIsAnotherVersion() throws Exception {
        Set<String> versions = new TreeSet<>();
        versions.add(launches(SOURCES));
        int changes = 0;
        for (Path file : sources()) {
            boolean decides = decides(file);
            String code = Files.readString(file);
            Path changed = copy("changed-" + file.getFileName());
            Matcher number = NUMBER.matcher(code);
            while (number.find()) {
                Files.writeString(changed.resolve(file.getFileName()),
                        code.substring(0, number.end()) + "1" + code.substring(number.end()));
                boolean other = versions.add(launches(changed));
                assertThat(other).as("%s: %s", file, number.group()).isEqualTo(decides);
                changes += other ? 1 : 0;
            }
        }
        assertThat(changes).as("numbers that decide").isGreaterThan(40);
    }

    /** A class is in the version unless the build says that it starts nothing; and that is so. */
    @Test
    void whatIsLeftOutStartsNothing() throws Exception {
        List<String> left = new ArrayList<>();
        for (Path file : sources()) {
            if (decides(file)) {
                continue;
            }
            left.add(file.getFileName().toString());
            assertThat(STARTS.matcher(Files.readString(file)).results().map(r -> r.group()))
                    .as("%s is left out of the numeric version (%s)", file, BUILD).isEmpty();
        }
        assertThat(left).doesNotContain("CudaKernels.java", "Products.java", "CublasLt.java",
                "Attention.java", "Norms.java", "CrossEntropy.java", "Optimizer.java");
        Path more = copy("more");
        Files.writeString(more.resolve("Another.java"), "class Another {}\n");
        assertThat(launches(more)).as("a new class is in it").isNotEqualTo(launches(SOURCES));
    }

    /** Whether the version changes with a file. */
    private boolean decides(Path file) throws Exception {
        Path changed = copy("decides");
        Files.writeString(changed.resolve(file.getFileName()), "\n" + Files.readString(file));
        return !launches(changed).equals(launches(SOURCES));
    }

    private static List<Path> sources() throws IOException {
        try (Stream<Path> files = Files.list(SOURCES)) {
            return files.filter(file -> file.toString().endsWith(".java")).sorted().toList();
        }
    }

    private Path copy(String name) throws IOException {
        Path copy = Files.createDirectories(folder.resolve(name));
        for (Path file : sources()) {
            Files.writeString(copy.resolve(file.getFileName()), Files.readString(file));
        }
        return copy;
    }

    private static String launches(Path sources) throws Exception {
        Process process = new ProcessBuilder("bash", BUILD.toString(), "launches", sources.toString())
                .redirectErrorStream(true).start();
        try {
            String answer = new String(
                    process.getInputStream().readAllBytes(), StandardCharsets.UTF_8).strip();
            assertThat(process.waitFor(1, TimeUnit.MINUTES)).isTrue();
            assertThat(answer).matches("[0-9a-f]{16}");
            return answer;
        } finally {
            process.destroyForcibly();
        }
    }
}
