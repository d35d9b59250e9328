package castalia.workers.exchange;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import castalia.workers.exchange.FrameTag.Kind;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(value = 1, unit = TimeUnit.MINUTES)
class LocalTransportTest {

    private static final Duration LONG = Duration.ofSeconds(30);
    private static final Duration SHORT = Duration.ofMillis(30);

    private static FrameTag tag(int chunk) {
        return new FrameTag(Kind.WEIGHTS, 1, 5, 0, chunk, 0);
    }

    private static MemorySegment bytes(int... values) {
        byte[] bytes = new byte[values.length];
        for (int i = 0; i < values.length; i++) {
            bytes[i] = (byte) values[i];
        }
        return MemorySegment.ofArray(bytes);
    }

    private static byte[] received(Transport transport, int from, FrameTag tag, int size) {
        byte[] into = new byte[size];
        transport.receive(from, tag, MemorySegment.ofArray(into));
        return into;
    }

    @Test
    void framesAreFoundByTagAndSenderInAnyOrder() {
        LocalTransport[] ranks = LocalTransport.connect(3, LONG);
        ranks[0].send(2, tag(7), bytes(1, 2));
        ranks[1].send(2, tag(7), bytes(3));
        ranks[0].send(2, tag(8), bytes(4));
        ranks[0].send(1, tag(7), bytes(5));
        assertThat(received(ranks[2], 0, tag(8), 1)).containsExactly(4);
        assertThat(received(ranks[2], 1, tag(7), 1)).containsExactly(3);
        assertThat(received(ranks[2], 0, tag(7), 2)).containsExactly(1, 2);
        assertThat(received(ranks[1], 0, tag(7), 1)).containsExactly(5);
        ranks[0].drain();
        ranks[1].drain();
        assertThat(ranks[0].ranks()).isEqualTo(3);
        assertThat(ranks[2].rank()).isEqualTo(2);
    }

    @Test
    void aReceiverWaitsForAFrameThatComesLater() {
        LocalTransport[] ranks = LocalTransport.connect(2, LONG);
        CompletableFuture<byte[]> frame =
                CompletableFuture.supplyAsync(() -> received(ranks[1], 0, tag(1), 1), Threads.ALL);
        ranks[0].send(1, tag(2), bytes(9));
        ranks[0].send(1, tag(1), bytes(8));
        assertThat(frame.join()).containsExactly(8);
    }

    @Test
    void aSenderWaitsUntilItsFramesAreTaken() {
        LocalTransport[] ranks = LocalTransport.connect(2, LONG);
        MemorySegment payload = bytes(1, 2, 3);
        ranks[0].send(1, tag(1), payload);
        CompletableFuture<byte[]> frame =
                CompletableFuture.supplyAsync(() -> received(ranks[1], 0, tag(1), 3), Threads.ALL);
        ranks[0].drain();
        payload.fill((byte) 0);
        assertThat(frame.join()).containsExactly(1, 2, 3);
    }

    @Test
    void theDeadlineNamesThePeerAndTheFrame() {
        LocalTransport[] ranks = LocalTransport.connect(3, SHORT);
        ranks[2].send(0, tag(1), bytes(1));
        PeerLostException lost = catchThrowableOfType(PeerLostException.class,
                () -> received(ranks[0], 1, tag(1), 1));
        assertThat(lost.peer()).isEqualTo(1);
        assertThat(lost).hasMessageContaining("rank 1")
                .hasMessageContaining("kind=WEIGHTS")
                .hasMessageContaining("step=5")
                .hasMessageContaining("chunk=1");
    }

    @Test
    void aDrainThatEndsAtTheDeadlineNamesTheReceiver() {
        LocalTransport[] ranks = LocalTransport.connect(3, SHORT);
        ranks[0].send(1, tag(1), bytes(1));
        ranks[0].send(2, tag(1), bytes(1));
        received(ranks[1], 0, tag(1), 1);
        PeerLostException lost =
                catchThrowableOfType(PeerLostException.class, () -> ranks[0].drain());
        assertThat(lost.peer()).isEqualTo(2);
        assertThat(lost).hasMessageContaining("rank 2")
                .hasMessageContaining("frames of rank 0");
        ranks[1].drain();
    }

