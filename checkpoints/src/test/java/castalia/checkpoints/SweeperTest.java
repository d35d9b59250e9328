package castalia.checkpoints;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SweeperTest {

    private static final Duration GUARD = Duration.ofHours(1);

    @TempDir Path root;
    private RunFolder folder;

    @BeforeEach
    void open() throws IOException {
        folder = RunFolder.openToTrain(root.resolve("run"), Runs.specification());
        Runs.write(folder, 1);
        Runs.write(folder, 2);
    }

    @AfterEach
    void close() throws IOException {
        folder.close();
    }

    private static Instant later() {
        return Instant.now().plus(Duration.ofHours(2));
    }

    @Test
    void onlyChunksWithoutAManifestGoAndOnlyWhenOldEnough() throws IOException {
        int chunks = folder.grid().size();
        assertThat(Sweeper.sweep(folder, later(), GUARD))
                .isEqualTo(new Sweeper.Swept(0, 0, 2 * chunks, 0));
        Sweeper.remove(folder, List.of(1L));
        assertThat(Sweeper.sweep(folder, Instant.now(), GUARD))
                .isEqualTo(new Sweeper.Swept(0, 0, chunks, chunks));
        Sweeper.Swept swept = Sweeper.sweep(folder, later(), GUARD);
        assertThat(swept.files()).isEqualTo(chunks);
        assertThat(swept.bytes()).isEqualTo(folder.catalogue().read(2).chunks().stream()
                .mapToLong(entry -> entry.bytes()).sum());
        assertThat(folder.catalogue().steps()).containsExactly(2L);
        assertThat(CheckpointVerifier.verify(folder, 2, 1).intact()).isTrue();
    }

    @Test
    void temporaryFilesOfDeadWritersGo() throws IOException {
        Path sub = Fixtures.files(folder.path().resolve("chunks")).getFirst();
        for (Path in : List.of(folder.path(), folder.path().resolve("catalogue"), sub)) {
            Files.writeString(in.resolve(".tmp-1234"), "left");
        }
        assertThat(Sweeper.sweep(folder, Instant.now(), GUARD).guarded()).isEqualTo(3);
        assertThat(Sweeper.sweep(folder, later(), GUARD).files()).isEqualTo(3);
    }

    @Test
    void filesWithOtherNamesAndLinksStay() throws IOException {
        Path chunks = folder.path().resolve("chunks");
        Path outside = Files.createDirectories(root.resolve("outside/aa"));
        Path precious = Files.writeString(outside.resolve("a".repeat(64) + ".chunk"), "x");
        Files.createSymbolicLink(chunks.resolve("zz"), outside);
        Path strange = Files.createDirectory(chunks.resolve("strange"));
        Files.writeString(strange.resolve("b".repeat(64) + ".chunk"), "x");
        Path sub = Fixtures.files(chunks).getFirst();
        Files.writeString(sub.resolve("notes.txt"), "x");
        Files.createSymbolicLink(sub.resolve("c".repeat(64) + ".chunk"), precious);
        assertThat(Sweeper.sweep(folder, later(), GUARD).files()).isZero();
        assertThat(precious).exists();
        assertThat(folder.path().resolve("specification")).exists();
    }

    @Test
    void nothingIsRemovedWhileAManifestCannotBeRead() throws IOException {
        Sweeper.remove(folder, List.of(1L));
        Path manifest = folder.catalogue().path(2);
        byte[] whole = Files.readAllBytes(manifest);
        byte[] damaged = whole.clone();
        damaged[50] ^= 1;
        Files.write(manifest, damaged);
        assertThatThrownBy(() -> Sweeper.sweep(folder, later(), GUARD))
                .isInstanceOf(DamagedFileException.class);
        Files.write(manifest, whole);
        assertThat(CheckpointVerifier.verify(folder, 2, 1).intact()).isTrue();
        assertThat(Sweeper.sweep(folder, later(), GUARD).files()).isPositive();
    }

    @Test
    void aReusedChunkCountsAsYoung() throws IOException {
        Path old = folder.chunks().path(folder.catalogue().read(1).chunks().get(0).sha256());
        Sweeper.remove(folder, List.of(1L));
        Files.setLastModifiedTime(old, FileTime.from(
                Instant.now().minus(Duration.ofDays(9))));
        Runs.write(folder, 3, 1);
        Sweeper.remove(folder, List.of(3L));
        assertThat(Sweeper.sweep(folder, Instant.now(), GUARD).files()).isZero();
        assertThat(old).exists();
    }
}
