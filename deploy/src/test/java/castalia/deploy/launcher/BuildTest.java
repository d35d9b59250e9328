package castalia.deploy.launcher;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.launcher.Workplace.Result;

import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

@Tag("default")
@Timeout(120)
class BuildTest {
    @TempDir Path temporary;

    private Workplace workplace;

    @BeforeEach
    void makeWorkplace() throws IOException {
        workplace = new Workplace(temporary);
        workplace.jdk("jdk", "25");
        workplace.buildingMaven();
    }

    private long builds() throws IOException {
        try (Stream<Path> folders = Files.list(workplace.root().resolve(".castalia/builds"))) {
            return folders.count();
        }
    }

    @Test
    void theFirstLaunchBuildsAndTheNextNeedsNoMaven() throws Exception {
        Result first = workplace.run("doctor");
        Result second = workplace.run("doctor");

        assertThat(first.err())
                .contains("first build", "MB", "minute", ".castalia/build.log", "built in");
        assertThat(second.err()).isEmpty();
        assertThat(second.out()).contains("argument doctor");
        assertThat(workplace.mavenRuns()).hasSize(1);
        assertThat(workplace.mavenRuns().getFirst())
                .doesNotContain("--offline")
                .contains("package");
    }

    @Test
    void changedSourcesAreBuiltAgainOffline() throws Exception {
        workplace.run("doctor");
        workplace.write("deploy/src/main/java/A.java", "class A { int changed; }\n");

        Result result = workplace.run("doctor");

        assertThat(result.err()).contains("sources changed");
        assertThat(workplace.mavenRuns()).hasSize(2);
        assertThat(workplace.mavenRuns().getLast()).contains("--offline");
        assertThat(workplace.read(".castalia/dist/lib/deploy-0.1.0.jar")).contains("changed");
        assertThat(builds()).isEqualTo(1);
    }

    @Test
    void aRemovedSourceIsAChangeToo() throws Exception {
        workplace.write("actors/src/main/java/B.java", "class B {}\n");
        workplace.run("doctor");
        Files.delete(workplace.root().resolve("actors/src/main/java/B.java"));

        workplace.run("doctor");

        assertThat(workplace.mavenRuns()).hasSize(2);
    }

    @Test
    void aTouchedSourceWithTheSameTextIsNoChange() throws Exception {
        workplace.run("doctor");
        workplace.write(
                "deploy/src/main/java/A.java", workplace.read("deploy/src/main/java/A.java"));

        workplace.run("doctor");

        assertThat(workplace.mavenRuns()).hasSize(1);
    }

    @Test
    void whatIsMissingOfflineIsFetchedOnline() throws Exception {
        workplace.run("doctor");
        workplace.maven(
                "3.9.9",
                "case \"$*\" in",
                "  *--offline*) echo '[ERROR] Cannot access central in offline mode'; exit 1 ;;",
                "esac",
                "mkdir -p deploy/target/lib",
                "echo new > deploy/target/lib/deploy-0.1.0.jar");
        workplace.write("deploy/src/main/java/A.java", "class A { int changed; }\n");

        Result result = workplace.run("doctor");

        assertThat(result.code()).as(result.err()).isZero();
        assertThat(result.err()).contains("asking Maven Central");
        assertThat(workplace.mavenRuns()).hasSize(3);
        assertThat(workplace.mavenRuns().getLast()).doesNotContain("--offline");
    }

    @Test
    void aFailedBuildNamesTheLogAndItsErrors() throws Exception {
        workplace.maven(
                "3.8.7",
                "echo '[INFO] Building Castalia kernels 0.1.0   [3/7]'",
                "echo '[WARNING] /x/A.java:[3,4] [StringSplitter] surprising'",
                "echo '[ERROR] COMPILATION ERROR : warnings found and -Werror specified'",
                "echo '[ERROR] Failed to execute goal: Could not resolve X -> [Help 1]'",
                "echo '[ERROR] -> [Help 1]'",
                "echo '[ERROR] [Help 1] http://x'",
                "echo '[ERROR] For more information about the errors'",
                "exit 1");

        Result result = workplace.run("doctor");

        assertThat(result.code()).isEqualTo(4);
        assertThat(result.err())
                .contains("the build failed")
                .contains(workplace.root().resolve(".castalia/build.log").toString())
                .contains("A.java:[3,4]", "COMPILATION ERROR")
                .contains("Could not resolve X\n")
                .doesNotContain("For more information", "Help 1");
        assertThat(result.out()).isEmpty();
    }

    @Test
    void anOldMavenIsNamedAndNotUsed() throws Exception {
        workplace.maven("3.8.6", "exit 0");
        Result old = workplace.run("doctor");
        assertThat(old.code()).isEqualTo(3);
        assertThat(old.err()).contains("needs Maven 3.8.7 or newer", "is 3.8.6");
        assertThat(workplace.mavenRuns()).isEmpty();
    }

    @Test
    void maven310AndLaterAreNewEnough() throws Exception {
        workplace.maven(
                "3.10.0",
                "mkdir -p deploy/target/lib",
                "echo new > deploy/target/lib/deploy-0.1.0.jar");

        assertThat(workplace.run("doctor").code()).isZero();
    }

