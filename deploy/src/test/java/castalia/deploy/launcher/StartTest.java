package castalia.deploy.launcher;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.launcher.Workplace.Result;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** The archive that lets processes start quicker: made once, used by all, missed by nobody. */
@Tag("default")
@Timeout(120)
class StartTest {

    private static final String USES = "argument -XX:SharedArchiveFile=";

    @TempDir Path temporary;

    private Workplace workplace;
    private Path jdk;

    @BeforeEach
    void makeWorkplace() throws IOException {
        workplace = new Workplace(temporary);
        jdk = workplace.jdk("jdk", "25");
        Files.writeString(jdk.resolve("release"), "JAVA_VERSION=\"25.0.1\"\n");
        workplace.buildingMaven();
    }

    /** A java that writes the archive it is asked for, and ends with {@code code} then. */
    private void archivingJava(int code) throws IOException {
        Workplace.script(jdk.resolve("bin/java"),
                "for one in \"$@\"; do case $one in -XX:ArchiveClassesAtExit=*)",
                "  echo run >> '" + workplace.base().resolve("runs") + "'",
                "  echo archive > \"${one#*=}\"; exit " + code + " ;;",
                "esac; done",
                "for one in \"$@\"; do echo \"argument $one\"; done");
    }

    private List<String> archives() throws IOException {
        try (Stream<Path> files = Files.list(workplace.root().resolve(".castalia/dist/"))) {
            return files.map(file -> file.getFileName().toString())
                    .filter(name -> name.startsWith("start-")).toList();
        }
    }

    private long runs() throws IOException {
        return Files.readAllLines(workplace.base().resolve("runs")).size();
    }

    @Test
    void theFirstCommandThatStartsProcessesMakesItAndEveryCommandUsesIt() throws Exception {
        archivingJava(0);
        assertThat(workplace.run("doctor").out()).doesNotContain(USES);
        assertThat(workplace.run("train", "--ranks", "1").out()).doesNotContain(USES);
        assertThat(workplace.run("demo", "--help").out()).doesNotContain(USES);
        Result first = workplace.run("train", "--local", "2");
        assertThat(first.err()).contains("once per build");
        assertThat(first.out()).contains(USES);
        assertThat(archives()).singleElement().asString().endsWith(".jsa");
        Result second = workplace.run("demo");
        assertThat(second.err()).isEmpty();
        assertThat(second.out()).contains(USES);
        assertThat(workplace.run("doctor").out()).contains(USES);
        assertThat(runs()).isOne();
        assertThat(workplace.root().resolve(".castalia/tmp")).isEmptyDirectory();
    }

    @Test
    void anotherJdkOrOtherOptionsNeedAnother() throws Exception {
        archivingJava(0);
        workplace.run("demo");
        Files.writeString(jdk.resolve("release"), "JAVA_VERSION=\"25.0.9\"\n");
        assertThat(workplace.run("doctor").out()).doesNotContain(USES);
        assertThat(workplace.run("demo").out()).contains(USES);
        assertThat(runs()).isEqualTo(2);
    }

    @Test
    void aRunThatFailsIsNotRepeatedAndStopsNobody() throws Exception {
        archivingJava(10);
        Result first = workplace.run("demo");
        assertThat(first.code()).isZero();
        assertThat(first.out()).contains("argument demo").doesNotContain(USES);
        Result second = workplace.run("demo");
        assertThat(second.err()).isEmpty();
        assertThat(second.out()).contains("argument demo").doesNotContain(USES);
        assertThat(archives()).singleElement().asString().endsWith(".failed");
        assertThat(runs()).isOne();
    }
}
