package castalia.kernels.cuda;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.testing.NotRun;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** What the assembler said of every kernel when the build compiled it for each kind of device. */
class PtxasTest {

    private static final Path REPORTS =
            Path.of(System.getProperty("castalia.root", ".."), "kernels", "target", "ptxas");
    private static final Path SOURCES =
            Path.of(System.getProperty("castalia.root", ".."), "kernels", "src", "main", "cuda");
    private static final Pattern ENTRY =
            Pattern.compile("Compiling entry function '(\\w+)' for '(\\w+)'");
    private static final Pattern SPILLS = Pattern.compile(
            "(\\d+) bytes stack frame, (\\d+) bytes spill stores, (\\d+) bytes spill loads");

    /** All reports, or no test. */
    private static List<Path> reports() throws IOException {
        NotRun.unless(Files.isDirectory(REPORTS), "spills of the CUDA kernels",
                "nvcc is not on the path");
        try (Stream<Path> files = Files.list(REPORTS)) {
            return files.filter(file -> file.toString().endsWith(".ptxas")).sorted().toList();
        }
    }

    @Test
    void noKernelSpillsRegistersOrNeedsAStack() throws IOException {
        List<String> faults = new ArrayList<>();
        Map<String, Set<String>> devices = new HashMap<>();
        for (Path report : reports()) {
            String kernel = "";
            for (String line : Files.readAllLines(report)) {
                Matcher entry = ENTRY.matcher(line);
                Matcher spills = SPILLS.matcher(line);
                if (entry.find()) {
                    kernel = entry.group(1) + " for " + entry.group(2);
                    devices.computeIfAbsent(entry.group(1), _ -> new HashSet<>())
                            .add(entry.group(2));
                } else if (spills.find() && !(spills.group(1) + spills.group(2) + spills.group(3))
                        .equals("000")) {
                    faults.add(kernel + ": " + line.strip());
                } else if (line.contains("warning") || line.contains("error")) {
                    faults.add(report.getFileName() + ": " + line);
                }
            }
        }
        assertThat(faults).isEmpty();
        assertThat(devices).hasSizeGreaterThan(80);
        assertThat(devices.values()).allSatisfy(
                kinds -> assertThat(kinds).containsExactlyInAnyOrder("sm_80", "sm_90a"));
    }

    @Test
    void everySourceHasAReport() throws IOException {
        List<String> names =
                reports().stream().map(file -> file.getFileName().toString()).toList();
        try (Stream<Path> files = Files.list(SOURCES)) {
            assertThat(files.map(file -> file.getFileName().toString())
                    .filter(name -> name.endsWith(".cu"))
                    .map(name -> name.replace(".cu", ".ptxas")))
                    .containsExactlyInAnyOrderElementsOf(names);
        }
    }
}