    @Test
    void twoLaunchesAtOnceBuildOnce() throws Exception {
        Path base = workplace.base();
        workplace.maven(
                "3.9.9",
                "for try in {1..400}; do",
                "  grep -q 'another ./castalia' '" + base + "/e1' '" + base + "/e2' && break",
                "  sleep 0.1",
                "done",
                "mkdir -p deploy/target/lib",
                "echo new > deploy/target/lib/deploy-0.1.0.jar");
        Process first = workplace.start(base.resolve("o1"), base.resolve("e1"), "doctor");
        Process second = workplace.start(base.resolve("o2"), base.resolve("e2"), "doctor");

        assertThat(first.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(second.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(first.exitValue()).isZero();
        assertThat(second.exitValue()).isZero();
        assertThat(workplace.mavenRuns()).hasSize(1);
        String said = Files.readString(base.resolve("e1")) + Files.readString(base.resolve("e2"));
        assertThat(said).contains("another ./castalia is building or testing here");
    }

    @Test
    void aBuildThatIsStillRunByAnotherProcessStays() throws Exception {
        Path jdk = workplace.jdk("jdk", "25");
        Workplace.script(
                jdk.resolve("bin/java"),
                "if [ \"$1\" = -version ]; then echo 'openjdk version \"25\"' >&2; exit 0; fi",
                "for one in \"$@\"; do [ \"$one\" = wait ] && exec sleep 60; done",
                "exit 0");
        workplace.run("doctor");
        Path base = workplace.base();
        Process running = workplace.start(base.resolve("o1"), base.resolve("e1"), "wait");
        try {
            while (running.info().command().filter(name -> name.endsWith("sleep")).isEmpty()) {
                assertThat(running.isAlive()).isTrue();
                Thread.onSpinWait();
            }
            workplace.write("deploy/src/main/java/A.java", "class A { int changed; }\n");
            workplace.run("doctor");
            assertThat(builds()).isEqualTo(2);
        } finally {
            running.destroy();
            running.waitFor();
        }
        workplace.write("deploy/src/main/java/A.java", "class A { int changedAgain; }\n");
        workplace.run("doctor");
        assertThat(builds()).isEqualTo(1);
    }

    @Test
    void aSignalReachesJavaItself() throws Exception {
        Path jdk = workplace.jdk("jdk", "25");
        Workplace.script(
                jdk.resolve("bin/java"),
                "if [ \"$1\" = -version ]; then echo 'openjdk version \"25\"' >&2; exit 0; fi",
                "trap 'echo finished the step; exit 143' TERM",
                "echo ready",
                "while true; do read -r -t 0.1 < /dev/null; sleep 0.05; done");
        Path out = workplace.base().resolve("o");
        Process process = workplace.start(out, workplace.base().resolve("e"), "train");
        while (!Files.readString(out).contains("ready")) {
            assertThat(process.isAlive()).isTrue();
            Thread.onSpinWait();
        }
        process.destroy();
        assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(process.exitValue()).isEqualTo(143);
        assertThat(out).content().contains("finished the step");
    }

    @Test
    void aStoppedBuildStopsMavenToo() throws Exception {
        stopsMaven();
    }

    /** A signal then comes between the line that starts Maven and the one after it. */
    @Test
    void aBuildThatIsStoppedAsItBeginsStopsMavenToo() throws Exception {
        Path slow = workplace.base().resolve("slow");
        Files.writeString(slow, "set -T; trap '[ -n \"${!:-}\" ] && sleep 0.2' DEBUG\n");
        workplace.with("BASH_ENV", slow.toString());
        stopsMaven();
    }

    private void stopsMaven() throws Exception {
        Path number = workplace.base().resolve("number");
        workplace.maven("3.9.9", "echo $$ > '" + number + "'", "exec sleep 60");
        Path err = workplace.base().resolve("e");
        Process process = workplace.start(workplace.base().resolve("o"), err, "doctor");
        while (!Files.exists(number) || Files.readString(number).isBlank()) {
            assertThat(process.isAlive()).isTrue();
            Thread.onSpinWait();
        }
        process.destroy();

        assertThat(process.waitFor(60, TimeUnit.SECONDS)).isTrue();
        assertThat(process.exitValue()).isEqualTo(143);
        assertThat(err).content().contains("castalia: stopped");
        long maven = Long.parseLong(Files.readString(number).strip());
        assertThat(ProcessHandle.of(maven).filter(ProcessHandle::isAlive)).isEmpty();
    }

    @Test
    void aLinkToTheLauncherFindsItsFolder() throws Exception {
        Path link = workplace.tools().resolve("castalia");
        Files.createSymbolicLink(link, workplace.root().resolve("castalia"));
        Process process =
                new ProcessBuilder(link.toString(), "jdk")
                        .redirectErrorStream(true)
                        .directory(workplace.base().toFile())
                        .start();
        process.getOutputStream().close();
        assertThat(new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8))
                .startsWith("/");
        assertThat(process.waitFor()).isZero();
    }
}
