package castalia.workers.exchange.socket;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.workers.exchange.AbandonedException;
import castalia.workers.exchange.TensorExchange;
import castalia.workers.exchange.Transport;
import castalia.workers.exchange.socket.Planes.Way;
import castalia.workers.rank.TinyRun;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(value = 1, unit = TimeUnit.MINUTES)
class TensorExchangeSocketTest {

    /** Longer than a frame may be here, and no multiple of a piece. */
    private static final int BYTES = (5 << 20) + 12;

    private static final Placement PLACEMENT = Placement.of(
            ChunkGrid.of(FlatLayout.of(TinyRun.shape(), 2)), 4, new ParallelLayout(1, 2, 1, 0));

    @TempDir
    private Path folder;

    private static Buffer[] both(Buffer buffer) {
        return new Buffer[] {buffer, buffer};
    }

    private static Buffer buffer(Planes planes, int seed) {
        return new Buffer(DType.F32, BYTES / 4, planes.memory(BYTES, seed));
    }

    @Test
    void blocksLongerThanAFrameArriveAndAnEndedGenerationEndsTheWait() {
        ExecutorService threads = Executors.newFixedThreadPool(2);
        CountDownLatch waiting = new CountDownLatch(2);
        try (Planes planes = Planes.open(2, Way.UNIX, folder)) {
            List<CompletableFuture<Void>> calls = new ArrayList<>();
            for (Transport transport : planes.join(Planes.FIRST, Planes.LONG)) {
                int rank = transport.rank();
                Buffer own = buffer(planes, rank);
                Buffer other = buffer(planes, 9);
                Buffer expected = buffer(planes, 1 - rank);
                TensorExchange exchange = new TensorExchange(
                        Planes.FIRST.generation(), PLACEMENT, transport);
                calls.add(CompletableFuture.runAsync(() -> {
                    for (int pass = 0; pass < 3; pass++) {
                        exchange.begin();
                        exchange.send(both(own));
                        exchange.receive(both(other));
                        assertThat(other.segment().mismatch(expected.segment())).isEqualTo(-1);
                    }
                    exchange.settle();
                    waiting.countDown();
                    exchange.receive(both(other));
                }, threads));
            }
            waiting.await();
            planes.all.forEach(plane -> plane.raise(Planes.SECOND));
            for (CompletableFuture<Void> call : calls) {
                assertThat(call).failsWithin(Planes.LONG)
                        .withThrowableOfType(java.util.concurrent.ExecutionException.class)
                        .withCauseInstanceOf(AbandonedException.class);
            }
        } catch (InterruptedException e) {
            throw new CompletionException(e);
        } finally {
            threads.shutdownNow();
        }
    }
}
