package castalia.checkpoints;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.specification.RunSpecification;
import castalia.testing.NotRun;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** What is left of a run folder when the process dies or the power fails at any point. */
@Timeout(120)
class CrashTest {

    private static final RunSpecification RUN = Runs.smallest();
    /** Ways to cut the power at each operation; a long run sets the property. */
    private static final int CUTS_PER_POINT = Integer.getInteger("castalia.test.cuts", 1);

    @TempDir Path root;

    /** Opens the folder and writes two checkpoints; tells how many were acknowledged. */
    private static int twoCheckpoints(FileOperations files, Path path) {
        int acknowledged = 0;
        try (RunFolder folder = RunFolder.openToTrain(files, path, RUN)) {
            Runs.write(folder, 1);
            acknowledged++;
            Runs.write(folder, 2);
            acknowledged++;
        } catch (IOException e) {
            assertThat(e.getMessage()).isIn(CrashDisk.POWER, "the process died");
        }
        return acknowledged;
    }

    /** Whether the folder holds what was acknowledged, whole, and at most one more. */
    private static boolean holds(Path path, int acknowledged) throws IOException {
        if (acknowledged == 0 && !Files.exists(path.resolve("specification"))) {
            return true;
        }
        RunFolder folder;
        try {
            folder = RunFolder.openToRead(path);
        } catch (CheckpointException e) {
            return false;
        }
        List<Long> steps = folder.catalogue().steps();
        boolean whole = steps.equals(List.of(1L, 2L).subList(0, steps.size()))
                && steps.size() >= acknowledged
                && steps.size() <= acknowledged + 1;
        for (long step : steps) {
            whole &= CheckpointVerifier.verify(folder, step, 1).intact();
        }
        return whole;
    }

    @Test
    void aProcessThatDiesAtAnyOperationLeavesOldOrNewCheckpoints() throws IOException {
        Path path = Files.createDirectories(root.resolve("run"));
        int acknowledged = 0;
        int points = 0;
        for (int n = 0; acknowledged < 2; n += 1 + n % 2, points++) {
            Fixtures.delete(path);
            acknowledged = twoCheckpoints(InterruptedFiles.dyingAt(n), path);
            assertThat(holds(path, acknowledged)).as("operation " + n).isTrue();
            if (n % 10 == 0) {
                assertThat(twoCheckpoints(FileOperations.real(), path)).isEqualTo(2);
                assertThat(holds(path, 2)).isTrue();
            }
        }
        assertThat(points).isGreaterThan(100);
    }

    /** Cuts the power at every operation, several ways; counts the runs that lost something. */
    private int losses(UnaryOperator<FileOperations> wrapped, int stride) throws IOException {
        int lost = 0;
        Path path = root.resolve("run");
        Path kept = Files.createDirectory(root.resolve("kept"));
        CrashDisk whole = new CrashDisk(Integer.MAX_VALUE, kept);
        assertThat(twoCheckpoints(wrapped.apply(whole), path)).isEqualTo(2);
        for (int n = 0; n <= whole.operations(); n += stride) {
            for (int cut = 0; cut < CUTS_PER_POINT; cut++) {
                Fixtures.delete(path);
                Fixtures.delete(kept);
                Files.createDirectory(kept);
                CrashDisk disk = new CrashDisk(n, kept);
                int acknowledged = twoCheckpoints(wrapped.apply(disk), path);
                disk.cut(new Random(n * 31L + cut));
                if (!holds(path, acknowledged)) {
                    lost++;
                } else if (cut == 0 && n % 40 == 0) {
                    assertThat(twoCheckpoints(FileOperations.real(), path)).isEqualTo(2);
                    assertThat(holds(path, 2)).isTrue();
                }
            }
        }
        return lost;
    }

    @Test
    @Timeout(3600)
    void noPowerCutLosesWhatWasAcknowledgedOrMixesCheckpoints() throws IOException {
        assertThat(losses(files -> files, 1)).isZero();
    }

    @Test
    void theTestFindsAStoreThatForgetsToForceFolders() throws IOException {
        assertThat(losses(files -> new ForwardingFiles(files) {
            @Override
            public void forceDirectory(Path folder) {}
        }, 3)).isPositive();
    }

