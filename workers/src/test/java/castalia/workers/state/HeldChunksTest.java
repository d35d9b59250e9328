package castalia.workers.state;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import castalia.kernels.AdamW;
import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.DigestSum;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.step.StateDigest;
import castalia.workers.model.FlatViews;
import castalia.workers.rank.TinyRun;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class HeldChunksTest {

    private static final ChunkGrid GRID = ChunkGrid.of(FlatLayout.of(TinyRun.shape(), 1));
    private static final AdamW DECAYING =
            new AdamW(1, 0.1f, 0.9f, 0.95f, 1e-8f, 0.5f, 10, 20);
    private static final AdamW PLAIN = new AdamW(1, 0.1f, 0.9f, 0.95f, 1e-8f, 0, 10, 20);

    private final Device device = TinyRun.devices(1).apply(0);
    private final Arena arena = device.arena();
    private final List<HeldChunks> all = new ArrayList<>();

    @AfterEach
    void close() {
        all.forEach(HeldChunks::close);
        arena.close();
        device.close();
    }

    private HeldChunks held(Placement placement, int rank) {
        HeldChunks held = new HeldChunks(GRID, device.kernels(), device::arena);
        for (int chunk : placement.held(rank)) {
            held.add(chunk);
        }
        all.add(held);
        return held;
    }

    private FlatViews compute(DType type) {
        return new FlatViews(GRID, arena.allocate(type, GRID.layout().elements()));
    }

    private StateDigest digest(HeldChunks held, int chunk) {
        DigestSum sum = new DigestSum();
        Chunk place = GRID.chunk(chunk);
        device.kernels().digest(held.weight(chunk), held.firstMoment(chunk),
                held.secondMoment(chunk), place.offset(), place.length(), sum);
        return new StateDigest(sum.a, sum.b);
    }

    @Test
    void everyChunkIsHeldByItsOwnerAndItsBuddyAndNobodyElse() {
        Placement placement = Placement.of(GRID, 4, 3);
        List<Integer> found = new ArrayList<>();
        for (int r = 0; r < 3; r++) {
            for (int chunk : held(placement, r).chunks()) {
                assertThat(r).isIn(placement.owner(chunk), placement.buddy(chunk));
                found.add(chunk);
            }
        }
        assertThat(found).hasSize(2 * GRID.size());
    }

    @Test
    void aChunkThatIsNotHeldIsRefusedByNumber() {
        Placement placement = Placement.of(GRID, 4, 4);
        HeldChunks held = held(placement, 0);
        int other = placement.owned(2)[0];
        assertThatThrownBy(() -> held.weight(other))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessage("chunk " + other + " is not held here");
    }

    @Test
    void anUpdateMovesWeightsAndMomentsAndTakesTheirDigest() {
        HeldChunks held = held(Placement.of(GRID, 1, 1), 0);
        FlatViews compute = compute(DType.BF16);
        for (int chunk : held.chunks()) {
            device.kernels().fill(held.weight(chunk), 2, GRID.chunk(chunk).length());
            held.loaded(chunk, 6);
            StateDigest before = held.digest(chunk);
            assertThat(before).isEqualTo(digest(held, chunk));
            Buffer gradient = held.gradientBuffer(chunk);
            device.kernels().fill(gradient, 3, gradient.elements());
            held.finish(chunk, gradient);
            held.apply(new int[] {chunk}, DECAYING, PLAIN, compute::chunk);
            assertThat(held.version(chunk)).isEqualTo(7);
            assertThat(held.digest(chunk)).isEqualTo(digest(held, chunk)).isNotEqualTo(before);
            float first = held.firstMoment(chunk).segment().get(ValueLayout.JAVA_FLOAT, 0);
            float second = held.secondMoment(chunk).segment().get(ValueLayout.JAVA_FLOAT, 0);
            assertThat(first).isEqualTo((1 - 0.9f) * 3);
            assertThat(second).isEqualTo((1 - 0.95f) * 3 * 3);
            float weight = held.weight(chunk).segment().get(ValueLayout.JAVA_FLOAT, 0);
            assertThat(weight).isCloseTo(GRID.chunk(chunk).decay() ? 1.8f : 1.9f,
                    within(0.05f));
            short rounded = compute.chunk(chunk).segment().get(ValueLayout.JAVA_SHORT, 0);
            assertThat(Float.intBitsToFloat(rounded << 16))
                    .isCloseTo(weight, within(0.005f));
        }
    }

    /** Updates and sums of squares of all chunks at once are those of one after the other. */
    @Test
    void manyChunksAtOnceAreAsOneByOne() {
        HeldChunks together = held(Placement.of(GRID, 1, 1), 0);
        HeldChunks apart = held(Placement.of(GRID, 1, 1), 0);
        FlatViews compute = compute(DType.BF16);
        FlatViews other = compute(DType.BF16);
        for (HeldChunks held : List.of(together, apart)) {
            for (int chunk : held.chunks()) {
                device.kernels().fill(held.weight(chunk), 2 + chunk, GRID.chunk(chunk).length());
                held.loaded(chunk, 6);
                Buffer gradient = held.gradientBuffer(chunk);
                device.kernels().fill(gradient, 3 - chunk, gradient.elements());
                held.finish(chunk, gradient);
            }
        }
        int[] chunks = together.chunks();
        double[] squares = together.squares(chunks);
        together.apply(chunks, DECAYING, PLAIN, compute::chunk);
        for (int i = 0; i < chunks.length; i++) {
            int[] one = {chunks[i]};
            assertThat(squares[i]).isEqualTo(apart.squares(one)[0])
                    .isEqualTo((3.0 - one[0]) * (3 - one[0]) * GRID.chunk(one[0]).length());
            apart.apply(one, DECAYING, PLAIN, other::chunk);
            assertThat(together.version(one[0])).isEqualTo(7);
            assertThat(together.finished(one[0])).isFalse();
            assertThat(together.digest(one[0])).isEqualTo(apart.digest(one[0]))
                    .isEqualTo(digest(together, one[0]));
        }
        assertThat(compute.flat().segment().mismatch(other.flat().segment())).isEqualTo(-1);
    }

    @Test
    void matricesDecayAndVectorsDoNot() {
        HeldChunks held = held(Placement.of(GRID, 1, 1), 0);
        FlatViews compute = compute(DType.F32);
        for (Chunk chunk : GRID.chunks()) {
            int c = chunk.index();
            device.kernels().fill(held.weight(c), 1, chunk.length());
            held.loaded(c, 0);
            Buffer gradient = held.gradientBuffer(c);
            device.kernels().zero(gradient, gradient.elements());
            held.finish(c, gradient);
            held.apply(new int[] {c}, DECAYING, PLAIN, compute::chunk);
            assertThat(held.weight(c).segment().get(ValueLayout.JAVA_FLOAT, 0))
                    .isEqualTo(chunk.decay() ? Math.fma(-0.1f, 0.5f, 1f) : 1f);
        }
    }

    @Test
    void aSkippedStepIsANewVersionOfTheSameTensors() {
        HeldChunks held = held(Placement.of(GRID, 1, 1), 0);
        device.kernels().fill(held.weight(1), 3, GRID.chunk(1).length());
        held.loaded(1, 4);
        StateDigest before = held.digest(1);
        held.finish(1, held.gradientBuffer(1));
        held.skip(1);
        assertThat(held.version(1)).isEqualTo(5);
        assertThat(held.digest(1)).isEqualTo(before);
        assertThat(held.finished(1)).isFalse();
        held.invalidate(1);
        assertThatThrownBy(() -> held.skip(1))
                .isInstanceOf(IllegalStateException.class).hasMessageContaining("was not set");
    }

    @Test
    void whatIsLoadedBecomesTheComputeWeights() {
        HeldChunks held = held(Placement.of(GRID, 1, 1), 0);
        FlatViews compute = compute(DType.F32);
        Chunk chunk = GRID.chunk(1);
        for (int i = 0; i < chunk.length(); i++) {
            held.weight(1).segment().setAtIndex(ValueLayout.JAVA_FLOAT, i, i);
        }
        held.loaded(1, 0);
        held.cast(1, compute.chunk(1));
        assertThat(compute.chunk(1).segment().mismatch(held.weight(1).segment())).isEqualTo(-1);
        assertThat(held.digest(0)).isEqualTo(StateDigest.ZERO);
    }

    @Test
    void aChunkHasOneGradientBuffer() {
        HeldChunks held = held(Placement.of(GRID, 1, 1), 0);
        long before = held.allocatedBytes();
        Buffer first = held.gradientBuffer(2);
        assertThat(held.allocatedBytes() - before).isEqualTo(4L * GRID.chunk(2).length());
        assertThat(held.gradientBuffer(2)).isSameAs(first);
    }

    @Test
    void masterWeightsMayLieInMemoryOfSomebodyElse() {
        HeldChunks held = held(Placement.of(GRID, 1, 1), 0);
        long all = held.allocatedBytes();
        long weights = 4L * GRID.chunk(2).length();
        FlatViews elsewhere = compute(DType.F32);
        device.kernels().fill(held.weight(2), 3, GRID.chunk(2).length());
        held.loaded(2, 5);
        held.add(2, elsewhere.chunk(2));
        assertThat(held.placed(2)).isTrue();
        assertThat(held.weight(2)).isEqualTo(elsewhere.chunk(2));
        assertThat(held.allocatedBytes()).isEqualTo(all - weights);
        assertThat(held.version(2)).isEqualTo(5);
        assertThat(digest(held, 2)).isEqualTo(held.digest(2));
        held.keepWeight(2);
        device.kernels().zero(elsewhere.flat(), elsewhere.flat().elements());
        assertThat(held.placed(2)).isFalse();
        assertThat(held.allocatedBytes()).isEqualTo(all);
        assertThat(digest(held, 2)).isEqualTo(held.digest(2));
        device.kernels().fill(elsewhere.chunk(2), 7, GRID.chunk(2).length());
        held.drop(2);
        held.add(2, elsewhere.chunk(2));
        assertThat(held.version(2)).isEqualTo(HeldChunks.NOT_SET);
        assertThat(elsewhere.chunk(2).segment().toArray(ValueLayout.JAVA_FLOAT)).containsOnly(0);
        held.drop(2);
        assertThat(held.allocatedBytes()).isEqualTo(all - 3 * weights);
    }

    @Test
    void aDroppedChunkGivesItsMemoryBackAndComesBackZeroedAndNotSet() {
        HeldChunks held = held(Placement.of(GRID, 1, 1), 0);
        long all = held.allocatedBytes();
        device.kernels().fill(held.weight(2), 3, GRID.chunk(2).length());
        held.gradientBuffer(2);
        held.loaded(2, 5);
        held.drop(2);
        assertThat(held.holds(2)).isFalse();
        assertThat(held.chunks()).doesNotContain(2).hasSize(GRID.size() - 1);
        assertThat(held.allocatedBytes()).isEqualTo(all - 12L * GRID.chunk(2).length());
        held.drop(2);
        held.add(2);
        assertThat(held.version(2)).isEqualTo(HeldChunks.NOT_SET);
        assertThat(held.weight(2).segment().toArray(ValueLayout.JAVA_FLOAT)).containsOnly(0);
        assertThat(held.allocatedBytes()).isEqualTo(all);
    }

    @Test
    void aFinishedGradientIsKnownUntilItIsAppliedForgottenOrTheChunkIsSetAnew() {
        HeldChunks held = held(Placement.of(GRID, 1, 1), 0);
        FlatViews compute = compute(DType.F32);
        held.loaded(1, 3);
        Buffer gradient = held.gradientBuffer(1);
        held.finish(1, gradient);
        assertThat(held.finished(1)).isTrue();
        assertThat(held.finishedGradient(1)).isSameAs(gradient);
        held.apply(new int[] {1}, DECAYING, PLAIN, compute::chunk);
        assertThat(held.finished(1)).isFalse();
        assertThat(held.version(1)).isEqualTo(4);
        held.finish(1, gradient);
        held.forgetGradients();
        assertThat(held.finished(1)).isFalse();
        held.finish(1, gradient);
        held.loaded(1, 4);
        assertThatThrownBy(() -> held.finishedGradient(1)).hasMessageContaining("chunk 1");
        held.invalidate(1);
        held.finish(1, gradient);
        assertThatThrownBy(() -> held.apply(new int[] {1}, DECAYING, PLAIN, compute::chunk))
                .isInstanceOf(IllegalStateException.class).hasMessageContaining("was not set");
    }
}
