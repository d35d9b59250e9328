package castalia.checkpoints;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.identity.Claimant;
import castalia.protocol.identity.Incarnation;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(120)
class RunFolderTest {

    @TempDir Path root;

    @Test
    void aNewFolderIsCreatedAndOpensAgain() throws IOException {
        Path path = root.resolve("runs/a");
        try (RunFolder folder = RunFolder.openToTrain(path, Runs.specification())) {
            assertThat(folder.catalogue().steps()).isEmpty();
            assertThat(folder.metrics()).isEqualTo(path.resolve("metrics.jsonl"));
        }
        try (RunFolder again = RunFolder.openToTrain(path, Runs.specification())) {
            assertThat(again.identity()).isEqualTo(RunFolder.openToRead(path).identity());
            assertThat(RunFolder.openToRead(path).specification())
                    .isEqualTo(Runs.specification());
        }
        assertThat(Fixtures.files(path)).extracting(p -> p.getFileName().toString())
                .containsExactly(
                        "catalogue", "chunks", "generations", "layouts", "lock", "specification",
                        "terms");
    }

    @Test
    void theAnswersOfWhoFirstTrainedStand() throws IOException {
        try (RunFolder folder = RunFolder.openToTrain(root, Runs.specification())) {
            assertThat(folder.answers("first\n")).isEqualTo("first\n");
            assertThat(folder.answers("second\n")).isEqualTo("first\n");
        }
        try (RunFolder again = RunFolder.openToTrain(root, Runs.specification())) {
            assertThat(again.answers("third\n")).isEqualTo("first\n");
        }
    }

    @Test
    void theFolderOfAnotherRunIsRefused() throws IOException {
        RunFolder.openToTrain(root, Runs.specification()).close();
        assertThatThrownBy(() -> RunFolder.openToTrain(root, Runs.specification(2, 7)))
                .isInstanceOf(CheckpointException.class)
                .hasMessageContaining("belongs to another run")
                .hasMessageContaining(root.toString());
        RunFolder.openToTrain(root, Runs.specification()).close();
    }

    @Test
    void theSameProcessCannotTrainTwiceInAFolder() throws IOException {
        try (RunFolder folder = RunFolder.openToTrain(root, Runs.specification())) {
            assertThatThrownBy(() -> RunFolder.openToTrain(root, Runs.specification()))
                    .isInstanceOf(CheckpointException.class)
                    .hasMessageContaining("is in use by this process (pid "
                            + ProcessHandle.current().pid());
            assertThat(folder.path()).isEqualTo(root);
        }
    }

    /** Opens the folder given and waits. */
    static final class Holder {

        private Holder() {}

        public static void main(String[] arguments) throws IOException {
            try (RunFolder folder =
                    RunFolder.openToTrain(Path.of(arguments[0]), Runs.specification())) {
                System.out.println("holds " + folder.identity().shortId());
                System.out.println(System.in.read());
            } catch (CheckpointException e) {
                System.out.println(e.getMessage());
            }
        }
    }

    @Test
    void anotherProcessIsNamedByItsPidAndItsDeathFreesTheFolder() throws IOException {
        try (OtherJvm other = new OtherJvm(Holder.class, root.toString())) {
            assertThat(other.line()).startsWith("holds");
            assertThatThrownBy(() -> RunFolder.openToTrain(root, Runs.specification()))
                    .isInstanceOf(CheckpointException.class)
                    .hasMessageContaining("is in use by another process (pid " + other.pid());
            try (RunFolder looking = RunFolder.openToRead(root)) {
                assertThat(looking.holder().orElseThrow()).startsWith("pid " + other.pid());
                assertThat(looking.holder()).as("looking takes nothing").isPresent();
            }
        }
        try (RunFolder folder = RunFolder.openToTrain(root, Runs.specification());
                OtherJvm other = new OtherJvm(Holder.class, root.toString())) {
            assertThat(other.line()).contains("(pid " + ProcessHandle.current().pid());
            assertThat(folder.path()).isEqualTo(root);
        }
    }

    @Test
    void whoHoldsTheLockIsToldAndWhoLooksHoldsNothing() throws IOException {
        RunFolder.openToTrain(root, Runs.specification()).close();
        try (RunFolder looking = RunFolder.openToRead(root)) {
            assertThat(looking.holder()).isEmpty();
            try (RunFolder training = RunFolder.openToTrain(root, Runs.specification())) {
                assertThat(looking.holder()).contains(RunFolder.thisProcess());
                assertThat(training.holder()).contains(RunFolder.thisProcess());
                try (OtherJvm other = new OtherJvm(Holder.class, root.toString())) {
                    assertThat(other.line()).as("looking has not let it go").contains("in use");
                }
            }
            assertThat(looking.holder()).isEmpty();
            assertThat(looking.leader()).isEmpty();
        }
    }

    @Test
    void whoReplacedALeaderThatHangsIsTheLeaderThoughTheOtherHoldsTheLock() throws IOException {
        try (RunFolder hanging = RunFolder.openToTrain(root, Runs.specification());
                RunFolder looking = RunFolder.openToRead(root)) {
            looking.terms().claim(claim(1, "pid 1 on elsewhere"));
            assertThat(looking.leader()).as("it trains without a term")
                    .contains(RunFolder.thisProcess());
            hanging.terms().claim(claim(2, RunFolder.thisProcess()));
            assertThat(looking.leader()).contains(RunFolder.thisProcess());
            looking.terms().claim(claim(3, "pid 2 on elsewhere"));
            assertThat(looking.leader()).contains("pid 2 on elsewhere");
        }
    }

    private static String claim(long life, String process) {
        return new Claimant(new Incarnation(life), "node", "127.0.0.1", 1, process).text();
    }

    @Test
    void foldersThatAreNoneAreNamed() throws IOException {
        assertThatThrownBy(() -> RunFolder.openToRead(root))
                .isInstanceOf(CheckpointException.class).hasMessageContaining("no run folder");
        assertThatThrownBy(() -> RunFolder.openToRead(root.resolve("none")))
                .isInstanceOf(CheckpointException.class).hasMessageContaining("no folder");
        Path file = Files.createFile(root.resolve("file"));
        assertThatThrownBy(() -> RunFolder.openToTrain(file, Runs.specification()))
                .isInstanceOf(CheckpointException.class).hasMessageContaining("in the way");
    }

    @Test
    void aDamagedSpecificationIsNamed() throws IOException {
        RunFolder.openToTrain(root, Runs.specification()).close();
        Path file = root.resolve("specification");
        byte[] whole = Files.readAllBytes(file);
        for (int i = 0; i < whole.length; i += 7) {
            byte[] damaged = whole.clone();
            damaged[i] ^= 4;
            Files.write(file, damaged);
            assertThatThrownBy(() -> RunFolder.openToRead(root))
                    .isInstanceOf(DamagedFileException.class).hasMessageContaining("specification");
            assertThatThrownBy(() -> RunFolder.openToTrain(root, Runs.specification()))
                    .isInstanceOf(DamagedFileException.class);
        }
    }

    @Test
    void linksInPlaceOfTheFoldersAreRefused() throws IOException {
        Path path = Files.createDirectory(root.resolve("run"));
        Files.createSymbolicLink(path.resolve("chunks"), root);
        assertThatThrownBy(() -> RunFolder.openToTrain(path, Runs.specification()))
                .isInstanceOf(CheckpointException.class).hasMessageContaining("in the way");
    }
}
