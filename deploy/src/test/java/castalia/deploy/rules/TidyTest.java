package castalia.deploy.rules;

import static org.assertj.core.api.Assertions.assertThat;

import org.junit.jupiter.api.Test;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * What a reader notices first: the length of files and lines, blanks, and words of unfinished work.
 */
class TidyTest {
    private static final Path ROOT = Path.of(System.getProperty("castalia.root"));
    private static final int LONGEST_FILE = 400;
    private static final int LONGEST_LINE = 110;
    private static final List<String> UNFINISHED =
            List.of("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK");

    /** Longer files, each with the reason why it is not split. */
    private static final Map<String, String> LONG_FILES =
            Map.of(
                    "kernels/src/main/java/castalia/kernels/cpu/CpuKernels.java",
                    "every operation of the back end, each a few lines around its parts");

    private static List<Path> javaFiles(String set) throws IOException {
        List<Path> files = new ArrayList<>();
        for (String module : ImportRules.MAY_USE.keySet()) {
            Path folder = ROOT.resolve(module).resolve("src").resolve(set);
            if (Files.isDirectory(folder)) {
                try (Stream<Path> all = Files.walk(folder)) {
                    all.filter(file -> file.toString().endsWith(".java")).forEach(files::add);
                }
            }
        }
        return files;
    }

    private static List<Path> launcherFiles() throws IOException {
        List<Path> files =
                new ArrayList<>(List.of(ROOT.resolve("castalia"), ROOT.resolve(".ci/run")));
        try (Stream<Path> all = Files.list(ROOT.resolve("deploy/launch"))) {
            all.forEach(files::add);
        }
        return files;
    }

    /** The faults of one text as {@code name:line: fault}. */
    static List<String> faults(String name, List<String> lines, int longestLine) {
        List<String> faults = new ArrayList<>();
        for (int i = 0; i < lines.size(); i++) {
            String line = lines.get(i);
            String at = name + ":" + (i + 1) + ": ";
            if (line.indexOf('\t') >= 0) {
                faults.add(at + "a tab");
            }
            if (line.endsWith(" ")) {
                faults.add(at + "a blank at the end");
            }
            if (line.length() > longestLine) {
                faults.add(at + line.length() + " columns");
            }
            for (String word : UNFINISHED) {
                if (line.matches(".*\\b" + word + "\\b.*")) {
                    faults.add(at + "the word " + word);
                }
            }
        }
        return faults;
    }

    private static List<String> faultsOf(List<Path> files, int longestLine) throws IOException {
        List<String> faults = new ArrayList<>();
        for (Path file : files) {
            faults.addAll(
                    faults(
                            ROOT.relativize(file).toString(),
                            Files.readAllLines(file),
                            longestLine));
        }
        return faults;
    }

    @Test
    void mainSourcesAreTidy() throws IOException {
        List<Path> files = javaFiles("main");
        assertThat(files).hasSizeGreaterThan(ImportRules.MAY_USE.size());
        assertThat(faultsOf(files, LONGEST_LINE)).isEmpty();
    }

    @Test
    void testsHaveNoTabsAndNoUnfinishedWork() throws IOException {
        List<Path> files = javaFiles("test");
        assertThat(files).isNotEmpty();
        assertThat(faultsOf(files, Integer.MAX_VALUE)).isEmpty();
    }

    @Test
    void theLauncherIsTidy() throws IOException {
        assertThat(faultsOf(launcherFiles(), 120)).isEmpty();
    }

    @Test
    void filesAreShortEnoughToRead() throws IOException {
        List<String> tooLong = new ArrayList<>();
        for (Path file : javaFiles("main")) {
            String name = ROOT.relativize(file).toString();
            int lines = Files.readAllLines(file).size();
            if (lines > LONGEST_FILE && !LONG_FILES.containsKey(name)) {
                tooLong.add(name + " has " + lines + " lines");
            }
        }
        assertThat(tooLong).isEmpty();
        assertThat(LONG_FILES.keySet()).allMatch(name -> Files.exists(ROOT.resolve(name)));
    }

    @Test
    void everyKindOfFaultIsFound() {
        List<String> text =
                List.of("a\tb", "blank ", "x".repeat(111), "// " + "TO" + "DO later", "fine");

        assertThat(faults("A.java", text, LONGEST_LINE))
                .containsExactly(
                        "A.java:1: a tab",
                        "A.java:2: a blank at the end",
                        "A.java:3: 111 columns",
                        "A.java:4: the word " + "TO" + "DO");
    }
}
