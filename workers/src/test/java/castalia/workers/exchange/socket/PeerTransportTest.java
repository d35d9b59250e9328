package castalia.workers.exchange.socket;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.reference.ReferenceDevice;
import castalia.workers.exchange.AbandonedException;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.exchange.PeerTransport;
import castalia.workers.exchange.SharedDevice;
import castalia.workers.exchange.Threads;
import castalia.workers.exchange.Transport;
import castalia.workers.exchange.Transport.Source;
import castalia.workers.exchange.socket.Planes.Way;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** Payloads that stay in their sender's device until the receiver's reads them. */
@Timeout(value = 1, unit = TimeUnit.MINUTES, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class PeerTransportTest {

    private static final int SIZE = 1 << 20;
    private static final int CHUNKS = 3;

    @TempDir Path folder;

    /** Ranks on devices that reach each other, or not. */
    private static final class Ranks implements AutoCloseable {

        final Planes planes;
        final List<SharedDevice> devices = new ArrayList<>();
        final List<Arena> arenas = new ArrayList<>();
        final List<Transport> all;
        private final List<Transport> joined;

        Ranks(Path folder, boolean... reached) {
            planes = Planes.open(reached.length, Way.UNIX, folder);
            joined = planes.join(Planes.FIRST, Planes.LONG);
            List<CompletableFuture<Transport>> met = new ArrayList<>();
            for (int r = 0; r < reached.length; r++) {
                SharedDevice device = new SharedDevice(new ReferenceDevice(), reached[r]);
                Transport direct = joined.get(r);
                devices.add(device);
                arenas.add(device.arena());
                met.add(CompletableFuture.supplyAsync(
                        () -> PeerTransport.of(direct, device, 1, CHUNKS), Threads.ALL));
            }
            all = met.stream().map(CompletableFuture::join).toList();
        }

        MemorySegment memory(int rank, int content) {
            MemorySegment memory = arenas.get(rank).allocate(DType.F32, SIZE / 4).segment();
            memory.fill((byte) content);
            return memory;
        }

        long socketBytes() {
            return planes.all.stream().mapToLong(p -> p.counters().sentBytes()).sum();
        }

        @Override
        public void close() {
            all.forEach(Transport::close);
            planes.close();
        }
    }

    private static FrameTag tag(int chunk) {
        return new FrameTag(Kind.WEIGHTS, 1, 5, 0, chunk, 0);
    }

    private static void assertFilled(MemorySegment memory, int with) {
        MemorySegment expected = MemorySegment.ofArray(new byte[SIZE]).fill((byte) with);
        assertThat(memory.mismatch(expected)).isEqualTo(-1);
    }

    private static CompletableFuture<Void> async(Runnable body) {
        return CompletableFuture.runAsync(body, Threads.ALL);
    }

    @Test
    void payloadsAreReadByTheReceiversDeviceAndDoNotCrossTheSocket() {
        try (Ranks ranks = new Ranks(folder, true, true)) {
            MemorySegment sent = ranks.memory(0, 7);
            MemorySegment into = ranks.memory(1, 0);
            Buffer sum = ranks.arenas.get(1).allocate(DType.F32, SIZE / 4);
            CompletableFuture<Void> receiver = async(() -> {
                Transport rank = ranks.all.get(1);
                rank.expect(0, tag(0), into);
                rank.receive(0, tag(0), into);
                rank.receive(List.of(new Source(0, tag(1))), new MemorySegment[] {into},
                        (at, bytes) -> ranks.devices.get(1).kernels().add(
                                sum, new Buffer(DType.F32, SIZE / 4, bytes[0]), SIZE / 4));
            });
            ranks.all.get(0).send(1, tag(0), sent);
            ranks.all.get(0).send(1, tag(1), sent);
            ranks.all.get(0).drain();
            receiver.join();
            assertFilled(into, 7);
            assertFilled(sum.segment(), 7); // zero and it
            assertThat(ranks.all.get(0).sentBytes() - ranks.all.get(1).sentBytes())
                    .isEqualTo(2L * SIZE);
            assertThat(ranks.socketBytes()).isLessThan(2000);
        }
    }

    @Test
    void aPayloadMayChangeWhenItWasReadAndNotBefore() throws Exception {
        try (Ranks ranks = new Ranks(folder, true, true)) {
            MemorySegment sent = ranks.memory(0, 1);
            MemorySegment into = ranks.memory(1, 0);
            ranks.all.get(0).send(1, tag(0), sent);
            CompletableFuture<Void> drained = async(() -> ranks.all.get(0).drain(1));
            Thread.sleep(200);
            assertThat(drained).isNotDone();
            ranks.all.get(1).receive(0, tag(0), into);
            drained.join();
            sent.fill((byte) 2);
            assertFilled(into, 1);
        }
    }

    @Test
    void whoLeavesWhileItIsReadIsFoundOut() {
        try (Ranks ranks = new Ranks(folder, true, true)) {
            MemorySegment sent = ranks.memory(0, 1);
            MemorySegment room = ranks.memory(1, 0);
            ranks.all.get(0).send(1, tag(0), sent);
            Source source = new Source(0, tag(0));
            MemorySegment[] rooms = {room};
            assertThatThrownBy(() -> ranks.all.get(1).receive(List.of(source), rooms, (_, bytes) -> {
                ranks.all.get(0).close();
                ranks.arenas.get(0).close();
                room.copyFrom(bytes[0]);
            })).isInstanceOf(AbandonedException.class).hasMessage(
                    "rank 0 left generation 1 while it was read");
        }
    }

    @Test
    void weightsAreReadFromTheirOwnersDeviceAndWithdrawnAfterThat() {
        try (Ranks ranks = new Ranks(folder, true, true)) {
            MemorySegment into = ranks.memory(1, 0);
            FrameTag ask = new FrameTag(Kind.FETCH, 1, 4, 0, 2, 0);
            ranks.all.get(1).fetch(0, ask, into);
            @Nullable MemorySegment[] chunks = {null, null, ranks.memory(0, 9)};
            ranks.all.get(0).serve(4, chunks);
            ranks.all.get(1).fetched(0, ask, into);
            ranks.all.get(0).withdraw();
            assertFilled(into, 9);
            assertThat(ranks.socketBytes()).isLessThan(2000);
        }
    }

    /** Ranks 0 and 1 reach each other, rank 2 is apart. */
    @Test
    void whoCannotBeReachedGetsPayloadsThroughHostMemory() throws Exception {
        try (Ranks ranks = new Ranks(folder, true, true, false)) {
            MemorySegment sent = ranks.memory(0, 3);
            MemorySegment[] into = {ranks.memory(1, 0), ranks.memory(2, 0)};
            FrameTag ask = new FrameTag(Kind.FETCH, 1, 4, 0, 0, 0);
            List<CompletableFuture<Void>> receivers = new ArrayList<>();
            for (int r = 1; r < 3; r++) {
                Transport rank = ranks.all.get(r);
                MemorySegment memory = into[r - 1];
                receivers.add(async(() -> {
                    rank.receive(0, tag(0), memory);
                    assertFilled(memory, 3);
                    rank.fetch(0, ask, memory);
                    rank.fetched(0, ask, memory);
                }));
                ranks.all.get(0).send(r, tag(0), sent);
            }
            @Nullable MemorySegment[] chunks = {ranks.memory(0, 9), null, null};
            ranks.all.get(0).serve(4, chunks);
            ranks.all.get(0).drain();
            receivers.forEach(CompletableFuture::join);
            assertFilled(into[0], 9);
            assertFilled(into[1], 9);
            while (ranks.socketBytes() < 2L * SIZE) {
                Thread.sleep(5); // a writer counts after its last write, which may be read before
            }
            assertThat(ranks.socketBytes()).isLessThan(2L * SIZE + 3000);
            assertThat(into[0].get(ValueLayout.JAVA_BYTE, 0)).isEqualTo((byte) 9);
        }
    }
}
