package castalia.deploy.launcher;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.launcher.Workplace.Result;

import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

@Timeout(120)
class JdkSearchTest {
    @TempDir Path temporary;

    private Workplace workplace;

    @BeforeEach
    void makeWorkplace() throws IOException {
        workplace = new Workplace(temporary);
        workplace.buildingMaven();
    }

    @Test
    void withoutAnyJavaTheLauncherEndsWith3BeforeMavenAndSaysHowToGetOne() throws Exception {
        Result result = workplace.run("doctor");

        assertThat(result.code()).isEqualTo(3);
        assertThat(result.err())
                .contains("Castalia needs JDK 25 and found none")
                .contains("no Java at all")
                .contains("CASTALIA_JAVA_HOME (not set)", "JAVA_HOME (not set)", "PATH")
                .containsSubsequence(
                        "Debian, Ubuntu",
                        "Fedora",
                        "Arch",
                        "macOS",
                        "SDKMAN",
                        "./castalia setup --jdk");
        assertThat(workplace.mavenRuns()).isEmpty();
    }

    @Test
    void anEmptyPathAndNoFoldersStillGiveTheMessage() throws Exception {
        Result result =
                workplace.with("PATH", "").with("CASTALIA_JVM_FOLDERS", "").run("--version");

        assertThat(result.code()).isEqualTo(3);
        assertThat(result.err()).contains("found none", "CASTALIA_JVM_FOLDERS=(empty)");
    }

    @Test
    void anOlderJavaIsNamedWithItsFolder() throws Exception {
        Path old = workplace.jdk("old", "17.0.15");
        Files.createSymbolicLink(workplace.tools().resolve("java"), old.resolve("bin/java"));

        Result result = workplace.run("doctor");

        assertThat(result.code()).isEqualTo(3);
        assertThat(result.err()).contains("JDK 17 in " + old + " (on PATH)");
        assertThat(workplace.mavenRuns()).isEmpty();
    }

    @Test
    void aVariableThatPointsNowhereIsNamed() throws Exception {
        Result result = workplace.with("JAVA_HOME", "/nowhere").run("doctor");

        assertThat(result.err()).contains("JAVA_HOME=/nowhere (no bin/java there)");
    }

    @Test
    void jdk25InAFolderIsUsedWithoutANotice() throws Exception {
        Path home = workplace.jdk("jdk of choice", "25.0.3");

        Result result = workplace.run("doctor", "--run-folder", "a b");

        assertThat(result.code()).as(result.err()).isZero();
        assertThat(result.err()).doesNotContain("notice");
        assertThat(result.out())
                .contains("java 25.0.3")
                .contains("argument castalia.deploy.Main")
                .contains("argument -Dcastalia.home=" + workplace.root().resolve(".castalia"))
                .endsWith("argument doctor\nargument --run-folder\nargument a b\n");
        assertThat(workplace.mavenRuns())
                .singleElement()
                .asString()
                .startsWith("JAVA_HOME=" + home + " ");
    }

    @Test
    void castaliaJavaHomeWinsOverJavaHomeAndPath() throws Exception {
        Path first = workplace.jdk(workplace.base().resolve("first").toString(), "25.0.1");
        Path second = workplace.jdk(workplace.base().resolve("second").toString(), "25.0.2");
        workplace.with("CASTALIA_JAVA_HOME", first.toString()).with("JAVA_HOME", second.toString());

        assertThat(workplace.run("jdk").out()).isEqualTo(first + "\n");
        workplace.with("CASTALIA_JAVA_HOME", "");
        assertThat(workplace.run("jdk").out()).isEqualTo(second + "\n");
    }

    @Test
    void aNewerJdkIsUsedWithANoticeWhenThereIsNo25() throws Exception {
        workplace.jdk("jdk-26", "26.0.1");

        Result result = workplace.run("doctor");

        assertThat(result.code()).as(result.err()).isZero();
        assertThat(result.err()).contains("notice: using JDK 26 in ");
        assertThat(result.out()).contains("java 26.0.1");
        assertThat(workplace.mavenRuns())
                .singleElement()
                .asString()
                .contains("-Dcastalia.jdk.range=[26,27)");
    }

    @Test
    void exactly25IsPreferredToANewerOneFoundFirst() throws Exception {
        Path newer = workplace.jdk("newer", "26");
        Path wanted = workplace.jdk("wanted", "25");

        Result result = workplace.with("JAVA_HOME", newer.toString()).run("jdk");

        assertThat(result.out()).isEqualTo(wanted + "\n");
        assertThat(result.err()).isEmpty();
    }

    @Test
    void aRuntimeWithoutCompilerCannotBuildAndIsNamed() throws Exception {
        Path runtime = workplace.jdk("runtime", "25");
        Files.delete(runtime.resolve("bin/javac"));

        Result result = workplace.run("doctor");

        assertThat(result.code()).isEqualTo(3);
        assertThat(result.err()).contains(runtime + " is a runtime without javac");
    }

    @Test
    void theReleaseFileOfAJdkIsBelievedWithoutStartingIt() throws Exception {
        Path home = workplace.jdk("quiet", "21");
        Files.writeString(home.resolve("release"), "IMPLEMENTOR=\"X\"\nJAVA_VERSION=\"25.0.3\"\n");

        assertThat(workplace.run("jdk").out()).isEqualTo(home + "\n");
    }

    @Test
    void plainMavenIsToldWhenItWouldNotFindTheJdkByItself() throws Exception {
        Path home = workplace.jdk("elsewhere", "25");

        Result result = workplace.run("jdk", "--maven", "/usr");

        assertThat(result.code()).isEqualTo(3);
        assertThat(result.err()).contains("JAVA_HOME=" + home + " mvn verify");
        assertThat(workplace.run("jdk", "--maven", home.toString()).code()).isZero();
    }

    @Test
    void plainMavenWithoutJdk25GetsTheSameMessage() throws Exception {
        Result result = workplace.run("jdk", "--maven", "/usr");

        assertThat(result.code()).isEqualTo(3);
        assertThat(result.err())
                .contains("Castalia needs JDK 25 and found none", "./castalia setup --jdk");
    }
}
