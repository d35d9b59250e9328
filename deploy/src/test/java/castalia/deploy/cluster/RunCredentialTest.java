package castalia.deploy.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.actors.tls.Credential;
import castalia.protocol.CastaliaException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

@Tag("default")
class RunCredentialTest {

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit fills it
    Path folder;

    private static Credential lead(Path run) {
        try (RunCredential.Making making = RunCredential.ofLeader(run)) {
            return making.get();
        }
    }

    private static List<String> files(Path run) throws IOException {
        try (Stream<Path> all = Files.list(run)) {
            return all.map(file -> file.getFileName().toString()).toList();
        }
    }

    @Test
    void itIsMadeOnceForItsOwnersEyesAndNamesTheFolderWhateverThatIsCalled() throws IOException {
        Path run = Files.createDirectory(folder.resolve("a run, 50% \u00fc:done"));
        Files.createDirectory(run.resolve(".credential-new")); // left by a start that was cut off
        Credential made = lead(run);
        assertThat(files(run)).containsExactly("credential");
        assertThat(PosixFilePermissions.toString(
                Files.getPosixFilePermissions(run.resolve("credential")))).isEqualTo("rw-------");
        assertThat(RunCredential.folder(made.certificate())).contains(run);
        assertThat(made.toString()).doesNotContain("key");
        Credential again = lead(run);
        assertThat(again.certificate()).isEqualTo(made.certificate());
        assertThat(again.key()).isEqualTo(made.key());
        assertThat(RunCredential.read(run).certificate()).isEqualTo(made.certificate());
    }

    @Test
    void itIsMadeAnewWhereTheFolderWasMovedOrItIsDamaged() throws IOException {
        Path run = Files.createDirectory(folder.resolve("run"));
        Credential made = lead(run);
        Path moved = Files.move(run, folder.resolve("moved"));
        Credential second = lead(moved);
        assertThat(second.certificate()).isNotEqualTo(made.certificate());
        assertThat(RunCredential.folder(second.certificate())).contains(moved);
        Path file = moved.resolve("credential");
        Files.writeString(file, Files.readString(file).substring(0, 300));
        assertThatThrownBy(() -> RunCredential.read(moved)).isInstanceOf(CastaliaException.class)
                .hasMessageContaining(file + " cannot be used: it is damaged: no CERTIFICATE");
        assertThat(lead(moved).certificate()).isNotEqualTo(second.certificate());
    }
}
