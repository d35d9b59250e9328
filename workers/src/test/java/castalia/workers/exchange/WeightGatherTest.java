package castalia.workers.exchange;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.kernels.Arena;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.reference.ReferenceDevice;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.Placement;
import castalia.workers.model.FlatViews;
import castalia.workers.rank.TinyRun;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

@Timeout(value = 1, unit = TimeUnit.MINUTES)
class WeightGatherTest {

    private static final ChunkGrid GRID = ChunkGrid.of(FlatLayout.of(TinyRun.shape(), 1));

    /** Every rank writes bytes 20 * rank + chunk where it holds a chunk; -1 stands elsewhere. */
    @ParameterizedTest
    @CsvSource({"1, F32", "2, F32", "3, F32", "3, BF16", "5, F32"})
    void whoHoldsNoCopyGetsTheOwners(int ranks, DType type) {
        Placement placement = Placement.of(GRID, 8, ranks);
        LocalTransport[] transports = LocalTransport.connect(ranks, TinyRun.DEADLINE);
        ExecutorService threads = Executors.newFixedThreadPool(ranks);
        try (Device device = new ReferenceDevice();
                Arena arena = device.arena()) {
            List<FlatViews> views = new ArrayList<>();
            List<CompletableFuture<?>> calls = new ArrayList<>();
            for (int r = 0; r < ranks; r++) {
                int rank = r;
                FlatViews compute = new FlatViews(
                        GRID, arena.allocate(type, GRID.layout().elements()));
                for (Chunk chunk : GRID.chunks()) {
                    compute.chunk(chunk.index()).segment().fill(
                            (byte) (placement.holds(r, chunk.index())
                                    ? 20 * r + chunk.index() : -1));
                }
                views.add(compute);
                calls.add(CompletableFuture.runAsync(() -> {
                    new WeightGather(GRID, placement, transports[rank]).gather(1, 4, compute::chunk);
                    transports[rank].drain();
                }, threads));
            }
            calls.forEach(CompletableFuture::join);
            for (int r = 0; r < ranks; r++) {
                for (Chunk chunk : GRID.chunks()) {
                    int c = chunk.index();
                    int from = placement.holds(r, c) ? r : placement.owner(c);
                    assertThat(views.get(r).chunk(c).segment().toArray(ValueLayout.JAVA_BYTE))
                            .as("rank %d, chunk %d", r, c)
                            .containsOnly((byte) (20 * from + c));
                }
            }
        } finally {
            threads.shutdownNow();
        }
    }
}
