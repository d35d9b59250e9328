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
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.stream.Stream;

@Timeout(120)
class SetupTest {
    private static final String WRONG = "0".repeat(64);

    @TempDir Path temporary;

    private Workplace workplace;

    @BeforeEach
    void makeWorkplace() throws IOException {
        workplace = new Workplace(temporary);
        workplace.buildingMaven();
    }

    /** A .tar.gz with one folder, as JDKs are published. */
    private Path archive(String name, String version) throws Exception {
        Path folder = workplace.base().resolve("pack " + name);
        workplace.jdk(folder.resolve("jdk-" + version).toString(), version);
        Path archive = workplace.base().resolve(name + ".tar.gz");
        int code =
                new ProcessBuilder(
                                "tar",
                                "-czf",
                                archive.toString(),
                                "-C",
                                folder.toString(),
                                "jdk-" + version)
                        .inheritIO()
                        .start()
                        .waitFor();
        assertThat(code).isZero();
        return archive;
    }

    private static String sha256(Path file) throws Exception {
        return HexFormat.of()
                .formatHex(MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(file)));
    }

    private List<String> leftovers() throws IOException {
        Path home = workplace.root().resolve(".castalia");
        if (!Files.exists(home)) {
            return List.of();
        }
        try (Stream<Path> files = Files.list(home)) {
            return files.map(file -> file.getFileName().toString())
                    .filter(name -> name.startsWith("jdk"))
                    .sorted()
                    .toList();
        }
    }

    @Test
    void anArchiveWithTheRightSumBecomesTheJdk() throws Exception {
        Path archive = archive("right one", "25.0.3");

        Result result =
                workplace.run("setup", "--jdk", archive.toString(), "--sha256", sha256(archive));

        assertThat(result.code()).as(result.err()).isZero();
        assertThat(leftovers()).containsExactly("jdk");
        Path home = workplace.root().resolve(".castalia/jdk");
        assertThat(workplace.run("jdk").out()).isEqualTo(home + "\n");
        assertThat(workplace.run("doctor").out()).contains("java 25.0.3", "argument doctor");
    }

    @Test
    void aSumInCapitalsOrWithAFileNameBehindItIsTheSame() throws Exception {
        Path archive = archive("jdk", "25");
        String sum = sha256(archive).toUpperCase(Locale.ROOT) + "  jdk.tar.gz";

        assertThat(workplace.run("setup", "--jdk", archive.toString(), "--sha256", sum).code())
                .isZero();
    }

    @Test
    void anArchiveWithAnotherSumIsRefusedAndNothingIsUnpacked() throws Exception {
        Path archive = archive("other", "25");

        Result result = workplace.run("setup", "--jdk", archive.toString(), "--sha256", WRONG);

        assertThat(result.code()).isEqualTo(11);
        assertThat(result.err()).contains("has SHA-256 " + sha256(archive) + ", not " + WRONG);
        assertThat(leftovers()).isEmpty();
    }

    @Test
    void anArchiveOfAnotherVersionLeavesTheJdkThatWasThere() throws Exception {
        Path good = archive("good", "25.0.1");
        Path bad = archive("bad", "21.0.1");
        workplace.run("setup", "--jdk", good.toString(), "--sha256", sha256(good));

        Result result = workplace.run("setup", "--jdk", bad.toString(), "--sha256", sha256(bad));

        assertThat(result.code()).isEqualTo(11);
        assertThat(result.err()).contains("holds Java 21, not JDK 25");
        assertThat(leftovers()).containsExactly("jdk");
        assertThat(workplace.run("doctor").out()).contains("java 25.0.1");
    }

    @Test
    void aDamagedArchiveIsRefused() throws Exception {
        Path archive = workplace.base().resolve("noise.tar.gz");
        Files.writeString(archive, "this is no archive");

        Result result =
                workplace.run("setup", "--jdk", archive.toString(), "--sha256", sha256(archive));

        assertThat(result.code()).isEqualTo(16);
        assertThat(result.err()).contains("cannot unpack " + archive);
        assertThat(leftovers()).isEmpty();
    }

    @Test
    void wrongUsageIsExplained() throws Exception {
        assertThat(workplace.run("setup").err())
                .contains("setup needs --jdk ARCHIVE and --sha256 HEX");
        assertThat(workplace.run("setup", "--jdk").err()).contains("--jdk needs a value");
        assertThat(workplace.run("setup", "--jdk", "/nowhere", "--sha256", WRONG).err())
                .contains("cannot read /nowhere");
        assertThat(workplace.run("setup", "--jdk", "/nowhere", "--sha256", "12").err())
                .contains("has 2 digits");
        assertThat(workplace.run("setup", "--jdk", "/nowhere", "--sha256", "12").code())
                .isEqualTo(2);
        assertThat(workplace.run("help", "setup").out()).contains("Usage: ./castalia setup");
    }
}
