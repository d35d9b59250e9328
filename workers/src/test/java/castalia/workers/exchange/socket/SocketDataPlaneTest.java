package castalia.workers.exchange.socket;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.identity.Endpoint;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.workers.exchange.AbandonedException;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.exchange.PeerLostException;
import castalia.workers.exchange.Threads;
import castalia.workers.exchange.Transport;
import castalia.workers.exchange.socket.Planes.Suspected;
import castalia.workers.exchange.socket.Planes.Way;
import castalia.workers.exchange.socket.SocketSettings.Deadlines;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.StandardProtocolFamily;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.channels.ServerSocketChannel;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

@Timeout(value = 1, unit = TimeUnit.MINUTES)
class SocketDataPlaneTest {

    private static final Duration SHORT = Duration.ofMillis(40);
    private static final Duration WAIT = Duration.ofSeconds(30);
    private static final Deadlines BRIEF = new Deadlines(
            Planes.DEADLINES.hello(), Duration.ofMillis(300), Planes.DEADLINES.peer());

    @TempDir Path folder;

    private static Throwable ended(CompletableFuture<?> future) {
        return future.handle((_, error) -> error == null ? new Error("it ended well") : error)
                .thenApply(error -> error.getCause() == null ? error : error.getCause()).join();
    }

    @ParameterizedTest
    @EnumSource(Way.class)
    void framesOfFasterMembersAreThereAfterJoining(Way way) {
        try (Planes planes = Planes.open(3, way, folder)) {
            Transport fast = planes.join(0, Planes.SECOND, Planes.LONG);
            fast.send(1, Planes.tag(Planes.SECOND, 1), planes.memory(5000, 1));
            fast.drain();
            Planes.until(() -> planes.all.get(1).counters().receivedBytes() == 5000);
            planes.all.get(1).raise(Planes.FIRST);
            Transport slow = planes.join(1, Planes.SECOND, Planes.LONG);
            assertThat(planes.received(slow, 0, Planes.tag(Planes.SECOND, 1), 5000))
                    .isEqualTo(planes.memory(5000, 1).toArray(ValueLayout.JAVA_BYTE));
            assertThat(planes.all.get(1).earlyBytes()).isZero();
        }
    }

    @Test
    void framesOfAGenerationThatIsNeverJoinedAreDroppedAtTheNext() {
        try (Planes planes = Planes.open(2, Way.TCP, folder)) {
            Transport fast = planes.join(0, Planes.SECOND, Planes.LONG);
            fast.send(1, Planes.tag(Planes.SECOND, 1), planes.memory(5000, 1));
            Planes.until(() -> planes.all.get(1).counters().receivedBytes() == 5000);
            assertThat(planes.all.get(1).earlyBytes()).isEqualTo(8192);
            planes.all.get(1).raise(new Fence(2, 3));
            // who counted the bytes may have yet to put the frame down
            Planes.until(() -> planes.all.get(1).earlyBytes() == 0);
        }
    }

    @ParameterizedTest
    @EnumSource(Way.class)
    void raisingTheFenceEndsAWaitThatHasNoFrame(Way way) {
        try (Planes planes = Planes.open(2, way, folder)) {
            Transport rank = planes.join(Planes.FIRST, Planes.LONG).get(1);
            CompletableFuture<?> waiting = CompletableFuture.runAsync(
                    () -> planes.received(rank, 0, Planes.tag(Planes.FIRST, 1), 10), Threads.ALL);
            planes.all.get(1).raise(Planes.SECOND);
            assertThat(ended(waiting)).isInstanceOf(AbandonedException.class)
                    .hasMessageContaining("1.1");
            assertThatThrownBy(() -> rank.send(
                    0, Planes.tag(Planes.FIRST, 1), planes.memory(1, 1)))
                    .isInstanceOf(AbandonedException.class);
            assertThatThrownBy(rank::drain).isInstanceOf(AbandonedException.class);
            assertThatThrownBy(() -> planes.join(1, Planes.FIRST, Planes.LONG))
                    .isInstanceOf(AbandonedException.class);
        }
    }

