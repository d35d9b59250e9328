package castalia.workers.exchange.socket;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.workers.exchange.Threads;
import castalia.workers.exchange.Transport;
import castalia.workers.exchange.socket.Planes.Suspected;
import castalia.workers.exchange.socket.Planes.Way;
import castalia.workers.exchange.socket.SocketSettings.Bounds;
import castalia.workers.exchange.socket.SocketSettings.Deadlines;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.net.UnixDomainSocketAddress;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.SocketChannel;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What a plane does with those who do not keep to the protocol: two members work on beside them. */
@Timeout(value = 1, unit = TimeUnit.MINUTES)
class IntrusionTest {

    @TempDir Path folder;

    private static void workOn(Planes planes, List<Transport> ranks, int chunk) {
        ranks.get(1).send(0, Planes.tag(Planes.FIRST, chunk), planes.memory(1000, chunk));
        planes.received(ranks.get(0), 1, Planes.tag(Planes.FIRST, chunk), 1000);
        ranks.get(1).drain();
    }

    private static void awaitRefused(Planes planes, long count) {
        Planes.until(() -> planes.all.get(0).counters().refused() >= count);
        assertThat(planes.all.get(0).counters().refused()).isEqualTo(count);
    }

    @Test
    void garbageIsRefusedCountedAndHarmless() throws Exception {
        Random random = new Random(3);
        try (Planes planes = Planes.open(2, Way.TCP, folder)) {
            List<Transport> ranks = planes.join(Planes.FIRST, Planes.LONG);
            for (int i = 0; i < 50; i++) {
                byte[] garbage = new byte[1 + random.nextInt(i % 2 == 0 ? 60 : 5000)];
                random.nextBytes(garbage);
                try (RawPeer peer = new RawPeer(planes, 0)) {
                    peer.write(garbage);
                    if (garbage.length >= Hello.BYTES) {
                        assertThat(peer.isCut()).isTrue();
                    }
                }
                awaitRefused(planes, i + 1);
            }
            workOn(planes, ranks, 1);
            assertThat(planes.suspected).isEmpty();
            assertThat(planes.all.get(0).earlyBytes()).isZero();
        }
    }

    @Test
    void soItIsOnTheUnixDomainSocket() throws Exception {
        Random random = new Random(4);
        try (Planes planes = Planes.open(2, Way.UNIX, folder)) {
            List<Transport> ranks = planes.join(Planes.FIRST, Planes.LONG);
            UnixDomainSocketAddress at = UnixDomainSocketAddress.of(
                    planes.all.get(0).endpoint().socket().orElseThrow());
            for (int i = 0; i < 20; i++) {
                ByteBuffer garbage = ByteBuffer.allocate(Hello.BYTES + random.nextInt(5000));
                random.nextBytes(garbage.array());
                if (i % 2 == 0) { // a hello that fits, then a frame of an impossible length
                    garbage.put(RawPeer.hello(
                            Planes.RUN, RawPeer.LIFE, planes.members.get(0).incarnation()));
                    garbage.rewind();
                }
                try (SocketChannel peer = SocketChannel.open(at)) {
                    peer.write(garbage);
                    peer.shutdownOutput();
                    assertThat(ended(peer)).isTrue();
                }
                awaitRefused(planes, i + 1);
            }
            workOn(planes, ranks, 1);
            assertThat(planes.suspected).isEmpty();
            assertThat(planes.all.get(0).earlyBytes()).isZero();
        }
    }

    private static boolean ended(SocketChannel peer) {
        try {
            return peer.read(ByteBuffer.allocate(1)) < 0;
        } catch (IOException e) {
            return true; // reset, since unread bytes were left
        }
    }

    @Test
    void aHelloThatDoesNotFitIsRefused() throws Exception {
        try (Planes planes = Planes.open(2, Way.TCP, folder)) {
            List<Transport> ranks = planes.join(Planes.FIRST, Planes.LONG);
            Incarnation own = planes.members.get(0).incarnation();
            List<byte[]> wrong = List.of(
                    RawPeer.hello("f".repeat(64), RawPeer.LIFE, own),
                    RawPeer.hello(Planes.RUN, RawPeer.LIFE, new Incarnation(1)),
                    RawPeer.hello(Planes.RUN, own, own));
            for (int i = 0; i < wrong.size(); i++) {
                try (RawPeer peer = new RawPeer(planes, 0)) {
                    peer.write(wrong.get(i));
                    assertThat(peer.isCut()).isTrue();
                    awaitRefused(planes, i + 1);
                }
            }
            workOn(planes, ranks, 1);
        }
    }

