package castalia.workers.exchange;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.reference.ReferenceDevice;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.step.ReductionTree;
import castalia.protocol.step.ReductionTree.Node;
import castalia.workers.model.FlatViews;
import castalia.workers.rank.TinyRun;
import castalia.workers.state.HeldChunks;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Timeout(value = 1, unit = TimeUnit.MINUTES)
class GradientReducerTest {

    private static final ChunkGrid GRID = ChunkGrid.of(FlatLayout.of(TinyRun.shape(), 2));
    private static final int ELEMENTS = Math.toIntExact(GRID.layout().elements());

    /** One virtual rank's gradient: magnitudes from 1e-4 to 1e4, so that order shows. */
    private static float[] leaf(int virtualRank) {
        Random random = new Random(virtualRank);
        float[] values = new float[ELEMENTS];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (random.nextGaussian() * Math.pow(10, random.nextInt(-4, 5)));
        }
        return values;
    }

    /** The sum in the order the tree prescribes, written down once more. */
    private static float[] fold(int first, int count) {
        if (count == 1) {
            return leaf(first);
        }
        int left = Integer.highestOneBit(count - 1);
        float[] sum = fold(first, left);
        float[] right = fold(first + left, count - left);
        for (int i = 0; i < sum.length; i++) {
            sum[i] += right[i];
        }
        return sum;
    }

    /** Memory that the test's own arena frees. */
    private record Lasting(Arena arena) implements Arena {

        @Override
        public Buffer allocate(DType type, long elements) {
            return arena.allocate(type, elements);
        }

        @Override
        public long allocatedBytes() {
            return arena.allocatedBytes();
        }

        @Override
        public void close() {}
    }

    /** One rank with folded gradients, and what it is left with. */
    private static final class Holder {

        private final GradientReducer reducer;
        private final FlatViews[] folded;
        private final HeldChunks held;
        private final Transport transport;

        Holder(Placement placement, int virtualRanks, Transport transport, Device device,
                Arena arena) {
            this.transport = transport;
            this.held = new HeldChunks(GRID, device.kernels(), () -> new Lasting(arena));
            for (int chunk : placement.held(transport.rank())) {
                held.add(chunk);
                held.loaded(chunk, 0);
            }
            this.reducer = new GradientReducer(GRID, placement, virtualRanks, transport, held,
                    device.kernels(), arena);
            this.folded = new FlatViews[reducer.cover().size()];
            for (int i = 0; i < folded.length; i++) {
                folded[i] = new FlatViews(GRID, arena.allocate(DType.F32, ELEMENTS));
            }
        }

        void reduce(long step) {
            for (int i = 0; i < folded.length; i++) {
                Node node = reducer.cover().get(i);
                folded[i].flat().segment().copyFrom(
                        MemorySegment.ofArray(fold(node.first(), node.count())));
            }
            held.forgetGradients();
            reducer.reduce(1, step, folded);
            transport.drain();
        }
    }

    @ParameterizedTest
    @CsvSource({
        "1, 1", "2, 1", "2, 2", "3, 2", "3, 3", "4, 2", "4, 3", "4, 4", "5, 2", "5, 3", "5, 4",
        "5, 5", "6, 4", "7, 3", "8, 3", "8, 5", "8, 8", "13, 6"
    })
    void everyHolderHasTheCanonicalSum(int virtualRanks, int ranks) {
        float[] expected = fold(0, virtualRanks);
        Placement placement = Placement.of(GRID, virtualRanks, ranks);
        LocalTransport[] transports = LocalTransport.connect(ranks, TinyRun.DEADLINE);
        ExecutorService threads = Executors.newFixedThreadPool(ranks);
        try (Device device = new ReferenceDevice();
                Arena arena = device.arena()) {
            List<Holder> holders = new ArrayList<>();
            for (int r = 0; r < ranks; r++) {
                holders.add(new Holder(placement, virtualRanks, transports[r], device, arena));
            }
            for (int step = 0; step < 2; step++) {
                int at = step;
                CompletableFuture.allOf(holders.stream()
                        .map(h -> CompletableFuture.runAsync(() -> h.reduce(at), threads))
                        .toArray(CompletableFuture[]::new)).join();
                for (int r = 0; r < ranks; r++) {
                    check(placement, holders.get(r), r, expected);
                }
            }
        } finally {
            threads.shutdownNow();
        }
    }

    private static void check(Placement placement, Holder holder, int rank, float[] expected) {
        for (Chunk chunk : GRID.chunks()) {
            if (!placement.holds(rank, chunk.index())) {
                assertThat(holder.held.holds(chunk.index())).isFalse();
                continue;
            }
            Buffer finished = holder.held.finishedGradient(chunk.index());
            MemorySegment whole = MemorySegment.ofArray(expected)
                    .asSlice(4 * chunk.offset(), 4L * chunk.length());
            assertThat(finished.segment().mismatch(whole))
                    .as("rank %d, chunk %d", rank, chunk.index()).isEqualTo(-1);
        }
    }

    @Test
    void theOrderOfTheSumMatters() {
        float[] ascending = leaf(0);
        for (int v = 1; v < 5; v++) {
            float[] next = leaf(v);
            for (int i = 0; i < next.length; i++) {
                ascending[i] += next[i];
            }
        }
        assertThat(ascending).isNotEqualTo(fold(0, 5));
    }

    @Test
    void everyRankSendsItsPartsToOwnersAndAnOwnerTheSumToTheBuddy() {
        Placement placement = Placement.of(GRID, 3, 2);
        assertThat(ReductionTree.cover(3, placement.block(1))).hasSize(2);
        LocalTransport[] transports = LocalTransport.connect(2, TinyRun.DEADLINE);
        try (Device device = new ReferenceDevice();
                Arena arena = device.arena()) {
            Holder zero = new Holder(placement, 3, transports[0], device, arena);
            Holder one = new Holder(placement, 3, transports[1], device, arena);
            CompletableFuture<?> other = CompletableFuture.runAsync(() -> one.reduce(0), Threads.ALL);
            zero.reduce(0);
            other.join();
            long[] owned = new long[2];
            for (Chunk chunk : GRID.chunks()) {
                owned[placement.owner(chunk.index())] += 4L * chunk.length();
            }
            assertThat(transports[0].sentBytes()).isEqualTo(owned[1] + owned[0]);
            assertThat(transports[1].sentBytes()).isEqualTo(2 * owned[0] + owned[1]);
            float[] first = zero.held.finishedGradient(0).segment().toArray(ValueLayout.JAVA_FLOAT);
            assertThat(first).isNotEqualTo(new float[first.length]);
        }
    }
}
