package castalia.workers.exchange;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.reference.ReferenceDevice;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.workers.rank.TinyRun;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Timeout(value = 1, unit = TimeUnit.MINUTES)
class TensorExchangeTest {

    private static final ChunkGrid GRID = ChunkGrid.of(FlatLayout.of(TinyRun.shape(), 2));

    private static float value(int pass, int from, int to, int element) {
        return pass * 1000 + from * 100 + to * 10 + element;
    }

    /** Rank r gives rank p a block of p numbers: in pieces, and nothing to rank 0. */
    @ParameterizedTest
    @CsvSource({"1, 2, 1024", "2, 2, 1024", "3, 2, 4", "2, 1, 4"})
    void everyRankGetsWhatOthersOfItsReplicaGiveIt(int replicas, int ranks, int pieceBytes) {
        Placement placement = Placement.of(GRID, 4, new ParallelLayout(replicas, ranks, 1, 0));
        int all = replicas * ranks;
        LocalTransport[] transports = LocalTransport.connect(all, TinyRun.DEADLINE);
        ExecutorService threads = Executors.newFixedThreadPool(all);
        try (Device device = new ReferenceDevice(); Arena arena = device.arena()) {
            List<CompletableFuture<Void>> calls = new ArrayList<>();
            for (int r = 0; r < all; r++) {
                int rank = r;
                TensorExchange exchange =
                        new TensorExchange(7, placement, transports[r], pieceBytes);
                Buffer[] given = new Buffer[ranks];
                Buffer[] taken = new Buffer[ranks];
                for (int p = 0; p < ranks; p++) {
                    given[p] = arena.allocate(DType.F32, 3L * p);
                    taken[p] = arena.allocate(DType.F32, 3L * exchange.position());
                }
                calls.add(CompletableFuture.runAsync(
                        () -> passes(exchange, rank, placement, given, taken), threads));
            }
            calls.forEach(CompletableFuture::join);
        } finally {
            threads.shutdownNow();
        }
    }

    private static void passes(TensorExchange exchange, int rank, Placement placement,
            Buffer[] given, Buffer[] taken) {
        int first = placement.rankAt(placement.replica(rank), 0);
        for (int pass = 0; pass < 3; pass++) {
            exchange.begin();
            for (int p = 0; p < given.length; p++) {
                for (int e = 0; e < given[p].elements(); e++) {
                    given[p].segment().setAtIndex(
                            ValueLayout.JAVA_FLOAT, e, value(pass, rank, first + p, e));
                }
            }
            exchange.send(given);
            exchange.receive(taken);
            for (int p = 0; p < taken.length; p++) {
                for (int e = 0; e < taken[p].elements() && first + p != rank; e++) {
                    assertThat(taken[p].segment().getAtIndex(ValueLayout.JAVA_FLOAT, e))
                            .isEqualTo(value(pass, first + p, rank, e));
                }
            }
        }
        exchange.settle();
    }

    @Test
    void aRankThatOnlyHoldsChunksExchangesNothing() {
        Placement two = Placement.of(GRID, 4, new ParallelLayout(1, 2, 1, 0));
        Placement placement = Placement.of(new ParallelLayout(1, 2, 1, 0), 4, 2, 3,
                Placement.Holdings.of(GRID, java.util.stream.IntStream.range(0, GRID.size())
                        .map(two::owner).toArray()));
        LocalTransport[] transports = LocalTransport.connect(3, TinyRun.DEADLINE);
        assertThatThrownBy(() -> new TensorExchange(1, placement, transports[2]))
                .isInstanceOf(IllegalArgumentException.class)
                .hasMessageContaining("rank 2 computes no tensor slices");
    }
}
