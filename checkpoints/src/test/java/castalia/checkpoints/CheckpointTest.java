package castalia.checkpoints;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.data.Offset.offset;

import castalia.checkpoints.CheckpointReader.Kind;
import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.checkpoint.Manifest;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.TensorSlice;
import castalia.protocol.model.Parameter.Role;
import castalia.protocol.step.StateDigest;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeSet;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class CheckpointTest {

    @TempDir Path root;

    @SuppressWarnings("MustBeClosedChecker") // Closed after each test.
    private final Arena arena = Arena.ofShared();

    private RunFolder folder;

    @BeforeEach
    void open() throws IOException {
        folder = RunFolder.openToTrain(root.resolve("run"), Runs.specification());
    }

    @AfterEach
    void close() throws IOException {
        folder.close();
        arena.close();
    }

    private static void flip(Path file, long at) throws IOException {
        byte[] bytes = Files.readAllBytes(file);
        bytes[(int) at] ^= 1;
        Files.write(file, bytes);
    }

    private Path chunkFile(long step, int chunk) throws IOException {
        return folder.chunks().path(folder.catalogue().read(step).chunks().get(chunk).sha256());
    }

    @Test
    void aCheckpointWrittenByManyThreadsIsReadBack() throws Exception {
        Runs.State state = Runs.State.of(arena, folder.specification(), 5);
        CheckpointWriter writer =
                new CheckpointWriter(folder, Runs.scalars(12), Manifest.NO_PARENT);
        try (ExecutorService executor = Executors.newFixedThreadPool(4)) {
            List<Future<?>> futures = new ArrayList<>();
            for (int i = state.grid().size() - 1; i >= 0; i--) {
                int chunk = i;
                futures.add(executor.submit(() -> {
                    state.addTo(writer, chunk);
                    return null;
                }));
            }
            for (Future<?> future : futures) {
                future.get();
            }
        }
        assertThat(folder.catalogue().steps()).isEmpty();
        Manifest manifest = writer.publish();
        assertThat(folder.catalogue().steps()).containsExactly(12L);
        assertThat(folder.path().resolve("catalogue/step-000000000012.manifest")).exists();
        CheckpointReader reader =
                CheckpointReader.open(RunFolder.openToRead(folder.path()), 12);
        assertThat(reader.manifest()).isEqualTo(manifest);
        assertThat(reader.manifest().scalarState()).isEqualTo(Runs.scalars(12));
        for (int chunk = 0; chunk < state.grid().size(); chunk++) {
            MemorySegment[] parts = new MemorySegment[3];
            for (int i = 0; i < 3; i++) {
                parts[i] = arena.allocate(state.part(i, chunk).byteSize(), 64);
            }
            reader.read(chunk, parts[0], parts[1], parts[2]);
            for (int i = 0; i < 3; i++) {
                assertThat(parts[i].mismatch(state.part(i, chunk))).isEqualTo(-1);
            }
        }
        MemorySegment weights = arena.allocate(state.parts().getFirst().byteSize(), 64);
        reader.weights().read(0, weights);
        assertThat(weights.mismatch(state.parts().getFirst())).isEqualTo(-1);
        CheckpointVerifier.Report report = CheckpointVerifier.verify(folder, 12, 3);
        assertThat(report.intact()).isTrue();
        assertThat(report.chunks()).isEqualTo(state.grid().size());
    }

    @Test
    void theDigestIsThatOfTheArithmeticPage() throws IOException {
        MemorySegment w = arena.allocate(16, 8);
        MemorySegment m = arena.allocate(16, 8);
        MemorySegment v = arena.allocate(16, 8);
        long x = 3;
        long y = 5;
        long z = 7;
        w.set(ValueLayout.JAVA_LONG, 8, x);
        m.set(ValueLayout.JAVA_LONG, 8, y);
        v.set(ValueLayout.JAVA_LONG, 8, z);
        long golden = 0x9E3779B97F4A7C15L;
        long t = 10 * golden;
        long k1 = (t ^ (t >>> 29)) | 1;
        long s = t * 0xBF58476D1CE4E5B9L;
        long k2 = (s ^ (s >>> 32)) | 1;
        long u = x * golden + y * 0xC2B2AE3D27D4EB4FL + z * 0x165667B19E3779F9L;
        assertThat(Hashing.digest(16, w, m, v))
                .isEqualTo(new StateDigest(u * k1, (u ^ (u >>> 32)) * k2));
    }

    @Test
    void memoryThatNoLongerHoldsTheStateIsNotWritten() throws IOException {
        Runs.State state = Runs.State.of(arena, folder.specification(), 5);
        CheckpointWriter writer =
                new CheckpointWriter(folder, Runs.scalars(1), Manifest.NO_PARENT);
        MemorySegment weights = state.part(0, 3);
        StateDigest good = Hashing.digest(
                state.grid().chunk(3).offset(), weights, state.part(1, 3), state.part(2, 3));
        writer.add(3, good, weights, state.part(1, 3), state.part(2, 3));
        weights.set(ValueLayout.JAVA_BYTE, 9, (byte) (weights.get(ValueLayout.JAVA_BYTE, 9) ^ 2));
        assertThatThrownBy(() ->
                writer.add(3, good, weights, state.part(1, 3), state.part(2, 3)))
                .isInstanceOf(CheckpointException.class)
                .hasMessageContaining("memory is damaged");
    }

    @Test
    void aCheckpointWithoutAllChunksIsNotPublished() throws IOException {
        Runs.State state = Runs.State.of(arena, folder.specification(), 5);
        CheckpointWriter writer =
                new CheckpointWriter(folder, Runs.scalars(1), Manifest.NO_PARENT);
        for (int i = 0; i < state.grid().size() - 1; i++) {
            state.addTo(writer, i);
        }
        int last = state.grid().size() - 1;
        assertThatThrownBy(writer::publish).isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("chunk " + last);
        CheckpointWriter other =
                new CheckpointWriter(folder, Runs.scalars(1), Manifest.NO_PARENT);
        ChunkEntry entry = other.add(
                last, state.part(0, last), state.part(1, last), state.part(2, last));
        other.settle();
        writer.accept(entry);
        Path file = folder.chunks().path(entry.sha256());
        byte[] bytes = Files.readAllBytes(file);
        Files.delete(file);
        assertThatThrownBy(writer::publish).isInstanceOf(DamagedFileException.class);
        assertThat(folder.catalogue().steps()).isEmpty();
        Files.write(file, bytes);
        writer.publish();
        assertThat(CheckpointVerifier.verify(folder, 1, 1).intact()).isTrue();
        assertThatThrownBy(() -> writer.add(0, state.part(0, 2), state.part(1, 2),
                state.part(2, 2))).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void theSameStateMayBePublishedAgainAndAnotherMayNot() throws IOException {
        Manifest first = Runs.write(folder, 3);
        assertThat(Runs.write(folder, 3)).isEqualTo(first);
        assertThatThrownBy(() -> Runs.write(folder, 3, 4))
                .isInstanceOf(CheckpointException.class)
                .hasMessageContaining(first.stateHash())
                .hasMessageContaining("equal runs must give equal states");
        flip(folder.catalogue().path(3), 40);
        assertThat(Runs.write(folder, 3)).isEqualTo(first);
        assertThat(CheckpointVerifier.verify(folder, 3, 1).intact()).isTrue();
    }

    @Test
    void everyFlippedByteOfAManifestIsDetected() throws IOException {
        Runs.write(folder, 1);
        Path file = folder.catalogue().path(1);
        byte[] whole = Files.readAllBytes(file);
        for (int i = 0; i < whole.length; i++) {
            byte[] damaged = whole.clone();
            damaged[i] ^= (byte) (1 << (i % 8));
            Files.write(file, damaged);
            assertThatThrownBy(() -> CheckpointReader.open(folder, 1))
                    .isInstanceOf(DamagedFileException.class);
            CheckpointVerifier.Report report = CheckpointVerifier.verify(folder, 1, 1);
            assertThat(report.damages()).singleElement()
                    .satisfies(d -> assertThat(d.file()).isEqualTo(file));
        }
    }

    @Test
    void theNewestWholeCheckpointIsFoundAndTheDamageReported() throws IOException {
        for (long step : new long[] {0, 10, 20, 30}) {
            Runs.write(folder, step);
        }
        assertThat(CheckpointReader.latest(folder, false, 2).reader().orElseThrow().step())
                .isEqualTo(30);
        Path chunk = chunkFile(30, 2);
        flip(chunk, Files.size(chunk) - 1);
        flip(folder.catalogue().path(20), 100);
        assertThatThrownBy(() -> CheckpointReader.latest(folder, false, 2))
                .isInstanceOf(CheckpointException.class)
                .hasMessageContaining("step 30").hasMessageContaining(chunk.toString());
        CheckpointReader.Latest latest = CheckpointReader.latest(folder, true, 2);
        assertThat(latest.reader().orElseThrow().step()).isEqualTo(10);
        assertThat(latest.passedOver()).extracting(Damage::file)
                .containsExactly(chunk, folder.catalogue().path(20));
        assertThat(latest.passedOver().getFirst().toString()).contains("at byte ");
        for (long step : new long[] {0, 10}) {
            Files.delete(chunkFile(step, 1));
        }
        assertThat(CheckpointReader.latest(folder, true, 1).reader()).isEmpty();
        assertThat(CheckpointReader.latest(folder, true, 1).passedOver()).hasSize(4);
    }

    @Test
    void absentStepsAndStrangeFilesAreTold() throws IOException {
        assertThatThrownBy(() -> CheckpointReader.open(folder, 5))
                .isInstanceOf(CheckpointException.class)
                .hasMessageContaining("no checkpoint of step 5; it has none at all");
        Runs.write(folder, 4);
        Runs.write(folder, 9);
        assertThatThrownBy(() -> CheckpointReader.open(folder, 5))
                .hasMessageContaining("nearest before is 4, the newest 9");
        Path catalogue = folder.path().resolve("catalogue");
        Files.writeString(catalogue.resolve("step-5.manifest"), "x");
        Files.writeString(catalogue.resolve("step-000000000007.manifest.bak"), "x");
        Files.writeString(catalogue.resolve("notes.txt"), "x");
        assertThat(folder.catalogue().steps()).containsExactly(4L, 9L);
        Files.copy(folder.catalogue().path(4), folder.catalogue().path(5));
        assertThatThrownBy(() -> CheckpointReader.open(folder, 5))
                .isInstanceOf(DamagedFileException.class)
                .hasMessageContaining("manifest of step 4");
    }

    @Test
    void aCheckpointOfAnotherRunIsRefused() throws IOException {
        try (RunFolder other =
                RunFolder.openToTrain(root.resolve("other"), Runs.specification(2, 8))) {
            Runs.write(other, 1);
            Files.copy(other.catalogue().path(1), folder.catalogue().path(1));
            assertThatThrownBy(() -> CheckpointReader.open(folder, 1))
                    .isInstanceOf(CheckpointException.class)
                    .hasMessageContaining(other.identity().shortId());
        }
    }

    @Test
    void anyDamageToAnyChunkIsNamed() throws IOException {
        Runs.write(folder, 1);
        int chunks = folder.grid().size();
        for (int chunk = 0; chunk < chunks; chunk++) {
            Path file = chunkFile(1, chunk);
            byte[] whole = Files.readAllBytes(file);
            flip(file, (chunk * 7919L) % whole.length);
            assertThat(CheckpointVerifier.verify(folder, 1, 1).damages()).singleElement()
                    .satisfies(d -> assertThat(d.file()).isEqualTo(file));
            Files.write(file, whole);
        }
        Files.delete(chunkFile(1, 0));
        Files.delete(chunkFile(1, chunks - 1));
        CheckpointVerifier.Report report = CheckpointVerifier.verify(folder, 1, 4);
        assertThat(report.damages()).extracting(Damage::what)
                .containsExactly("the chunk is missing", "the chunk is missing");
    }

    @Test
    void equalCheckpointsAreEqualWhateverTheNumberOfSlices() throws IOException {
        try (RunFolder one =
                RunFolder.openToTrain(root.resolve("one"), Runs.specification(1, 1))) {
            Runs.write(one, 1);
            Runs.write(folder, 1);
            CheckpointDiff.Result same = CheckpointDiff.compare(
                    CheckpointReader.open(one, 1), CheckpointReader.open(folder, 1));
            assertThat(same.equal()).isTrue();
        }
    }

    @Test
    void theFirstDifferenceIsFoundAndMeasured() throws IOException {
        Runs.write(folder, 1);
        Runs.State state = Runs.State.of(arena, Runs.specification(1, 1), 1);
        try (RunFolder one =
                RunFolder.openToTrain(root.resolve("one"), Runs.specification(1, 1))) {
            FlatLayout layout = state.grid().layout();
            TensorSlice dense = layout.slice(Role.DENSE_WEIGHT, 1, 0);
            long at = dense.offset() + 16 * 3 + 9;
            float before = state.parts().get(1).getAtIndex(ValueLayout.JAVA_FLOAT, at);
            state.parts().get(1).setAtIndex(ValueLayout.JAVA_FLOAT, at, before + 2);
            state.parts().getFirst().setAtIndex(ValueLayout.JAVA_FLOAT,
                    layout.slice(Role.HEAD, 2, 0).offset(),
                    Float.NaN);
            CheckpointWriter writer =
                    new CheckpointWriter(one, Runs.scalars(2), Manifest.NO_PARENT);
            for (int i = 0; i < state.grid().size(); i++) {
                state.addTo(writer, i);
            }
            writer.publish();
            CheckpointDiff.Result result = CheckpointDiff.compare(
                    CheckpointReader.open(folder, 1), CheckpointReader.open(one, 2));
            assertThat(result.equal()).isFalse();
            assertThat(result.scalars())
                    .containsExactly("step 1 against 2", "appliedUpdates 1 against 2");
            assertThat(result.tensors()).hasSize(2);
            CheckpointDiff.TensorDifference first = result.first().orElseThrow();
            assertThat(first.tensor()).isEqualTo("gpt_neox.layers.0.attention.dense.weight");
            assertThat(first.kind()).isEqualTo(Kind.FIRST_MOMENTS);
            assertThat(first.firstIndex()).isEqualTo(16 * 3 + 9);
            assertThat(first.different()).isEqualTo(1);
            assertThat(first.maxAbsolute()).isEqualTo(2, offset(1e-6));
            assertThat(result.tensors().getLast().maxAbsolute()).isNaN();
        }
    }

    @Test
    void tracesOfEqualRunsAgreeAndThoseOfOthersForkAtTheFirstDifference() throws IOException {
        try (RunFolder other =
                RunFolder.openToTrain(root.resolve("other"), Runs.specification(2, 9))) {
            assertThatThrownBy(() -> DigestTrace.firstDifference(folder, other))
                    .isInstanceOf(CheckpointException.class)
                    .hasMessageContaining("no checkpoint of the same step");
            Runs.write(folder, 1);
            Runs.write(folder, 2);
            Runs.write(folder, 3);
            Runs.write(other, 1);
            Runs.write(other, 3);
            assertThat(DigestTrace.firstDifference(folder, other)).isEmpty();
            Runs.write(other, 2, 77);
            DigestTrace.Fork fork = DigestTrace.firstDifference(folder, other).orElseThrow();
            assertThat(fork.left().step()).isEqualTo(2);
            assertThat(fork.left()).isEqualTo(DigestTrace.of(folder).get(1));
            assertThat(fork.right().stateHash())
                    .isEqualTo(other.catalogue().read(2).stateHash());
        }
    }

    @Test
    void supersededStepsAreAllButMilestonesAndTheNewest() {
        TreeSet<Long> steps = new TreeSet<>(List.of(0L, 1L, 5L, 10L, 15L, 20L, 25L, 30L));
        assertThat(Retention.superseded(steps, s -> s % 10 == 0, 1)).containsExactly(1L, 5L, 15L);
        assertThat(Retention.superseded(steps, s -> s % 10 == 0, 3)).containsExactly(1L);
        assertThat(Retention.superseded(steps, s -> s % 10 == 0, 9)).isEmpty();
        assertThat(Retention.superseded(steps, s -> false, 1))
                .containsExactly(0L, 1L, 5L, 10L, 15L, 20L);
        assertThat(Retention.superseded(new TreeSet<>(), s -> false, 1)).isEmpty();
        assertThatThrownBy(() -> Retention.superseded(steps, s -> false, 0))
                .isInstanceOf(IllegalArgumentException.class);
    }
}