    @Test
    void theTestFindsAStoreThatForgetsToForceFiles() throws IOException {
        assertThat(losses(files -> new ForwardingFiles(files) {
            @Override
            public Output create(Path file) throws IOException {
                Output output = super.create(file);
                return new Output() {
                    @Override
                    public void write(ByteBuffer bytes) throws IOException {
                        output.write(bytes);
                    }

                    @Override
                    public void force() {}

                    @Override
                    public void close() throws IOException {
                        output.close();
                    }
                };
            }
        }, 3)).isPositive();
    }

    @Test
    void aFullDiskAtAnyOperationKeepsThePreviousCheckpointAndLeavesNoTemporaryFile()
            throws IOException {
        boolean finished = false;
        for (int n = 0; !finished; n++) {
            Path path = root.resolve("run-" + n);
            try (RunFolder folder = RunFolder.openToTrain(
                    InterruptedFiles.fullAt(Integer.MAX_VALUE), path, RUN)) {
                Runs.write(folder, 1);
            }
            InterruptedFiles files = InterruptedFiles.fullAt(n);
            try (RunFolder folder = RunFolder.openToTrain(files, path, RUN)) {
                Runs.write(folder, 2);
                finished = true;
            } catch (IOException e) {
                assertThat(e).hasMessageContaining("o space left");
            }
            assertThat(finished).isEqualTo(files.operations() <= n);
            assertThat(holds(path, finished ? 2 : 1)).isTrue();
            try (Stream<Path> all = Files.walk(path)) {
                assertThat(all.filter(p -> p.toString().contains(".tmp-"))).isEmpty();
            }
        }
    }

    @Test
    void theRestOfTheCheckpointIsWhatAFullDiskMustHold() throws IOException {
        FileOperations full = new ForwardingFiles(FileOperations.real()) {
            @Override
            public long usableBytes(Path folder) {
                return ChunkStore.RESERVED_BYTES;
            }
        };
        try (RunFolder folder = RunFolder.openToTrain(full, root.resolve("run"), RUN)) {
            long bytes = folder.grid().chunks().stream()
                    .mapToLong(chunk -> ChunkFile.fileBytes(chunk.length())).sum();
            assertThatThrownBy(() -> Runs.write(folder, 1))
                    .isInstanceOfSatisfying(StorageFullException.class, e -> {
                        assertThat(e.bytesNeeded()).isEqualTo(bytes);
                        assertThat(e.folder()).isEqualTo(root.resolve("run/chunks"));
                    });
            assertThat(folder.catalogue().steps()).isEmpty();
        }
    }

    /** Needs the right to mount a small file system in memory; skipped where there is none. */
    @Test
    void aReallyFullFileSystemIsNamedAndThePreviousCheckpointStays() throws Exception {
        Path small = Files.createDirectory(root.resolve("small"));
        boolean mounted = run("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", small.toString());
        NotRun.unless(mounted, "a full file system", "mounting tmpfs is not allowed");
        try {
            Path path = small.resolve("run");
            FileOperations boundless = new ForwardingFiles(FileOperations.real()) {
                @Override
                public long usableBytes(Path folder) {
                    return Long.MAX_VALUE;
                }
            };
            try (RunFolder folder =
                    RunFolder.openToTrain(boundless, path, Runs.specification())) {
                Runs.write(folder, 1);
                assertThatThrownBy(() -> {
                    Runs.write(folder, 2);
                    Runs.write(folder, 3);
                }).isInstanceOf(StorageFullException.class);
                assertThat(folder.catalogue().steps()).contains(1L);
                for (long step : folder.catalogue().steps()) {
                    assertThat(CheckpointVerifier.verify(folder, step, 1).intact()).isTrue();
                }
            }
            try (Stream<Path> all = Files.walk(path)) {
                assertThat(all.filter(p -> p.toString().contains(".tmp-"))).isEmpty();
            }
        } finally {
            run("umount", small.toString());
        }
    }

    private static boolean run(String... command) throws IOException, InterruptedException {
        try {
            Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
            return process.waitFor(10, TimeUnit.SECONDS) && process.exitValue() == 0;
        } catch (IOException e) {
            return false;
        }
    }
}
