package castalia.deploy.rules;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.testing.NotRun;

import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;

/**
 * Runs the enforcer rules of the root pom on small projects that have it as parent. Their
 * dependencies are poms of a repository in the test's folder; Maven's plugins come from the
 * repository of the build that runs this test; what Maven keeps goes to the test's folder. So
 * neither the network nor any real artifact is touched.
 */
@Tag("default")
@Timeout(300)
class DependencyRulesTest {
    private static final Path ROOT = Path.of(System.getProperty("castalia.root"));

    /** Coordinates that must pass together. */
    private static final List<String> ALLOWED =
            List.of(
                    "com.typesafe.akka:akka-actor-typed_2.13:2.8.5",
                    "com.typesafe.akka:akka-cluster_2.13:2.6.21",
                    "com.typesafe.akka:akka-http_2.13:10.5.3",
                    "com.typesafe.akka:akka-http-core_2.13:10.2.10",
                    "com.typesafe.akka:akka-parsing_2.13:10.5.3",
                    "com.lightbend.akka.management:akka-management_2.13:1.4.1",
                    "com.lightbend.akka.discovery:akka-discovery-kubernetes-api_2.13:1.4.0",
                    "org.snakeyaml:snakeyaml-engine:3.2",
                    "at.yawk.lz4:lz4-java:1.14.0");

    /** Coordinates each of which must be refused by name. */
    private static final List<String> FORBIDDEN =
            List.of(
                    "com.typesafe.akka:akka-actor-typed_2.13:2.8.6",
                    "com.typesafe.akka:akka-remote_2.13:2.7.1",
                    "com.typesafe.akka:akka-stream_2.13:2.10.0",
                    "com.typesafe.akka:akka-http_2.13:10.6.0",
                    "com.typesafe.akka:akka-http-spray-json_2.13:10.7.0",
                    "com.typesafe.akka:akka-parsing_2.13:10.6.3",
                    "com.lightbend.akka.management:akka-management-cluster-http_2.13:1.4.2",
                    "com.lightbend.akka.discovery:akka-discovery-kubernetes-api_2.13:1.5.0",
                    "io.netty:netty-transport:4.2.0",
                    "org.yaml:snakeyaml:2.4",
                    "org.lz4:lz4-java:1.8.0",
                    "net.jqwik:jqwik:1.9.0",
                    "org.mockito:mockito-core:5.0.0",
                    "org.scalatest:scalatest_2.13:3.2.0");

    @TempDir Path folder;

    private record Outcome(int code, String log) {}

    @Test
    void everyAllowedVersionPasses() throws Exception {
        Outcome outcome = validate(ALLOWED);

        assertThat(outcome.log()).contains("BUILD SUCCESS");
        assertThat(outcome.code()).isZero();
    }

    @Test
    void everyForbiddenVersionIsRefusedByName() throws Exception {
        Outcome outcome = validate(FORBIDDEN);

        assertThat(outcome.code()).isNotZero();
        assertThat(outcome.log())
                .contains("Akka up to 2.8.5", "Castalia does without these libraries");
        for (String coordinates : FORBIDDEN) {
            assertThat(outcome.log()).containsPattern(refusal(coordinates));
        }
    }

    @Test
    void aForbiddenVersionBesideAllowedOnesIsTheOnlyOneRefused() throws Exception {
        Outcome outcome = validate(List.of(ALLOWED.get(0), ALLOWED.get(5), FORBIDDEN.get(3)));

        assertThat(outcome.code()).isNotZero();
        assertThat(outcome.log()).containsPattern(refusal(FORBIDDEN.get(3)));
        assertThat(outcome.log()).doesNotContainPattern(refusal(ALLOWED.get(0)));
    }

    private static String refusal(String coordinates) {
        return coordinates.replace(".", "\\.").replaceFirst(":([^:]*)$", ":jar:$1")
                + " <--- banned";
    }

    private Outcome validate(List<String> dependencies) throws IOException, InterruptedException {
        NotRun.unlessTool("dependency rules", "mvn");
        String repository = System.getProperty("localRepository");
        NotRun.unless(
                repository != null,
                "dependency rules",
                "Maven's repository is known to Surefire only");
        Path plugins = Path.of(Objects.requireNonNull(repository));
        StringBuilder list = new StringBuilder();
        for (String coordinates : dependencies) {
            String[] parts = coordinates.split(":", -1);
            put(parts[0], parts[1], parts[2]);
            list.append(
                    ("<dependency><groupId>%s</groupId><artifactId>%s</artifactId>"
                                    + "<version>%s</version></dependency>\n")
                            .formatted((Object[]) parts));
        }
        Files.createDirectories(folder.resolve("parent"));
        Files.copy(ROOT.resolve("pom.xml"), folder.resolve("parent/pom.xml"));
        Files.writeString(
                folder.resolve("pom.xml"),
                """
                <project xmlns="http://maven.apache.org/POM/4.0.0">
                  <modelVersion>4.0.0</modelVersion>
                  <parent>
                    <groupId>castalia</groupId>
                    <artifactId>castalia</artifactId>
                    <version>0.1.0</version>
                    <relativePath>parent/pom.xml</relativePath>
                  </parent>
                  <artifactId>dependencies-of-a-test</artifactId>
                  <repositories><repository><id>test</id><url>%s</url></repository></repositories>
                  <dependencies>
                %s
                  </dependencies>
                </project>
                """
                        .formatted(folder.resolve("repository").toUri(), list));
        Files.createDirectories(folder.resolve(".mvn"));
        Path settings = folder.resolve("settings.xml");
        Files.writeString(
                settings,
                """
                <settings>
                  <localRepository>%s</localRepository>
                  <mirrors><mirror>
                    <id>plugins</id><mirrorOf>*,!test</mirrorOf><url>%s</url>
                  </mirror></mirrors>
                </settings>
                """
                        .formatted(folder.resolve("local"), plugins.toUri()));
        Path log = folder.resolve("log");
        Process process =
                new ProcessBuilder(
                                "mvn",
                                "--batch-mode",
                                "-Dstyle.color=never",
                                "-Dcastalia.jdk.checked=true",
                                "--settings",
                                settings.toString(),
                                "validate")
                        .directory(folder.toFile())
                        .redirectErrorStream(true)
                        .redirectOutput(log.toFile())
                        .start();
        process.getOutputStream().close();
        assertThat(process.waitFor(240, TimeUnit.SECONDS)).isTrue();
        return new Outcome(process.exitValue(), Files.readString(log));
    }

    /** A pom, as a repository holds it. */
    private void put(String group, String artifact, String version) throws IOException {
        Path home =
                folder.resolve("repository")
                        .resolve(group.replace('.', '/'))
                        .resolve(artifact)
                        .resolve(version);
        Files.createDirectories(home);
        Files.writeString(
                home.resolve(artifact + "-" + version + ".pom"),
                """
                <project><modelVersion>4.0.0</modelVersion>
                <groupId>%s</groupId><artifactId>%s</artifactId><version>%s</version></project>
                """
                        .formatted(group, artifact, version));
    }
}
