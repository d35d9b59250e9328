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

    @AfterEach
    void close() {
        arena.close();
        device.close();
    }

    private HeldChunks held(Placement placement, int rank) {
        return new HeldChunks(GRID, placement, rank, device.kernels(), arena);
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
        List<Integer> all = new ArrayList<>();
        for (int r = 0; r < 3; r++) {
            for (int chunk : held(placement, r).chunks()) {
                assertThat(r).isIn(placement.owner(chunk), placement.buddy(chunk));
                all.add(chunk);
            }
        }
        assertThat(all).hasSize(2 * GRID.size());
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
            held.loaded(chunk, compute);
            StateDigest before = held.digest(chunk);
            assertThat(before).isEqualTo(digest(held, chunk));
            Buffer gradient = held.gradientBuffer(chunk);
            device.kernels().fill(gradient, 3, gradient.elements());
            held.apply(chunk, gradient, DECAYING, PLAIN, compute);
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

    @Test
    void matricesDecayAndVectorsDoNot() {
        HeldChunks held = held(Placement.of(GRID, 1, 1), 0);
        FlatViews compute = compute(DType.F32);
        for (Chunk chunk : GRID.chunks()) {
            int c = chunk.index();
            device.kernels().fill(held.weight(c), 1, chunk.length());
            Buffer gradient = held.gradientBuffer(c);
            device.kernels().zero(gradient, gradient.elements());
            held.apply(c, gradient, DECAYING, PLAIN, compute);
            assertThat(held.weight(c).segment().get(ValueLayout.JAVA_FLOAT, 0))
                    .isEqualTo(chunk.decay() ? Math.fma(-0.1f, 0.5f, 1f) : 1f);
        }
    }

    @Test
    void whatIsLoadedBecomesTheComputeWeights() {
        HeldChunks held = held(Placement.of(GRID, 1, 1), 0);
        FlatViews compute = compute(DType.F32);
        Chunk chunk = GRID.chunk(1);
        for (int i = 0; i < chunk.length(); i++) {
            held.weight(1).segment().setAtIndex(ValueLayout.JAVA_FLOAT, i, i);
        }
        held.loaded(1, compute);
        assertThat(compute.chunk(1).segment().mismatch(held.weight(1).segment())).isEqualTo(-1);
        assertThat(held.digest(0)).isEqualTo(StateDigest.ZERO);
    }

    @Test
    void aChunkHasOneGradientBuffer() {
        HeldChunks held = held(Placement.of(GRID, 1, 1), 0);
        long before = arena.allocatedBytes();
        Buffer first = held.gradientBuffer(2);
        assertThat(arena.allocatedBytes() - before).isEqualTo(4L * GRID.chunk(2).length());
        assertThat(held.gradientBuffer(2)).isSameAs(first);
    }
}