    /** Accepts in the kernel and reads nothing, like a process that is stopped. */
    private ServerSocketChannel stopped(Planes planes, Way way, int backlog) throws Exception {
        ServerSocketChannel server = ServerSocketChannel.open(
                way == Way.UNIX ? StandardProtocolFamily.UNIX : StandardProtocolFamily.INET);
        Optional<String> path = way == Way.UNIX
                ? Optional.of(folder.resolve("stopped").toString()) : Optional.empty();
        server.bind(path.isPresent() ? UnixDomainSocketAddress.of(path.get())
                : new InetSocketAddress("127.0.0.1", 0), backlog);
        int port = way == Way.UNIX ? 1 : ((InetSocketAddress) server.getLocalAddress()).getPort();
        planes.members.add(Planes.member(
                new Incarnation(99), 1, new Endpoint("127.0.0.1", port, path)));
        return server;
    }

    @ParameterizedTest
    @EnumSource(Way.class)
    void aDrainToAStoppedPeerEndsAndThePayloadIsLetGo(Way way) throws Exception {
        try (Planes planes = Planes.open(1, way, folder);
                ServerSocketChannel server = stopped(planes, way, 50)) {
            Transport rank = planes.join(0, Planes.FIRST, SHORT);
            Arena own = Arena.ofShared();
            for (int i = 0; i < 20; i++) {
                rank.send(1, Planes.tag(Planes.FIRST, i),
                        own.allocate(Planes.BOUNDS.frameBytes()));
            }
            CompletableFuture<?> draining = CompletableFuture.runAsync(rank::drain, Threads.ALL);
            try (SocketChannel accepted = server.accept()) {
                ByteBuffer into = ByteBuffer.allocateDirect(Hello.BYTES + 1);
                Bytes.readIfAny(accepted, into); // the first frame is under way
                assertThat(planes.nextSuspicion()).isEqualTo(
                        new Suspected(0, planes.members.get(1), false, "receipt of frames"));
                assertThat(draining).isNotDone();
                planes.all.get(0).raise(Planes.SECOND);
                assertThat(ended(draining)).isInstanceOf(AbandonedException.class);
                own.close(); // would fail while a thread still writes from it
                long got = Hello.BYTES + 1;
                for (int n = 0; n >= 0; n = accepted.read(into.clear())) {
                    got += n;
                }
                assertThat((got - Hello.BYTES)
                        % (FrameHeader.BYTES + Planes.BOUNDS.frameBytes())).isPositive();
            }
            rank.close();
        }
    }

    @Test
    void connectionsThatEndUnderAnOlderFenceAreNotHeldAgainstAMember() throws Exception {
        try (Planes planes = Planes.open(1, Way.TCP, folder);
                RawPeer peer = new RawPeer(planes, 0)) {
            planes.members.add(peer.member());
            planes.join(0, Planes.FIRST, Planes.LONG);
            peer.hello();
            peer.write(java.util.Arrays.copyOf(
                    peer.frame(Planes.FIRST, 1, planes.memory(1000, 1)), 500));
            Socket first = peer.accepted();
            Planes.until(() -> planes.all.get(0).earlyBytes() > 0);
            planes.join(0, Planes.SECOND, Planes.LONG);
            peer.disconnect();
            Planes.until(() -> planes.all.get(0).counters().refused() == 1);
            first.close();
            Socket second = peer.accepted(); // so it is open to both again
            assertThat(planes.suspected).isEmpty();
            second.close();
            assertThat(planes.nextSuspicion()).isEqualTo(
                    new Suspected(0, peer.member(), true, "connection ended"));
        }
    }

