package castalia.workers.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.LocalSpace;
import castalia.protocol.layout.SliceBlock;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.planner.Recomputation;
import castalia.workers.exchange.LocalTransport;
import castalia.workers.exchange.PeerLostException;
import castalia.workers.exchange.TensorExchange;
import castalia.workers.rank.TinyRun;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

@TestInstance(TestInstance.Lifecycle.PER_CLASS)
@Timeout(value = 1, unit = TimeUnit.MINUTES)
class TensorParallelTest {

    private static final int SLICES = 8;

    private final Device device = TinyRun.devices(1).apply(0);

    @AfterAll
    void close() {
        device.close();
    }

    private static ModelPlan plan(boolean parallel, int copies, DType type, int batch,
            int sequence, Recomputation recomputation) {
        ModelShape shape = new ModelShape(
                2, 48, 8, 96, 104, 100, 4, 10000, 1e-5, parallel, Gelu.ERF, copies);
        return new ModelPlan(
                FlatLayout.of(shape, SLICES), batch, sequence, type, recomputation);
    }

    private static ModelPlan small() {
        return plan(true, 1, DType.F32, 2, 20, Recomputation.NONE);
    }

    @ParameterizedTest
    @CsvSource({"true, 1, F32, 2, 20, NONE", "false, 4, BF16, 1, 3, BLOCK"})
    void anyNumberOfRanksComputesTheBitsOfOne(boolean parallel, int copies, DType type, int batch,
            int sequence, Recomputation recomputation) {
        sameBits(plan(parallel, copies, type, batch, sequence, recomputation));
    }

    /** Three sequences of 100 are two sweeps of the head; one of 3 has fewer rows than ranks. */
    @ParameterizedTest
    @Tag("default")
    @CsvSource({
        "true, 4, BF16, 3, 100, BLOCK", "false, 1, BF16, 2, 20, NONE",
        "false, 2, F32, 3, 100, BLOCK", "true, 2, F32, 1, 3, NONE"
    })
    void soItDoesForOtherShapes(boolean parallel, int copies, DType type, int batch,
            int sequence, Recomputation recomputation) {
        sameBits(plan(parallel, copies, type, batch, sequence, recomputation));
    }

    private void sameBits(ModelPlan plan) {
        try (TinyModel whole = new TinyModel(device, plan, true);
                TinyModel accumulated = new TinyModel(device, plan, true)) {
            double loss = whole.lossSum();
            whole.lossAndGradient(false);
            accumulated.lossAndGradient(false);
            accumulated.lossAndGradient(true);
            float[] logits = whole.logits(0, plan.rows());
            for (int ranks = 1; ranks <= SLICES; ranks *= 2) {
                try (Replica replica = new Replica(whole, ranks, true)) {
                    assertThat(replica.onAll(rank -> rank.loss(whole))).containsOnly(loss);
                    List<Double> losses = replica.onAll(r -> r.lossAndGradient(whole, false));
                    assertThat(losses).containsOnly(loss);
                    same(replica, whole, ranks + " ranks");
                    replica.onAll(rank -> rank.lossAndGradient(whole, true));
                    same(replica, accumulated, ranks + " ranks, accumulated");
                    assertThat(logits(replica, whole)).isEqualTo(logits);
                }
            }
        }
    }

    private static void same(Replica replica, TinyModel whole, String description) {
        for (int r = 0; r < replica.ranks(); r++) {
            Replica.Rank rank = replica.rank(r);
            for (int chunk : rank.space().chunks()) {
                long differing = rank.gradients().chunk(chunk).segment()
                        .mismatch(whole.gradients().chunk(chunk).segment());
                assertThat(differing).as("%s: rank %d, chunk %d", description, r, chunk)
                        .isEqualTo(-1);
            }
        }
    }

    private static float[] logits(Replica replica, TinyModel whole) {
        int vocabulary = whole.plan().shape().vocabulary();
        try (java.lang.foreign.Arena host = java.lang.foreign.Arena.ofShared()) {
            MemorySegment out = host.allocate(4L * whole.plan().rows() * vocabulary, 64);
            replica.logits(whole, out, 0, whole.plan().rows());
            return out.toArray(ValueLayout.JAVA_FLOAT);
        }
    }

