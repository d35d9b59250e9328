package castalia.workers.exchange.socket;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.identity.Fence;
import castalia.workers.exchange.AbandonedException;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.exchange.PeerLostException;
import castalia.workers.exchange.Threads;
import castalia.workers.exchange.Transport;
import castalia.workers.exchange.socket.Planes.Way;
import castalia.workers.exchange.socket.SocketSettings.Bounds;
import castalia.workers.exchange.socket.SocketSettings.Deadlines;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.net.Socket;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Weights that are published by their owner and fetched by others. */
@Timeout(value = 1, unit = TimeUnit.MINUTES)
class FetchTest {

    private static final int SIZE = 100_000;

    @TempDir Path folder;

    private static FrameTag ask(Fence fence, long version, int chunk, int request) {
        return new FrameTag(Kind.FETCH, fence.generation(), version, 0, chunk, request);
    }

    private static byte[] bytes(MemorySegment of) {
        return of.toArray(ValueLayout.JAVA_BYTE);
    }

    private static MemorySegment room(Planes planes) {
        return planes.arena.allocate(SIZE, 64);
    }

    private static void awaitRefused(Planes planes, long count) {
        Planes.until(() -> planes.all.get(0).counters().refused() >= count);
        assertThat(planes.all.get(0).counters().refused()).isEqualTo(count);
    }

    @ParameterizedTest
    @EnumSource(Way.class)
    void everyVersionIsFetchedAsItIsPublishedHoweverEarlyItIsAskedFor(Way way) {
        try (Planes planes = Planes.open(3, way, folder)) {
            List<Transport> ranks = planes.join(Planes.FIRST, Planes.LONG);
            MemorySegment first = planes.memory(SIZE, 1);
            MemorySegment second = planes.memory(SIZE, 2);
            int request = 0;
            for (long version = 3; version < 6; version++) {
                MemorySegment[] into = {room(planes), room(planes), room(planes)};
                ranks.get(1).fetch(0, ask(Planes.FIRST, version, 1, request), into[0]);
                ranks.get(2).fetch(0, ask(Planes.FIRST, version, 1, request), into[1]);
                ranks.get(0).withdraw();
                first.fill((byte) version);
                @Nullable MemorySegment[] served = {null, first, null, second};
                ranks.get(0).serve(version, served);
                ranks.get(2).fetch(0, ask(Planes.FIRST, version, 3, request), into[2]);
                ranks.get(2).fetched(0, ask(Planes.FIRST, version, 3, request), into[2]);
                ranks.get(2).fetched(0, ask(Planes.FIRST, version, 1, request), into[1]);
                ranks.get(1).fetched(0, ask(Planes.FIRST, version, 1, request), into[0]);
                request++;
                assertThat(bytes(into[0])).isEqualTo(bytes(first));
                assertThat(bytes(into[1])).isEqualTo(bytes(first));
                assertThat(bytes(into[2])).isEqualTo(bytes(second));
            }
            Planes.until(() -> ranks.get(0).sentBytes() == 9L * SIZE);
            assertThat(planes.suspected).isEmpty();
        }
    }

    @Test
    void framesThatNobodyTakesHoldUpNoWeights() {
        Bounds small = new Bounds(1 << 17, 1 << 17, 1 << 17, 16);
        try (Planes planes = Planes.open(2, s -> s.withBounds(small))) {
            List<Transport> ranks = planes.join(Planes.FIRST, Planes.LONG);
            MemorySegment[] served = {planes.memory(SIZE, 1)};
            for (int r = 0; r < 2; r++) {
                for (int chunk = 0; chunk < 200; chunk++) {
                    ranks.get(r).send(1 - r, Planes.tag(Planes.FIRST, chunk),
                            planes.memory(SIZE, chunk));
                }
                ranks.get(r).serve(0, served);
            }
            for (int r = 0; r < 2; r++) {
                MemorySegment into = room(planes);
                ranks.get(r).fetch(1 - r, ask(Planes.FIRST, 0, 0, 0), into);
                ranks.get(r).fetched(1 - r, ask(Planes.FIRST, 0, 0, 0), into);
                assertThat(bytes(into)).isEqualTo(bytes(served[0]));
            }
        }
    }

    @Test
    void aNewGenerationEndsTheWaitForAnOwnerAndIsServedAnew() throws Exception {
        try (Planes planes = Planes.open(2, Way.UNIX, folder)) {
            List<Transport> ranks = planes.join(Planes.FIRST, Planes.LONG);
            MemorySegment into = room(planes);
            CompletableFuture<Void> waiting = CompletableFuture.runAsync(() -> {
                ranks.get(1).fetch(0, ask(Planes.FIRST, 0, 0, 0), into);
                ranks.get(1).fetched(0, ask(Planes.FIRST, 0, 0, 0), into);
            }, Threads.ALL);
            planes.all.get(1).raise(Planes.SECOND);
            assertThat(waiting.handle((_, e) -> e.getCause()).get())
                    .isInstanceOf(AbandonedException.class);
            ranks.get(1).close();
            Transport next = planes.join(1, Planes.SECOND, Planes.LONG);
            next.fetch(0, ask(Planes.SECOND, 0, 0, 0), into);
            ranks.get(0).serve(0, new MemorySegment[] {planes.memory(SIZE, 5)});
            ranks.get(0).close();
            Transport owner = planes.join(0, Planes.SECOND, Planes.LONG);
            MemorySegment now = planes.memory(SIZE, 6);
            owner.serve(0, new MemorySegment[] {now});
            next.fetched(0, ask(Planes.SECOND, 0, 0, 0), into);
            assertThat(bytes(into)).isEqualTo(bytes(now));
        }
    }