    /** What lies in a connection that stopped moving stands in nobody's way afterwards. */
    @Test
    void everyGenerationHasConnectionsOfItsOwn() throws Exception {
        try (Planes planes = Planes.open(1, Way.TCP, folder);
                RawPeer peer = new RawPeer(planes, 0)) {
            planes.members.add(peer.member());
            planes.join(0, Planes.FIRST, Planes.LONG);
            Socket first = peer.accepted();
            planes.join(0, Planes.SECOND, Planes.LONG)
                    .send(1, Planes.tag(Planes.SECOND, 1), planes.memory(10, 1));
            Socket second = peer.accepted();
            assertThat(second.getInputStream().readNBytes(FrameHeader.BYTES + 10))
                    .hasSize(FrameHeader.BYTES + 10);
            assertThat(first.getInputStream().read()).as("the end of the first").isNegative();
            assertThat(planes.suspected).isEmpty();
        }
    }

    @Test
    void aDestinationIsLetGoWhenThePeerStopsWithinAFrame() throws Exception {
        try (Planes planes = Planes.open(1, Way.TCP, folder);
                RawPeer peer = new RawPeer(planes, 0)) {
            planes.members.add(peer.member());
            Transport rank = planes.join(0, Planes.FIRST, Planes.LONG);
            peer.hello();
            Arena own = Arena.ofShared();
            MemorySegment into = own.allocate(100_000);
            CompletableFuture<?> waiting = CompletableFuture.runAsync(
                    () -> rank.receive(1, Planes.tag(Planes.FIRST, 1), into), Threads.ALL);
            byte[] frame = peer.frame(Planes.FIRST, 1, planes.memory(100_000, 3));
            peer.write(java.util.Arrays.copyOf(frame, 50_000));
            planes.all.get(0).raise(Planes.SECOND);
            assertThat(ended(waiting)).isInstanceOf(AbandonedException.class);
            own.close(); // would fail while a thread still reads into it
            assertThat(planes.all.get(0).counters().receivedBytes()).isZero();
        }
    }

    @ParameterizedTest
    @EnumSource(Way.class)
    void oldFramesAreDroppedCountedAndAnswered(Way way) throws Exception {
        try (Planes planes = Planes.open(2, way, folder)) {
            List<Transport> ranks = planes.join(Planes.FIRST, Planes.LONG);
            Fence newer = new Fence(2, 2);
            planes.all.get(1).raise(newer);
            for (int i = 0; i < 5; i++) {
                ranks.get(0).send(1, Planes.tag(Planes.FIRST, i), planes.memory(3000, i));
            }
            ranks.get(0).drain();
            Planes.until(() -> planes.all.get(1).counters().staleFrames() == 5);
            assertThat(planes.stale.poll(30, TimeUnit.SECONDS)).isEqualTo(newer);
            assertThat(planes.all.get(1).counters().receivedBytes()).isZero();
            assertThat(planes.all.get(1).earlyBytes()).isZero();
            assertThat(planes.all.get(1).counters().refused()).isZero();
            assertThat(planes.stale).isEmpty();
        }
    }

    @ParameterizedTest
    @EnumSource(Way.class)
    void aMemberThatEndsIsSuspectedOnceAndWaitingGoesOn(Way way) throws Exception {
        try (Planes planes = Planes.open(3, way, folder)) {
            List<Transport> ranks = planes.join(Planes.FIRST, Planes.LONG);
            ranks.get(1).send(0, Planes.tag(Planes.FIRST, 1), planes.memory(10, 1));
            planes.received(ranks.get(0), 1, Planes.tag(Planes.FIRST, 1), 10);
            CompletableFuture<?> waiting = CompletableFuture.runAsync(
                    () -> planes.received(ranks.get(0), 1, Planes.tag(Planes.FIRST, 2), 10),
                    Threads.ALL);
            planes.all.get(1).close();
            Suspected one = planes.nextSuspicion();
            Suspected two = planes.nextSuspicion();
            assertThat(List.of(one.by(), two.by())).containsExactlyInAnyOrder(0, 2);
            assertThat(one.about()).isEqualTo(two.about()).isEqualTo(planes.members.get(1));
            assertThat(one.broken() && two.broken()).isTrue();
            assertThat(waiting).isNotDone();
            ranks.get(0).send(1, Planes.tag(Planes.FIRST, 3), planes.memory(10, 1));
            ranks.get(0).drain();
            planes.all.get(0).raise(Planes.SECOND);
            assertThat(ended(waiting)).isInstanceOf(AbandonedException.class);
            assertThat(planes.suspected).isEmpty();
        }
    }