    @Test
    void aRankLeavesTheLogitsOfOthersAlone() {
        try (TinyModel whole = new TinyModel(device, small(), false);
                Replica replica = new Replica(whole, 4, false);
                java.lang.foreign.Arena host = java.lang.foreign.Arena.ofShared()) {
            List<float[]> rows = replica.onAll(rank -> {
                MemorySegment out;
                synchronized (host) {
                    out = host.allocate(4L * 104, 64);
                }
                out.fill((byte) -1);
                rank.model().logits(out, whole.inputs(), 7, 1);
                return out.toArray(ValueLayout.JAVA_FLOAT);
            });
            for (int r = 0; r < 4; r++) {
                float[] expected = whole.logits(7, 1);
                Arrays.fill(expected, 0, 26 * r, Float.NaN);
                Arrays.fill(expected, 26 * (r + 1), 104, Float.NaN);
                assertThat(rows.get(r)).isEqualTo(expected);
            }
        }
    }

    @Test
    void aRankAllocatesItsShareOfWhatIsCut() {
        try (TinyModel whole = new TinyModel(device, small(), true);
                Replica two = new Replica(whole, 2, true);
                Replica eight = new Replica(whole, 8, true)) {
            long all = whole.model().allocatedBytes();
            long half = two.rank(0).model().allocatedBytes();
            assertThat(half).isLessThan(all * 2 / 3);
            assertThat(eight.rank(7).model().allocatedBytes()).isLessThan(half);
        }
    }

    /** NaN, negative zero and other bits arrive as the lookup of a whole table leaves them. */
    @ParameterizedTest
    @CsvSource({"2, F32, 20", "4, BF16, 20", "8, F32, 3"})
    void embeddedTokensComeBitForBitFromTheRankThatHasThem(int ranks, DType type, int sequence) {
        ModelPlan plan = plan(true, 1, type, 1, sequence, Recomputation.NONE);
        try (TinyModel whole = new TinyModel(device, plan, true);
                Replica replica = new Replica(whole, ranks, true);
                Arena arena = device.arena()) {
            Buffer table = arena.allocate(type, 104L * 48);
            byte[] bits = new byte[104 * 48 * type.bytes()];
            new Random(5).nextBytes(bits);
            Arrays.fill(bits, 0, bits.length / 2, (byte) 0);
            for (int e = 0; e < 104 * 24; e++) {
                bits[e * type.bytes() + type.bytes() - 1] = (byte) (e % 3 == 0 ? 0x80 : 0);
            }
            device.upload(table, MemorySegment.ofArray(bits));
            Buffer expected = arena.allocate(type, (long) sequence * 48);
            Buffer tokens = arena.allocate(DType.I32, sequence);
            device.upload(tokens, whole.inputs());
            device.kernels().embedding(expected, tokens, table, 0, sequence, 48, 104);
            LocalTransport[] transports = LocalTransport.connect(ranks, TinyRun.DEADLINE);
            List<MemorySegment> found = replica.onAll(rank -> {
                SliceBlock slices = rank.space().slices();
                SliceJoin join =
                        new SliceJoin(plan, slices, rank.device().kernels(), rank.arena());
                join.connect(new TensorExchange(
                        2, replica.placement(), transports[slices.first() / slices.count()]));
                join.begin();
                RowBlocks mine = join.blocks(rank.arena().allocate(type, (long) sequence * 48));
                RowBlocks out = join.blocks(rank.arena().allocate(type, (long) sequence * 48));
                rank.device().kernels().embedding(mine.whole(), tokens,
                        table.slice(slices.first() * 13L * 48, slices.count() * 13L * 48),
                        slices.first() * 13, sequence, 48, slices.count() * 13);
                join.tokens(out, mine, tokens, join.received());
                join.settle();
                return out.whole().segment();
            });
            assertThat(found).allSatisfy(out ->
                    assertThat(out.mismatch(expected.segment())).isEqualTo(-1));
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 7, 12, 16})
    void aRankThatFailsInAPassEndsTheOthers(int calls) {
        try (TinyModel whole = new TinyModel(device, small(), true);
                Replica replica = new Replica(whole, 4, true)) {
            replica.connect(3, List.of(LocalTransport.connect(4, TinyRun.DEADLINE)),
                    exchange -> exchange.position() == 2 ? new Failing(exchange, calls) : exchange);
            List<Throwable> failures = Replica.failures(
                    replica.start(rank -> rank.lossAndGradient(whole, false)));
            assertThat(failures).hasSize(4);
            assertThat(IntStream.of(0, 1, 3).mapToObj(failures::get))
                    .allSatisfy(e -> assertThat(e).isInstanceOf(PeerLostException.class)
                            .hasMessageContaining("rank 2"));
            assertThat(failures.get(2)).hasMessage("out of order");
            replica.connect(4, List.of(LocalTransport.connect(4, TinyRun.DEADLINE)), e -> e);
            whole.lossAndGradient(false);
            replica.onAll(rank -> rank.lossAndGradient(whole, false));
            same(replica, whole, "the next generation");
        }
    }

