package castalia.checkpoints;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.checkpoint.Manifest;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.step.ScalarState;
import castalia.testing.Degrees;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/**
 * What any of 96 layouts stores is the same checkpoint, and each of them restores from it all that its
 * ranks hold: so every layout restores what any other saved.
 */
@Tag("default")
@Timeout(60)
class RestoreAnywhereTest {

    private static final int V = 8;

    /** As fp16 leaves them: no two alike. */
    private static final ScalarState SCALARS = new ScalarState(41, 37, 0x1p13, 41, 35, 2);

    @TempDir Path root;

    private static List<ParallelLayout> layouts() {
        List<ParallelLayout> all = new ArrayList<>();
        for (int d : Degrees.DATA) {
            for (int t : Degrees.TENSOR) {
                for (int zero : Degrees.ZERO) {
                    all.add(new ParallelLayout(d, t, zero, 1));
                }
            }
        }
        return all;
    }

    /** Every rank stores what it owns with a writer of its own, as processes do. */
    private static List<ChunkEntry> save(
            RunFolder folder, Runs.State state, Placement placement) throws IOException {
        List<ChunkEntry> entries = new ArrayList<>();
        for (int rank = 0; rank < placement.ranks(); rank++) {
            CheckpointWriter writer = new CheckpointWriter(folder, SCALARS, Manifest.NO_PARENT);
            for (int c : placement.owned(rank)) {
                entries.add(writer.add(c, state.part(0, c), state.part(1, c), state.part(2, c)));
            }
            writer.settle();
        }
        entries.sort(Comparator.comparingInt(entry -> entry.chunk().index()));
        return entries;
    }

    private static void restore(
            CheckpointReader reader, Runs.State state, Placement placement, ChunkBuffers into)
            throws IOException {
        for (int rank = 0; rank < placement.ranks(); rank++) {
            for (int c : placement.held(rank)) {
                long bytes = 4L * state.grid().chunk(c).length();
                MemorySegment weights = into.weights().asSlice(0, bytes);
                MemorySegment first = into.first().asSlice(0, bytes);
                MemorySegment second = into.second().asSlice(0, bytes);
                reader.read(c, weights, first, second);
                assertThat(weights.mismatch(state.part(0, c))).isEqualTo(-1);
                assertThat(first.mismatch(state.part(1, c))).isEqualTo(-1);
                assertThat(second.mismatch(state.part(2, c))).isEqualTo(-1);
            }
        }
    }

    @Test
    void everyLayoutRestoresWhatAnyOtherSaved() throws IOException {
        List<ParallelLayout> layouts = layouts();
        assertThat(layouts).hasSize(96);
        try (Arena arena = Arena.ofShared();
                RunFolder folder =
                        RunFolder.openToTrain(root.resolve("run"), Runs.eightSlices())) {
            Runs.State state = Runs.State.of(arena, folder.specification(), 5);
            List<ChunkEntry> first =
                    save(folder, state, Placement.of(state.grid(), V, layouts.getFirst()));
            assertThat(first).extracting(ChunkEntry::chunk).isEqualTo(state.grid().chunks());
            for (ParallelLayout layout : layouts) {
                assertThat(save(folder, state, Placement.of(state.grid(), V, layout)))
                        .as("saved in %s", layout).isEqualTo(first);
            }
            CheckpointWriter writer = new CheckpointWriter(folder, SCALARS, Manifest.NO_PARENT);
            first.forEach(writer::accept);
            writer.publish();
            CheckpointReader reader = CheckpointReader.open(folder, SCALARS.step());
            assertThat(reader.manifest().scalarState()).isEqualTo(SCALARS);
            ChunkBuffers into = ChunkBuffers.allocate(arena, state.grid().chunks().stream()
                    .mapToInt(Chunk::length).max().orElseThrow());
            for (ParallelLayout layout : layouts) {
                restore(reader, state, Placement.of(state.grid(), V, layout), into);
            }
        }
    }
}