    @Test
    void anOwnerThatNeverPublishesIsSuspectedAndThenLostByName() throws Exception {
        Deadlines brief = new Deadlines(
                Duration.ofSeconds(5), Duration.ofMillis(300), Duration.ofMillis(900));
        try (Planes planes = Planes.open(2, s -> s.withDeadlines(brief))) {
            List<Transport> ranks = planes.join(Planes.FIRST, Duration.ofMillis(200));
            MemorySegment into = room(planes);
            ranks.get(1).fetch(0, ask(Planes.FIRST, 4, 2, 0), into);
            assertThatThrownBy(() -> ranks.get(1).fetched(0, ask(Planes.FIRST, 4, 2, 0), into))
                    .isInstanceOfSatisfying(PeerLostException.class,
                            lost -> assertThat(lost.peer()).isZero())
                    .hasMessageContaining("w0").hasMessageContaining("FETCHED of chunk 2, step 4");
            assertThat(planes.nextSuspicion().about()).isEqualTo(planes.members.get(0));
        }
    }

    @Test
    void anOwnerThatEndsIsSuspectedAtOnce() throws Exception {
        try (Planes planes = Planes.open(2, Way.UNIX, folder)) {
            List<Transport> ranks = planes.join(Planes.FIRST, Planes.LONG);
            MemorySegment into = room(planes);
            ranks.get(0).serve(0, new MemorySegment[] {planes.memory(SIZE, 5)});
            ranks.get(1).fetch(0, ask(Planes.FIRST, 0, 0, 0), into);
            ranks.get(1).fetched(0, ask(Planes.FIRST, 0, 0, 0), into);
            planes.all.get(0).close();
            assertThat(planes.nextSuspicion().broken()).isTrue();
            ranks.get(1).fetch(0, ask(Planes.FIRST, 0, 0, 1), into);
            planes.all.get(1).raise(Planes.SECOND);
            assertThatThrownBy(() -> ranks.get(1).fetched(0, ask(Planes.FIRST, 0, 0, 1), into))
                    .isInstanceOf(AbandonedException.class);
            ranks.get(1).close();
        }
    }

    /** Whoever stops reading in the middle of an answer. */
    @Test
    void servedMemoryIsFreeAgainHoweverAGenerationEnds() throws Exception {
        int large = 1 << 22;
        try (Planes planes = Planes.open(1, Way.TCP, folder);
                RawPeer peer = new RawPeer(planes, 0)) {
            planes.members.add(peer.member());
            Transport owner = planes.join(0, Planes.FIRST, Planes.LONG);
            MemorySegment memory = planes.memory(large, 1);
            owner.serve(7, new MemorySegment[] {memory});
            peer.helloToFetch();
            try (Socket _ = peer.accepted()) {
                for (int i = 0; i < 8; i++) {
                    peer.write(peer.frame(
                            Planes.FIRST, ask(Planes.FIRST, 7, 0, i), planes.memory(0, 0)));
                }
                try (Socket answers = peer.accepted()) {
                    InputStream in = answers.getInputStream();
                    assertThat(in.readNBytes(FrameHeader.BYTES)).hasSize(FrameHeader.BYTES);
                    planes.all.get(0).raise(Planes.SECOND);
                    owner.close();
                    byte[] before = bytes(memory);
                    memory.fill((byte) 9);
                    int at = 0;
                    byte[] piece = in.readNBytes(Piece.BYTES);
                    while (piece.length > 0) {
                        assertThat(piece).isEqualTo(
                                Arrays.copyOfRange(before, at, at + piece.length));
                        at += piece.length;
                        in.readNBytes(FrameHeader.BYTES);
                        piece = in.readNBytes(Piece.BYTES);
                    }
                    assertThat(at).isPositive().isLessThan(large);
                }
            }
        }
    }

