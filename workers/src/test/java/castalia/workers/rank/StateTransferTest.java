package castalia.workers.rank;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import castalia.checkpoints.FlatWeights;
import castalia.checkpoints.TensorMap;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.checkpoint.Manifest;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.model.NeoxParameters;
import castalia.protocol.model.Parameter;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import castalia.workers.rank.TinyRun.Layout;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Timeout(value = 2, unit = TimeUnit.MINUTES)
class StateTransferTest {

    private static final TrainingPlan PLAN = TinyRun.plan(TinyRun.shape()).build();

    /** A state in memory. */
    private static final class Stored {

        private record Tensors(StateDigest digest, float[] weights, float[] first, float[] second) {}

        private final Map<Integer, Tensors> chunks = new ConcurrentHashMap<>();
        private final ScalarState scalars;
        private final ChunkGrid grid;

        Stored(RankGroup group) {
            this.scalars = group.scalars();
            this.grid = group.settings().grid();
            StateTransfer.save(group, (chunk, digest, weights, first, second) -> chunks.put(chunk,
                    new Tensors(digest, floats(weights), floats(first), floats(second))));
        }

        Manifest manifest() {
            List<ChunkEntry> entries = new ArrayList<>();
            for (Chunk chunk : grid.chunks()) {
                entries.add(new ChunkEntry(
                        chunk, "0".repeat(64), 1, chunks.get(chunk.index()).digest()));
            }
            return Manifest.of("0".repeat(64), "test", scalars, Manifest.NO_PARENT, entries);
        }

        void read(int chunk, MemorySegment weights, MemorySegment first, MemorySegment second) {
            Tensors tensors = chunks.get(chunk);
            weights.copyFrom(MemorySegment.ofArray(tensors.weights()));
            first.copyFrom(MemorySegment.ofArray(tensors.first()));
            second.copyFrom(MemorySegment.ofArray(tensors.second()));
        }
    }

    private static float[] floats(MemorySegment segment) {
        return segment.toArray(ValueLayout.JAVA_FLOAT);
    }

    private static RankGroup empty(TrainingPlan plan, int ranks) {
        Layout layout = Layout.ranks(ranks);
        return new RankGroup(RankSettings.of(plan, layout.recomputation()), ranks,
                layout.devices(), TinyRun.DEADLINE);
    }

    @ParameterizedTest
    @CsvSource({
        "FP32, 1, 1, 2, 1", "FP32, 1, 2, 3, 7", "FP32, 2, 4, 1, 4", "BF16, 1, 3, 2, 5",
        "BF16, 2, 1, 4, 0", "FP16, 1, 2, 3, 1", "FP16, 2, 3, 1, 6"
    })
    void stoppingAndResumingOnOtherRanksChangesNoBit(
            Precision precision, int tensorSlices, int before, int after, int at) {
        TrainingPlan plan =
                TinyRun.in(PLAN, precision).toBuilder().tensorSlices(tensorSlices).build();
        List<StateDigest> expected = TinyRun.trace(plan, Layout.plain(), 8);
        Stored stored;
        try (RankGroup group = TinyRun.group(plan, Layout.ranks(before))) {
            TinyRun.trace(group, at);
            stored = new Stored(group);
            assertThat(stored.manifest().digest()).isEqualTo(group.digest());
        }
        try (RankGroup group = empty(plan, after)) {
            StateTransfer.load(group, stored.manifest(), stored::read);
            assertThat(group.scalars().step()).isEqualTo(at);
            assertThat(TinyRun.trace(group, 8 - at)).isEqualTo(expected.subList(at, 8));
            assertThat(group.digest()).isEqualTo(expected.getLast());
        }
    }

    @Test
    void aStateThatIsNotTheManifestsIsRefused() {
        try (RankGroup group = TinyRun.group(PLAN, Layout.ranks(2))) {
            TinyRun.trace(group, 2);
            Stored stored = new Stored(group);
            Manifest manifest = stored.manifest();
            stored.chunks.get(3).second()[1] += 1e-3f;
            CastaliaException found = catchThrowableOfType(CastaliaException.class,
                    () -> StateTransfer.load(group, manifest, stored::read));
            assertThat(found.code()).isEqualTo(ErrorCode.CHECKPOINT_CORRUPT);
            assertThat(found).hasMessageContaining("step 2")
                    .hasMessageContaining(manifest.digest().hex());
        }
    }

    @Test
    void aChunkThatCannotBeReadEndsTheLoadWithItsOwnError() {
        try (RankGroup group = TinyRun.group(PLAN, Layout.ranks(2))) {
            Stored stored = new Stored(group);
            int last = stored.grid.size() - 1;
            assertThatThrownBy(() -> StateTransfer.load(group, stored.manifest(),
                            (chunk, weights, first, second) -> {
                                if (chunk == last) {
                                    throw new IOException("chunk file is gone");
                                }
                                stored.read(chunk, weights, first, second);
                            }))
                    .isInstanceOf(UncheckedIOException.class)
                    .hasRootCauseMessage("chunk file is gone");
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "2, 3", "2, 4"})
    void weightsReadAndLoadedAgainAreTheSame(int tensorSlices, int ranks) throws IOException {
        TrainingPlan plan = PLAN.toBuilder().tensorSlices(tensorSlices).build();
        try (RankGroup group = TinyRun.group(plan, Layout.ranks(ranks));
                RankGroup other = empty(plan, 1)) {
            StateDigest initial = group.digest();
            StateTransfer.load(other, StateTransfer.weights(group));
            assertThat(other.digest()).isEqualTo(initial);
            assertThat(other.scalars()).isEqualTo(ScalarState.initial());
            TinyRun.trace(group, 1);
            StateTransfer.load(other, StateTransfer.weights(group));
            assertThat(other.digest()).isNotEqualTo(group.digest());
            FlatWeights ours = StateTransfer.weights(group);
            FlatWeights theirs = StateTransfer.weights(other);
            TensorMap map = new TensorMap(group.settings().grid().layout());
            for (Parameter tensor : NeoxParameters.of(plan.model())) {
                assertThat(tensor(map, theirs, tensor)).as(tensor.name())
                        .isEqualTo(tensor(map, ours, tensor));
            }
        }
    }

    @Test
    void weightsAreReadAcrossChunksFromAnyPlace() throws IOException {
        try (RankGroup group = TinyRun.group(PLAN, Layout.ranks(3))) {
            int elements = Math.toIntExact(group.settings().grid().layout().elements());
            FlatWeights weights = StateTransfer.weights(group);
            float[] whole = new float[elements];
            weights.read(0, MemorySegment.ofArray(whole));
            float[] part = new float[elements - 2000];
            weights.read(1001, MemorySegment.ofArray(part));
            for (int i = 0; i < part.length; i++) {
                assertThat(part[i]).isEqualTo(whole[i + 1001]);
            }
        }
    }

    private static float[] tensor(TensorMap map, FlatWeights flat, Parameter tensor)
            throws IOException {
        float[] whole = new float[Math.toIntExact(tensor.elements())];
        map.gather(flat, tensor, 0, MemorySegment.ofArray(whole));
        return whole;
    }
}