    @Test
    void aHelloThatDoesNotComeInTimeIsRefused() throws Exception {
        Deadlines brief = new Deadlines(
                Duration.ofMillis(300), Planes.DEADLINES.connect(), Planes.DEADLINES.peer());
        try (Planes planes = Planes.open(1, s -> s.withDeadlines(brief));
                RawPeer late = new RawPeer(planes, 0);
                RawPeer slow = new RawPeer(planes, 0)) {
            slow.write(new byte[] {0x43, 0x53});
            assertThat(late.isCut()).isTrue();
            assertThat(slow.isCut()).isTrue();
            awaitRefused(planes, 2);
            int attempts = 0;
            while (!isHeardAfter(2 * brief.hello().toMillis(), planes)) {
                // the machine may have stood still between its connection and its hello
                assertThat(++attempts).as("hellos in time that were refused").isLessThan(10);
            }
        }
    }

    /** Whether a peer that says hello at once is heard some time later. */
    private static boolean isHeardAfter(long millis, Planes planes) throws Exception {
        long refused = planes.all.get(0).counters().refused();
        try (RawPeer good = new RawPeer(planes, 0)) {
            good.hello();
            Thread.sleep(millis);
            good.write(good.frame(Planes.FIRST, 1, planes.memory(10, 1)));
            Planes.until(() -> planes.all.get(0).counters().receivedBytes() == 10
                    || planes.all.get(0).counters().refused() > refused);
            return planes.all.get(0).counters().receivedBytes() == 10;
        } catch (IOException e) {
            return false; // cut before it wrote
        }
    }

    @Test
    void connectionsThatSayNothingMakeRoomForPeers() throws Exception {
        try (Planes planes = Planes.open(2, Way.TCP, folder)) {
            List<RawPeer> idle = new ArrayList<>();
            for (int i = 0; i < 100; i++) {
                idle.add(new RawPeer(planes, 0));
            }
            workOn(planes, planes.join(Planes.FIRST, Planes.LONG), 1);
            assertThat(idle.getFirst().isCut()).isTrue();
            assertThat(planes.suspected).isEmpty();
            // each is counted by its own thread when that sees its end
            Planes.until(() -> planes.all.get(0).counters().refused() >= 36);
            assertThat(planes.all.get(0).counters().refused()).isLessThanOrEqualTo(100);
            for (RawPeer peer : idle) {
                peer.close();
            }
        }
    }

