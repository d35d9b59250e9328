package castalia.workers.exchange.socket;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.workers.exchange.AbandonedException;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.PeerLostException;
import castalia.workers.exchange.Threads;
import castalia.workers.exchange.Transport;
import castalia.workers.exchange.Transport.Parts;
import castalia.workers.exchange.Transport.Source;
import castalia.workers.exchange.socket.Planes.Way;
import castalia.workers.exchange.socket.SocketSettings.Bounds;
import castalia.workers.exchange.socket.SocketSettings.Deadlines;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.Socket;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Frames whose destination is known before they come, and frames that are used piece by piece. */
@Timeout(value = 1, unit = TimeUnit.MINUTES)
class ExpectedFramesTest {

    private static final int LONG = 3 * Piece.BYTES + 17;

    @TempDir Path folder;

    private static FrameTag tag(int chunk) {
        return Planes.tag(Planes.FIRST, chunk);
    }

    @Test
    void whatIsExpectedIsReadToItsPlaceThoughNobodyWaits() {
        try (Planes planes = Planes.open(2, Way.UNIX, folder)) {
            List<Transport> ranks = planes.join(Planes.FIRST, Planes.LONG);
            MemorySegment sent = planes.memory(LONG, 3);
            MemorySegment into = planes.arena.allocate(LONG);
            ranks.get(1).expect(0, tag(1), into);
            ranks.get(0).send(1, tag(1), sent);
            ranks.get(0).drain();
            Planes.until(() -> planes.all.get(1).counters().receivedBytes() == LONG);
            assertThat(planes.all.get(1).earlyBytes()).isZero();
            assertThat(into.mismatch(sent)).isEqualTo(-1);
            ranks.get(1).receive(0, tag(1), into);
            assertThat(into.mismatch(sent)).isEqualTo(-1);
        }
    }

    /** When a payload comes. */
    enum Moment { BEFORE_IT_IS_EXPECTED, BEFORE_IT_IS_RECEIVED, AFTERWARDS }

    @ParameterizedTest
    @EnumSource(Moment.class)
    void anotherDestinationThanWasExpectedIsFilled(Moment moment) {
        try (Planes planes = Planes.open(2, Way.TCP, folder)) {
            List<Transport> ranks = planes.join(Planes.FIRST, Planes.LONG);
            MemorySegment sent = planes.memory(LONG, 3);
            MemorySegment into = planes.arena.allocate(LONG);
            Runnable come = () -> {
                ranks.get(0).send(1, tag(1), sent);
                Planes.until(() -> planes.all.get(1).counters().receivedBytes() == LONG);
            };
            if (moment == Moment.BEFORE_IT_IS_EXPECTED) {
                come.run();
            }
            ranks.get(1).expect(0, tag(1), planes.arena.allocate(LONG));
            if (moment == Moment.BEFORE_IT_IS_RECEIVED) {
                come.run();
            }
            CompletableFuture<?> received =
                    CompletableFuture.runAsync(() -> ranks.get(1).receive(0, tag(1), into), Threads.ALL);
            if (moment == Moment.AFTERWARDS) {
                come.run();
            }
            received.join();
            assertThat(into.mismatch(sent)).isEqualTo(-1);
            assertThat(planes.all.get(1).earlyBytes()).isZero();
        }
    }

    @Test
    void whatIsForgottenIsNotWritten() {
        try (Planes planes = Planes.open(2, Way.TCP, folder)) {
            List<Transport> ranks = planes.join(Planes.FIRST, Planes.LONG);
            Arena own = Arena.ofShared();
            ranks.get(1).expect(0, tag(1), own.allocate(LONG));
            ranks.get(1).forget();
            own.close();
            ranks.get(0).send(1, tag(1), planes.memory(LONG, 3));
            assertThat(planes.received(ranks.get(1), 0, tag(1), LONG)).hasSize(LONG);
        }
    }