    @Test
    void requestsThatMakeNoSenseAreRefusedAndCounted() throws Exception {
        try (Planes planes = Planes.open(2, Way.TCP, folder)) {
            List<RawPeer> peers = new ArrayList<>();
            RawPeer member = new RawPeer(planes, 0);
            peers.add(member);
            planes.members.add(member.member());
            List<Transport> ranks = List.of(planes.join(0, Planes.FIRST, Planes.LONG),
                    planes.join(1, Planes.FIRST, Planes.LONG));
            ranks.get(0).serve(7, new @Nullable MemorySegment[] {planes.memory(SIZE, 1), null});
            List<byte[]> wrong = List.of(
                    member.frame(Planes.FIRST, ask(Planes.FIRST, 7, 1, 0), planes.memory(0, 0)),
                    member.frame(Planes.FIRST, ask(Planes.FIRST, 7, 2, 0), planes.memory(0, 0)),
                    member.frame(Planes.FIRST, ask(Planes.FIRST, 6, 0, 0), planes.memory(0, 0)),
                    member.frame(Planes.FIRST, ask(Planes.FIRST, 7, 0, 0), planes.memory(9, 0)),
                    member.frame(Planes.FIRST, 3, planes.memory(9, 0)));
            for (int i = 0; i < wrong.size(); i++) {
                RawPeer peer = i == 0 ? member : new RawPeer(planes, 0);
                peers.add(peer);
                peer.helloToFetch();
                peer.write(wrong.get(i));
                assertThat(peer.isCut()).as("request %d", i).isTrue();
                awaitRefused(planes, i + 1);
            }
            MemorySegment into = room(planes);
            ranks.get(1).fetch(0, ask(Planes.FIRST, 7, 0, 0), into);
            ranks.get(1).fetched(0, ask(Planes.FIRST, 7, 0, 0), into);
            for (RawPeer peer : peers) {
                peer.close();
            }
        }
    }

    @Test
    void whatIsAskedForBeforeItIsKnownToMakeNoSenseIsRefusedThen() throws Exception {
        try (Planes planes = Planes.open(1, Way.TCP, folder);
                RawPeer peer = new RawPeer(planes, 0)) {
            Transport owner = planes.join(0, Planes.FIRST, Planes.LONG);
            peer.helloToFetch();
            peer.write(peer.frame(Planes.FIRST, ask(Planes.FIRST, 7, 0, 0), planes.memory(0, 0)));
            peer.write(peer.frame(Planes.FIRST, ask(Planes.FIRST, 8, 0, 0), planes.memory(0, 0)));
            MemorySegment[] served = {planes.memory(SIZE, 1)};
            while (planes.all.get(0).counters().refused() == 0) {
                owner.serve(7, served); // whoever asks is no member
            }
            assertThat(peer.isCut()).isTrue();
            awaitRefused(planes, 1);
        }
    }

    /** Before each of the many requests a loop lets others go first, which takes long if they compute. */
    @Test
    @Timeout(value = 3, unit = TimeUnit.MINUTES)
    void requestsOfAConnectionAreBounded() throws Exception {
        try (Planes planes = Planes.open(1, Way.TCP, folder);
                RawPeer peer = new RawPeer(planes, 0)) {
            planes.members.add(peer.member());
            planes.join(0, Planes.FIRST, Planes.LONG);
            peer.helloToFetch();
            for (int i = 0; i <= Shelf.MOST_REQUESTS; i++) {
                assertThat(planes.all.get(0).counters().refused()).isZero();
                peer.write(peer.frame(
                        Planes.FIRST, ask(Planes.FIRST, 7, 0, i), planes.memory(0, 0)));
            }
            assertThat(peer.isCut()).isTrue();
            awaitRefused(planes, 1);
        }
    }

    @Test
    void anOldRequestIsAnsweredWithTheNewFence() throws Exception {
        try (Planes planes = Planes.open(1, Way.TCP, folder);
                RawPeer peer = new RawPeer(planes, 0)) {
            planes.members.add(peer.member());
            Transport owner = planes.join(0, Planes.SECOND, Planes.LONG);
            owner.serve(7, new MemorySegment[] {planes.memory(SIZE, 1)});
            peer.helloToFetch();
            peer.write(peer.frame(Planes.FIRST, ask(Planes.FIRST, 7, 0, 0), planes.memory(0, 0)));
            assertThat(peer.answer().fence()).isEqualTo(Planes.SECOND);
            assertThat(planes.all.get(0).counters().staleFrames()).isEqualTo(1);
            assertThat(planes.all.get(0).counters().refused()).isZero();
        }
    }

    @Test
    void anAnswerThatNobodyAskedForIsSkippedAndOneOfAnotherLengthEndsTheConnection()
            throws Exception {
        try (Planes planes = Planes.open(1, Way.TCP, folder);
                RawPeer peer = new RawPeer(planes, 0)) {
            planes.members.add(peer.member());
            Transport rank = planes.join(0, Planes.FIRST, Planes.LONG);
            MemorySegment into = room(planes);
            rank.fetch(1, ask(Planes.FIRST, 7, 0, 0), into);
            peer.helloToFetch();
            peer.write(peer.frame(Planes.FIRST, answer(7, 5), planes.memory(SIZE, 1)));
            awaitRefused(planes, 1);
            assertThat(planes.all.get(0).earlyBytes()).isZero();
            peer.write(peer.frame(Planes.FIRST, answer(7, 0), planes.memory(SIZE - 1, 1)));
            assertThat(peer.isCut()).isTrue();
            awaitRefused(planes, 2);
            assertThat(planes.nextSuspicion().about()).isEqualTo(peer.member());
            assertThat(bytes(into)).containsOnly(0);
        }
    }

    private static FrameTag answer(long version, int chunk) {
        return new FrameTag(Kind.FETCHED, Planes.FIRST.generation(), version, 0, chunk, 0);
    }
}