    @Test
    void connectionsAreBounded() throws Exception {
        Bounds four = new Bounds(1 << 16, 1 << 20, 1 << 20, 4);
        try (Planes planes = Planes.open(1, s -> s.withBounds(four))) {
            List<RawPeer> peers = new ArrayList<>();
            for (int i = 0; i < 6; i++) {
                peers.add(new RawPeer(planes, 0));
            }
            awaitRefused(planes, 2);
            assertThat(peers.get(0).isCut()).isTrue();
            assertThat(peers.get(1).isCut()).isTrue();
            peers.get(5).close();
            awaitRefused(planes, 3); // no hello
            try (RawPeer next = new RawPeer(planes, 0)) {
                next.hello();
                next.write(next.frame(Planes.FIRST, 1, planes.memory(10, 1)));
                Planes.until(() -> planes.all.get(0).counters().receivedBytes() == 10);
            }
            for (RawPeer peer : peers) {
                peer.close();
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {-1, Integer.MIN_VALUE, Integer.MAX_VALUE, (1 << 22) + 1})
    void anImpossibleLengthIsRefusedBeforeMemoryIsTaken(int length) throws Exception {
        try (Planes planes = Planes.open(1, Way.TCP, folder);
                RawPeer peer = new RawPeer(planes, 0)) {
            planes.members.add(peer.member());
            planes.join(0, Planes.FIRST, Planes.LONG);
            peer.hello();
            ByteBuffer header = ByteBuffer.wrap(
                    peer.frame(Planes.FIRST, 1, planes.memory(0, 1))).order(ByteOrder.LITTLE_ENDIAN);
            header.putInt(52, length).putInt(60, Bytes.crc(header.slice(0, 60)));
            peer.write(header.array());
            assertThat(peer.isCut()).isTrue();
            awaitRefused(planes, 1);
            assertThat(planes.nextSuspicion()).isEqualTo(new Suspected(
                    0, peer.member(), true, "damaged frame: length " + length));
            assertThat(planes.all.get(0).earlyBytes()).isZero();
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {true, false})
    void aFlippedBitNeverReachesTheReceiver(boolean early) throws Exception {
        for (int bit : new int[] {0, 8 * 16, 8 * 63, 8 * 64, 8 * 64 + 12_345, 8 * 9063 + 7}) {
            try (Planes planes = Planes.open(1, Way.TCP, folder);
                    RawPeer peer = new RawPeer(planes, 0)) {
                planes.members.add(peer.member());
                Transport rank = planes.join(0, Planes.FIRST, Planes.LONG);
                MemorySegment into = planes.arena.allocate(9000);
                CompletableFuture<?> waiting = early ? null : CompletableFuture.runAsync(
                        () -> rank.receive(1, Planes.tag(Planes.FIRST, 1), into), Threads.ALL);
                peer.hello();
                byte[] frame = peer.frame(Planes.FIRST, 1, planes.memory(9000, 5));
                frame[bit / 8] ^= (byte) (1 << bit % 8);
                peer.write(frame);
                Suspected damaged = planes.nextSuspicion();
                assertThat(damaged.broken()).isTrue();
                assertThat(damaged.what()).startsWith("damaged frame");
                assertThat(peer.isCut()).isTrue();
                awaitRefused(planes, 1);
                assertThat(planes.all.get(0).counters().receivedBytes()).isZero();
                assertThat(planes.all.get(0).earlyBytes()).isZero();
                if (waiting != null) {
                    assertThat(waiting).isNotDone();
                    try (RawPeer again = new RawPeer(planes, 0)) {
                        again.hello();
                        again.write(again.frame(Planes.FIRST, 1, planes.memory(9000, 5)));
                        waiting.join();
                        assertThat(into.mismatch(planes.memory(9000, 5))).isEqualTo(-1);
                    }
                }
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 63, 64, 65, 5000})
    void aTruncatedFrameIsNotKept(int length) throws Exception {
        try (Planes planes = Planes.open(2, Way.TCP, folder)) {
            List<Transport> ranks = planes.join(Planes.FIRST, Planes.LONG);
            try (RawPeer peer = new RawPeer(planes, 0)) {
                peer.hello();
                peer.write(Arrays.copyOf(
                        peer.frame(Planes.FIRST, 1, planes.memory(9000, 5)), length));
            }
            awaitRefused(planes, 1);
            Planes.until(() -> planes.all.get(0).earlyBytes() == 0);
            workOn(planes, ranks, 2);
        }
    }

    @Test
    void aDuplicateIsDroppedAndCounted() throws Exception {
        try (Planes planes = Planes.open(1, Way.TCP, folder);
                RawPeer peer = new RawPeer(planes, 0)) {
            planes.members.add(peer.member());
            Transport rank = planes.join(0, Planes.FIRST, Planes.LONG);
            peer.hello();
            byte[] frame = peer.frame(Planes.FIRST, 1, planes.memory(9000, 5));
            peer.write(frame);
            peer.write(frame);
            awaitRefused(planes, 1);
            assertThat(planes.received(rank, 1, Planes.tag(Planes.FIRST, 1), 9000)).hasSize(9000);
            assertThat(planes.all.get(0).earlyBytes()).isZero();
            assertThat(planes.all.get(0).counters().receivedBytes()).isEqualTo(9000);
        }
    }

    @Test
    void moreEarlyFramesThanFitAreReadWhenOthersWereTaken() throws Exception {
        Bounds small = new Bounds(1 << 16, 1 << 18, 1 << 18, 8);
        try (Planes planes = Planes.open(1, s -> s.withBounds(small));
                RawPeer peer = new RawPeer(planes, 0)) {
            planes.members.add(peer.member());
            planes.join(0, Planes.FIRST, Planes.LONG);
            peer.hello();
            for (int i = 0; i < 6; i++) {
                peer.write(peer.frame(Planes.SECOND, i, planes.memory(40_000, i)));
            }
            Planes.until(() -> planes.all.get(0).earlyBytes() == 1 << 18);
            Transport second = planes.join(0, Planes.SECOND, Planes.LONG);
            for (int i = 0; i < 6; i++) {
                byte[] got = planes.received(second, 1, Planes.tag(Planes.SECOND, i), 40_000);
                assertThat(planes.memory(40_000, i).mismatch(MemorySegment.ofArray(got)))
                        .isEqualTo(-1);
                assertThat(planes.all.get(0).earlyBytes()).isLessThanOrEqualTo(1 << 18);
            }
            assertThat(planes.all.get(0).counters().refused()).isZero();
        }
    }

    @Test
    void anOldFrameIsAnsweredOncePerFence() throws Exception {
        try (Planes planes = Planes.open(1, Way.TCP, folder);
                RawPeer peer = new RawPeer(planes, 0)) {
            peer.hello();
            for (Fence raised : List.of(new Fence(1, 5), new Fence(2, 5))) {
                planes.all.get(0).raise(raised);
                peer.write(peer.frame(Planes.FIRST, 1, planes.memory(100_000, 5)));
                peer.write(peer.frame(Planes.FIRST, 2, planes.memory(0, 5)));
                assertThat(peer.answer()).isEqualTo(
                        new FrameHeader.Stale(planes.members.get(0).incarnation(), raised));
            }
            Planes.until(() -> planes.all.get(0).counters().staleFrames() == 4);
            assertThat(planes.all.get(0).counters().refused()).isZero();
        }
    }
}