    /** Fails at a receive. */
    private static final class Failing implements SliceExchange {

        private final SliceExchange exchange;
        private int left;

        Failing(SliceExchange exchange, int left) {
            this.exchange = exchange;
            this.left = left;
        }

        @Override
        public int position() {
            return exchange.position();
        }

        @Override
        public int ranks() {
            return exchange.ranks();
        }

        @Override
        public void begin() {
            exchange.begin();
        }

        @Override
        public void send(Buffer[] blocks) {
            exchange.send(blocks);
        }

        @Override
        public void receive(Buffer[] blocks) {
            if (left-- == 0) {
                throw new IllegalStateException("out of order");
            }
            exchange.receive(blocks);
        }

        @Override
        public void settle() {
            exchange.settle();
        }
    }

    @Test
    void slicesThatAreNoEqualPartAreRefused() {
        ModelPlan plan = small();
        ChunkGrid grid = ChunkGrid.of(plan.layout());
        for (SliceBlock block : List.of(SliceBlock.NONE, new SliceBlock(0, 3),
                new SliceBlock(2, 4), new SliceBlock(0, 6))) {
            LocalSpace space = new LocalSpace(grid, block);
            try (Arena arena = device.arena()) {
                FlatViews weights =
                        new FlatViews(space, arena.allocate(DType.F32, space.elements()));
                assertThatThrownBy(() -> new NeoxModel(plan, grid, device, weights, true))
                        .isInstanceOf(IllegalArgumentException.class)
                        .hasMessageContaining("of 8 tensor slices");
            }
        }
    }

    @Test
    void aModelOfSomeSlicesMustBeConnectedToItsOwnRanks() {
        try (TinyModel whole = new TinyModel(device, small(), false);
                Replica two = new Replica(whole, 2, false);
                Replica four = new Replica(whole, 4, false)) {
            assertThatThrownBy(() -> two.rank(1).model().connect(SliceExchange.ALONE))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("rank 1 of 2");
            LocalTransport[] transports = LocalTransport.connect(4, TinyRun.DEADLINE);
            assertThatThrownBy(() -> four.rank(1).model().connect(
                    new TensorExchange(
                            1, four.placement(), transports[2])))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("rank 2 of 4");
            whole.model().connect(SliceExchange.ALONE);
            ChunkGrid grid = whole.weights().space().grid();
            FlatViews weights = new FlatViews(new LocalSpace(grid, new SliceBlock(0, 4)),
                    two.rank(0).gradients().flat());
            try (NeoxModel alone =
                    new NeoxModel(whole.plan(), grid, device, weights, false)) {
                assertThatThrownBy(() -> alone.loss(
                        whole.inputs(), whole.labels(), two.rank(0).losses(), 0))
                        .isInstanceOf(IllegalStateException.class)
                        .hasMessageContaining("not connected");
            }
        }
    }
}