    @Test
    void aFailedRankWakesThoseThatWaitAndNamesItsCause() {
        LocalTransport[] ranks = LocalTransport.connect(3, LONG);
        IllegalStateException cause = new IllegalStateException("no more memory");
        CompletableFuture<byte[]> waiting =
                CompletableFuture.supplyAsync(() -> received(ranks[0], 1, tag(1), 1), Threads.ALL);
        ranks[2].fail(cause);
        ranks[1].fail(new IllegalStateException("a later failure"));
        CompletionException ended =
                catchThrowableOfType(CompletionException.class, waiting::join);
        assertThat(ended.getCause()).isInstanceOfSatisfying(PeerLostException.class, lost -> {
            assertThat(lost.peer()).isEqualTo(2);
            assertThat(lost).hasMessageContaining("rank 2 failed").hasCause(cause);
        });
    }

    @Test
    void afterAFailureFramesSentBeforeItCanBeReceivedAndNothingElseIsSent() {
        LocalTransport[] ranks = LocalTransport.connect(2, LONG);
        ranks[0].send(1, tag(1), bytes(6));
        ranks[0].send(1, tag(2), bytes(7));
        ranks[0].fail(new IllegalStateException("stopped"));
        assertThat(received(ranks[1], 0, tag(1), 1)).containsExactly(6);
        assertThatThrownBy(() -> ranks[1].send(0, tag(3), bytes(1)))
                .isInstanceOf(PeerLostException.class)
                .hasMessageContaining("chunk=3");
        assertThatThrownBy(() -> received(ranks[1], 0, tag(3), 1))
                .isInstanceOf(PeerLostException.class);
        assertThatThrownBy(() -> ranks[0].drain()).isInstanceOf(PeerLostException.class);
    }

    @Test
    void aFrameOfAnotherSizeIsRefused() {
        LocalTransport[] ranks = LocalTransport.connect(2, LONG);
        ranks[0].send(1, tag(1), bytes(1, 2, 3));
        assertThatThrownBy(() -> received(ranks[1], 0, tag(1), 2))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("from rank 0 has 3 bytes instead of 2")
                .hasMessageContaining("chunk=1");
        ranks[0].drain();
    }

    @Test
    void aTagThatIsUnderWayIsNotUsedTwice() {
        LocalTransport[] ranks = LocalTransport.connect(3, LONG);
        ranks[0].send(1, tag(1), bytes(1));
        assertThatThrownBy(() -> ranks[0].send(1, tag(1), bytes(2)))
                .isInstanceOf(IllegalStateException.class)
                .hasMessageContaining("twice")
                .hasMessageContaining("chunk=1");
        ranks[0].send(2, tag(1), bytes(3));
        assertThat(received(ranks[1], 0, tag(1), 1)).containsExactly(1);
    }

    @Test
    void aRankThatDoesNotExistIsRefusedAtOnce() {
        LocalTransport[] ranks = LocalTransport.connect(2, LONG);
        assertThatThrownBy(() -> ranks[0].send(2, tag(1), bytes(1)))
                .isInstanceOf(IndexOutOfBoundsException.class);
        assertThatThrownBy(() -> received(ranks[0], -1, tag(1), 1))
                .isInstanceOf(IndexOutOfBoundsException.class);
    }

    @Test
    void payloadBytesAreCounted() {
        LocalTransport[] ranks = LocalTransport.connect(2, LONG);
        assertThat(ranks[0].sentBytes()).isZero();
        ranks[0].send(1, tag(1), bytes(1, 2, 3));
        ranks[0].send(1, tag(2), bytes(1, 2));
        assertThat(ranks[0].sentBytes()).isEqualTo(5);
        assertThat(ranks[1].sentBytes()).isZero();
    }

    @Test
    void anInterruptEndsTheWait() throws InterruptedException {
        LocalTransport[] ranks = LocalTransport.connect(2, LONG);
        CompletableFuture<Throwable> ended = new CompletableFuture<>();
        Thread waiting = new Thread(() -> {
            try {
                received(ranks[0], 1, tag(1), 1);
            } catch (PeerLostException e) {
                ended.complete(Thread.currentThread().isInterrupted() ? e : new Error(e));
            }
        });
        waiting.start();
        waiting.interrupt();
        assertThat(ended.join()).isInstanceOf(PeerLostException.class)
                .hasMessageContaining("interrupted");
        waiting.join();
    }
}