    @Test
    void memoryIsFreeWhenAGenerationEndsInTheMiddleOfAnExpectedFrame() throws Exception {
        try (Planes planes = Planes.open(1, Way.TCP, folder);
                RawPeer peer = new RawPeer(planes, 0)) {
            planes.members.add(peer.member());
            Transport rank = planes.join(0, Planes.FIRST, Planes.LONG);
            Arena own = Arena.ofShared();
            MemorySegment into = own.allocate(1000);
            rank.expect(1, tag(1), into);
            peer.hello();
            byte[] frame = peer.frame(Planes.FIRST, 1, planes.memory(1000, 1));
            peer.write(Arrays.copyOf(frame, 500));
            try (Socket first = peer.accepted()) {
                Planes.until(() -> into.get(ValueLayout.JAVA_BYTE, 0) != 0);
                planes.all.get(0).raise(Planes.SECOND);
                assertThatThrownBy(() -> rank.receive(1, tag(2), planes.arena.allocate(8)))
                        .isInstanceOf(AbandonedException.class);
                own.close(); // would fail while a thread still writes to it
                assertThat(peer.isCut()).isTrue();
                assertThat(first.isClosed()).isFalse();
            }
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void piecesComeInOrderWhetherTheyAreEarlyOrWaitedFor(boolean early) {
        Bounds tight = new Bounds(1 << 22, 1L << 22, 1L << 22, 16);
        try (Planes planes = Planes.open(2, s -> s.withBounds(tight))) {
            List<Transport> ranks = planes.join(Planes.FIRST, Planes.LONG);
            int size = 4_000_003;
            MemorySegment sent = planes.memory(size, 3);
            MemorySegment other = planes.memory(size, 4);
            if (early) {
                ranks.get(0).send(1, tag(1), sent);
                Planes.until(() -> planes.all.get(1).counters().receivedBytes() == size);
            }
            MemorySegment room = planes.arena.allocate(size);
            byte[] got = new byte[size];
            List<Long> offsets = new ArrayList<>();
            CompletableFuture<?> received = CompletableFuture.runAsync(() -> {
                for (int chunk = 1; chunk <= 2; chunk++) {
                    offsets.clear();
                    receive(ranks.get(1), 0, chunk, room, (offset, bytes) -> {
                        offsets.add(offset);
                        MemorySegment.ofArray(got).asSlice(offset, bytes[0].byteSize())
                                .copyFrom(bytes[0]);
                    });
                    assertThat(MemorySegment.ofArray(got).mismatch(chunk == 1 ? sent : other))
                            .isEqualTo(-1);
                }
            }, Threads.ALL);
            if (!early) {
                ranks.get(0).send(1, tag(1), sent);
            }
            ranks.get(0).send(1, tag(2), other);
            received.join();
            assertThat(offsets).hasSize(Piece.count(size)).isSorted();
            assertThat(planes.all.get(1).earlyBytes()).isZero();
        }
    }

    @Test
    void whatAReaderIsTellingWhenAGenerationEndsIsToldBeforeTheRankGoesOn() throws Exception {
        try (Planes planes = Planes.open(2, Way.UNIX, folder)) {
            List<Transport> ranks = planes.join(Planes.FIRST, Planes.LONG);
            CountDownLatch telling = new CountDownLatch(1);
            CountDownLatch raised = new CountDownLatch(1);
            AtomicInteger told = new AtomicInteger();
            AtomicReference<Thread> teller = new AtomicReference<>(Thread.currentThread());
            AtomicReference<@Nullable Thread> waiter = new AtomicReference<>();
            CompletableFuture<?> received = CompletableFuture.runAsync(() -> {
                Thread self = Thread.currentThread();
                waiter.set(self);
                receive(ranks.get(1), 0, 1, planes.arena.allocate(LONG), (_, _) -> {
                    if (Thread.currentThread() != self) {
                        teller.set(Thread.currentThread());
                        telling.countDown();
                        awaitQuietly(raised);
                    }
                    told.incrementAndGet();
                });
            }, Threads.ALL);
            Planes.until(() -> isWaiting(waiter.get())); // so that the reader is to tell
            ranks.get(0).send(1, tag(1), planes.memory(LONG, 3));
            assertThat(telling.await(30, TimeUnit.SECONDS)).isTrue();
            assertThat(teller.get().getName()).startsWith("data-");
            planes.all.get(1).raise(Planes.SECOND);
            assertThatThrownBy(() -> received.get(200, TimeUnit.MILLISECONDS))
                    .isInstanceOf(TimeoutException.class);
            raised.countDown();
            assertThatThrownBy(received::join).hasCauseInstanceOf(AbandonedException.class);
            assertThat(told).hasValue(1);
        }
    }

    /** Whether a thread waits for an arrival: locks have it wait without a limit. */
    private static boolean isWaiting(@Nullable Thread thread) {
        return thread != null && thread.getState() == Thread.State.TIMED_WAITING;
    }

    /** Takes a payload of a rank piece by piece. */
    private static void receive(
            Transport rank, int from, int chunk, MemorySegment room, Parts parts) {
        rank.receive(List.of(new Source(from, tag(chunk))), new MemorySegment[] {room}, parts);
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void thePiecesOfSeveralRanksAreToldTogetherHoweverFarOneIsAhead(boolean begun) {
        Bounds tight = new Bounds(1 << 22, 1L << 22, 1L << 22, 16);
        try (Planes planes = Planes.open(3, s -> s.withBounds(tight))) {
            List<Transport> ranks = planes.join(Planes.FIRST, Planes.LONG);
            int size = 4_000_003;
            List<Source> sources = List.of(new Source(2, tag(1)), new Source(0, tag(1)));
            MemorySegment[] sent = {planes.memory(size, 3), planes.memory(size, 4)};
            MemorySegment[] rooms = {planes.arena.allocate(size), planes.arena.allocate(size)};
            byte[][] got = new byte[2][size];
            List<Long> offsets = new ArrayList<>();
            Parts parts = (offset, bytes) -> {
                offsets.add(offset);
                for (int i = 0; i < 2; i++) {
                    MemorySegment.ofArray(got[i]).asSlice(offset, bytes[i].byteSize()).copyFrom(bytes[i]);
                }
            };
            if (begun) {
                ranks.get(1).begin(sources, size, parts);
            }
            ranks.get(0).send(1, tag(2), sent[1]); // takes the room that there is for early frames
            ranks.get(0).send(1, tag(1), sent[1]);
            CompletableFuture<?> received = CompletableFuture.runAsync(
                    () -> ranks.get(1).receive(sources, rooms, parts), Threads.ALL);
            ranks.get(0).drain(1); // all of it came before anything of the other
            assertThat(offsets).isEmpty();
            ranks.get(2).send(1, tag(1), sent[0]);
            received.join();
            assertThat(offsets).hasSize(Piece.count(size)).isSorted();
            for (int i = 0; i < 2; i++) {
                assertThat(MemorySegment.ofArray(got[i]).mismatch(sent[i])).isEqualTo(-1);
            }
            assertThat(planes.received(ranks.get(1), 0, tag(2), size)).hasSize(size);
            assertThat(planes.all.get(1).earlyBytes()).isZero();
        }
    }

    @Test
    void ofSeveralRanksTheOneThatIsSilentIsSuspected() throws Exception {
        try (Planes planes = Planes.open(3, Way.UNIX, folder)) {
            List<Transport> ranks = planes.join(Planes.FIRST, Duration.ofMillis(300));
            ranks.get(0).send(1, tag(1), planes.memory(LONG, 3));
            Planes.until(() -> planes.all.get(1).counters().receivedBytes() == LONG);
            CompletableFuture<?> received = CompletableFuture.runAsync(() -> ranks.get(1).receive(
                    List.of(new Source(0, tag(1)), new Source(2, tag(1))),
                    new MemorySegment[] {planes.arena.allocate(LONG), planes.arena.allocate(LONG)},
                    (_, _) -> { }), Threads.ALL);
            assertThat(planes.nextSuspicion().about()).isEqualTo(planes.members.get(2));
            ranks.get(2).send(1, tag(1), planes.memory(LONG, 4));
            received.join();
        }
    }

    private static void awaitQuietly(CountDownLatch latch) {
        try {
            assertThat(latch.await(30, TimeUnit.SECONDS)).isTrue();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void whatFailsWhenItIsToldFailsOnTheRanksThread(boolean early) throws Exception {
        try (Planes planes = Planes.open(2, Way.UNIX, folder)) {
            List<Transport> ranks = planes.join(Planes.FIRST, Planes.LONG);
            if (early) {
                ranks.get(0).send(1, tag(1), planes.memory(LONG, 3));
                Planes.until(() -> planes.all.get(1).counters().receivedBytes() == LONG);
            }
            CompletableFuture<?> received = CompletableFuture.runAsync(() ->
                    receive(ranks.get(1), 0, 1, planes.arena.allocate(LONG), (offset, _) -> {
                        if (offset > 0) {
                            throw new ArithmeticException("at the second piece");
                        }
                    }), Threads.ALL);
            if (!early) {
                Thread.sleep(100);
                ranks.get(0).send(1, tag(1), planes.memory(LONG, 3));
            }
            assertThatThrownBy(received::join)
                    .hasCauseInstanceOf(ArithmeticException.class);
            ranks.get(0).send(1, tag(2), planes.memory(LONG, 4));
            assertThat(planes.received(ranks.get(1), 0, tag(2), LONG)).hasSize(LONG);
        }
    }

    @Test
    void aPeerThatStallsInsideAPayloadIsSuspectedThoughPiecesCame() throws Exception {
        try (Planes planes = Planes.open(1, Way.TCP, folder);
                RawPeer peer = new RawPeer(planes, 0)) {
            planes.members.add(peer.member());
            Transport rank = planes.join(0, Planes.FIRST, Duration.ofMillis(300));
            CompletableFuture<?> received = CompletableFuture.runAsync(
                    () -> rank.receive(1, tag(1), planes.arena.allocate(1000)), Threads.ALL);
            peer.hello();
            byte[] frame = peer.frame(Planes.FIRST, 1, planes.memory(1000, 1));
            peer.write(Arrays.copyOf(frame, 500));
            assertThat(planes.nextSuspicion().what()).contains("WEIGHTS of chunk 1");
            peer.write(Arrays.copyOfRange(frame, 500, frame.length));
            received.join();
        }
    }

    /** Whoever waits asks for its patience before every wait: what it is told then has come since. */
    @Test
    void aPayloadMayTakeLongerThanTheDeadlineAsLongAsPiecesCome() throws Exception {
        Deadlines brief = new Deadlines(Planes.LONG, Planes.LONG, Duration.ofMillis(300));
        try (Planes planes = Planes.open(1, s -> s.withDeadlines(brief));
                RawPeer peer = new RawPeer(planes, 0)) {
            planes.members.add(peer.member());
            planes.all.get(0).raise(Planes.FIRST);
            int count = 5;
            MemorySegment sent = planes.memory(count * Piece.BYTES, 3);
            AtomicInteger written = new AtomicInteger();
            AtomicInteger told = new AtomicInteger();
            Transport rank = planes.all.get(0).join(Planes.FIRST, planes.members, 0, () -> {
                int piece = written.get();
                if (piece < count) {
                    written.incrementAndGet();
                    write(peer, peer.frame(
                            Planes.FIRST, tag(1), count - 1 - piece, Piece.of(sent, piece)));
                    Planes.until(() -> told.get() == piece + 1);
                }
                return Planes.LONG;
            }, (_, _, _) -> { });
            peer.hello();
            MemorySegment into = planes.arena.allocate(sent.byteSize());
            long begun = System.nanoTime();
            receive(rank, 1, 1, into, (offset, bytes) -> {
                into.asSlice(offset, bytes[0].byteSize()).copyFrom(bytes[0]);
                told.incrementAndGet();
            });
            assertThat(System.nanoTime() - begun).isGreaterThan(2 * brief.peer().toNanos());
            assertThat(into.mismatch(sent)).isEqualTo(-1);
            assertThatThrownBy(() -> rank.receive(1, tag(2), planes.arena.allocate(8)))
                    .isInstanceOf(PeerLostException.class)
                    .hasMessageContaining("did not come in time");
        }
    }

    private static void write(RawPeer peer, byte[] frame) {
        try {
            peer.write(frame);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    @Test
    void aDrainToOnePeerDoesNotWaitForAnother() throws Exception {
        try (Planes planes = Planes.open(2, Way.TCP, folder);
                RawPeer stopped = new RawPeer(planes, 0)) {
            planes.members.add(stopped.member());
            Transport rank = planes.join(0, Planes.FIRST, Planes.LONG);
            Transport other = planes.join(1, Planes.FIRST, Planes.LONG);
            for (int i = 0; i < 20; i++) {
                rank.send(2, tag(i), planes.arena.allocate(Planes.BOUNDS.frameBytes()));
            }
            rank.send(1, tag(1), planes.memory(1000, 1));
            rank.drain(1);
            assertThat(planes.received(other, 0, tag(1), 1000)).hasSize(1000);
            CompletableFuture<Void> all = CompletableFuture.runAsync(rank::drain, Threads.ALL);
            assertThatThrownBy(() -> all.get(200, TimeUnit.MILLISECONDS))
                    .isInstanceOf(TimeoutException.class);
        }
    }
}
