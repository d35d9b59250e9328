package castalia.deploy.cluster;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.deploy.Cli;
import castalia.deploy.train.TrainingJob;
import castalia.protocol.CastaliaException;
import castalia.protocol.identity.Claimant;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.run.RunStorage;
import castalia.protocol.specification.RunSpecification;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Who may claim a term of a run while another process holds its folder's lock. */
class FolderRunStorageTest {

    @TempDir
    @SuppressWarnings("NullAway.Init") // JUnit fills it
    Path folder;

    @SuppressWarnings("NullAway.Init") // set before every test
    private RunSpecification specification;

    @SuppressWarnings("NullAway.Init") // set before every test
    private Path run;

    @BeforeEach
    void prepare() throws IOException {
        TinyRun tiny = TinyRun.write(folder, "fp32", 24, 4, 2);
        run = folder.resolve("run");
        try (TrainingJob job = TrainingJob.read(tiny.config(), OptionalInt.of(1),
                OptionalInt.of(1), Optional.empty(), Cli.home())) {
            specification = job.specification();
        }
    }

    private static Claimant claimant(String node) {
        return new Claimant(new Incarnation(node.hashCode()), node, "127.0.0.1", 4000,
                FolderRunStorage.thisProcess());
    }

    @Test
    void aCandidateReplacesALeaderThatHoldsTheLockAndTakesItLater() {
        try (FolderRunStorage next = new FolderRunStorage(run, specification)) {
            try (FolderRunStorage leader = FolderRunStorage.lead(run, specification)) {
                assertThat(next.newestClaim()).isEmpty();
                assertThat(leader.claimTerm(claimant("a"))).contains(1L);
                assertThat(next.newestClaim())
                        .contains(new RunStorage.Claim(1, Optional.of(claimant("a"))));
                assertThat(next.claimTerm(claimant("b"))).contains(2L);
                next.keepOthersOut(); // not yet: the other holds it
                assertThat(leader.newestTerm()).isEqualTo(2);
            }
            next.keepOthersOut();
            assertThatThrownBy(() -> FolderRunStorage.lead(run, specification))
                    .isInstanceOf(CastaliaException.class)
                    .hasMessageContaining("is in use by");
        }
    }

    @Test
    void aCandidateDoesNotTrainBesideAProcessThatIsNoCandidate() {
        try (FolderRunStorage stranger = FolderRunStorage.lead(run, specification);
                FolderRunStorage next = new FolderRunStorage(run, specification)) {
            assertThatThrownBy(() -> next.claimTerm(claimant("b")))
                    .isInstanceOf(CastaliaException.class)
                    .hasMessageContaining(run + " is in use by");
            assertThat(stranger.newestTerm()).isZero();
        }
    }

    @Test
    void aDamagedClaimNamesNobodyAndIsFollowedByTheNext() throws IOException {
        try (FolderRunStorage storage = FolderRunStorage.lead(run, specification)) {
            assertThat(storage.claimTerm(claimant("a"))).contains(1L);
            Files.writeString(run.resolve("terms").resolve("term-000000000001"), "damaged");
            assertThat(storage.newestClaim())
                    .contains(new RunStorage.Claim(1, Optional.empty()));
            assertThat(storage.claimTerm(claimant("a"))).contains(2L);
        }
    }
}