    @Test
    void aMemberThatWasGoneBeforeJoiningIsSuspected() throws Exception {
        try (Planes planes = Planes.open(2, s -> s.withSocketFolder(folder.toString())
                .withDeadlines(BRIEF))) {
            planes.all.get(1).close();
            planes.join(0, Planes.FIRST, Planes.LONG);
            Suspected gone = planes.nextSuspicion();
            assertThat(gone.broken()).isTrue();
            assertThat(gone.what()).contains("no connection");
        }
    }

    /** An attempt that ends because its time is up may have had none: this process may have stood still. */
    @Test
    void aMemberThatLetsNobodyInIsTriedTwice() throws Exception {
        try (Planes planes = Planes.open(1, s -> s.withSocketFolder(folder.toString())
                        .withDeadlines(BRIEF));
                ServerSocketChannel server = stopped(planes, Way.UNIX, 1);
                SocketChannel first = SocketChannel.open(server.getLocalAddress());
                SocketChannel second = SocketChannel.open(server.getLocalAddress())) {
            long begun = System.nanoTime();
            planes.join(0, Planes.FIRST, Planes.LONG);
            Suspected silent = planes.nextSuspicion();
            assertThat(System.nanoTime() - begun)
                    .isGreaterThanOrEqualTo(2 * BRIEF.connect().toNanos());
            assertThat(silent.broken()).isTrue();
            assertThat(silent.what()).contains("no connection");
            assertThat(first.isOpen() && second.isOpen()).isTrue();
        }
    }

    @Test
    void aSilentPeerIsSuspectedByNameAgainAndAgain() throws Exception {
        try (Planes planes = Planes.open(2, Way.TCP, folder)) {
            Transport rank = planes.join(Planes.FIRST, SHORT).get(0);
            FrameTag tag = new FrameTag(Kind.PARTIAL_GRADIENT, 1, 12, 0, 7, 0);
            CompletableFuture<byte[]> waiting = CompletableFuture.supplyAsync(
                    () -> planes.received(rank, 1, tag, 10), Threads.ALL);
            Suspected silent = new Suspected(
                    0, planes.members.get(1), false, "PARTIAL_GRADIENT of chunk 7, step 12");
            assertThat(planes.nextSuspicion()).isEqualTo(silent);
            assertThat(planes.nextSuspicion()).isEqualTo(silent);
            planes.all.get(0).raise(Planes.SECOND);
            assertThat(ended(waiting)).isInstanceOf(AbandonedException.class);
        }
    }

    @Test
    void theLastDeadlineNamesThePeerAndTheFrame() {
        Deadlines short_ = new Deadlines(WAIT, SHORT, SHORT);
        try (Planes planes = Planes.open(2, s -> s.withDeadlines(short_))) {
            Transport rank = planes.join(Planes.FIRST, Planes.LONG).get(0);
            assertThatThrownBy(() -> planes.received(rank, 1, Planes.tag(Planes.FIRST, 8), 10))
                    .isInstanceOfSatisfying(PeerLostException.class,
                            lost -> assertThat(lost.peer()).isEqualTo(1))
                    .hasMessageContaining("rank 1 (w1@node)")
                    .hasMessageContaining("WEIGHTS of chunk 8, step 5");
        }
    }

    @Test
    void anInterruptEndsAWait() throws InterruptedException {
        try (Planes planes = Planes.open(2, Way.TCP, folder)) {
            Transport rank = planes.join(Planes.FIRST, Planes.LONG).get(0);
            AtomicReference<Throwable> caught = new AtomicReference<>();
            Thread waiting = new Thread(() -> planes.received(
                    rank, 1, Planes.tag(Planes.FIRST, 8), 10));
            waiting.setUncaughtExceptionHandler((_, e) -> caught.set(e));
            waiting.start();
            waiting.interrupt();
            waiting.join();
            assertThat(caught.get()).isInstanceOf(PeerLostException.class)
                    .hasMessageContaining("interrupted");
        }
    }
}
