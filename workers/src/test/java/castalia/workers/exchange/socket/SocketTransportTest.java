package castalia.workers.exchange.socket;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.reference.ReferenceDevice;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.Placement;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.exchange.GradientReducer;
import castalia.workers.exchange.LocalTransport;
import castalia.workers.exchange.Threads;
import castalia.workers.exchange.Transport;
import castalia.workers.exchange.WeightGather;
import castalia.workers.exchange.socket.Planes.Way;
import castalia.workers.model.FlatViews;
import castalia.workers.rank.TinyRun;
import castalia.workers.state.HeldChunks;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

@Timeout(value = 1, unit = TimeUnit.MINUTES)
class SocketTransportTest {

    private static final int[] SIZES = {0, 1, 63, 64, 4096, 4097, 70_001, 1 << 20, 3_000_001};

    @TempDir Path folder;

    private static <T> List<T> together(List<CompletableFuture<T>> parts) {
        return parts.stream().map(CompletableFuture::join).toList();
    }

    /** A frame from one rank to another. */
    private record Frame(int from, int to, FrameTag tag, MemorySegment payload) {}

    @ParameterizedTest
    @CsvSource({"UNIX, 2, 1", "UNIX, 4, 2", "TCP, 2, 3", "TCP, 3, 4"})
    void framesInAnyOrderArriveAsTheyWereSent(Way way, int ranks, long seed) {
        Random random = new Random(seed);
        ExecutorService threads = Executors.newFixedThreadPool(ranks);
        try (Planes planes = Planes.open(ranks, way, folder)) {
            List<Transport> transports = planes.join(Planes.FIRST, Planes.LONG);
            List<Frame> frames = new ArrayList<>();
            for (int i = 0; i < 40 * ranks; i++) {
                int from = random.nextInt(ranks);
                int to = (from + 1 + random.nextInt(ranks - 1)) % ranks;
                Kind kind = Kind.values()[random.nextInt(5)];
                frames.add(new Frame(from, to, new FrameTag(kind, 1, random.nextLong(9),
                        random.nextInt(3), i, random.nextInt(64)),
                        planes.memory(SIZES[random.nextInt(SIZES.length)], i)));
            }
            List<List<Frame>> incoming = new ArrayList<>();
            for (int r = 0; r < ranks; r++) {
                int rank = r;
                List<Frame> own = new ArrayList<>(
                        frames.stream().filter(frame -> frame.to == rank).toList());
                Collections.shuffle(own, random);
                incoming.add(own);
            }
            List<CompletableFuture<Long>> done = new ArrayList<>();
            for (Transport transport : transports) {
                done.add(CompletableFuture.supplyAsync(() -> exchange(planes, transport, frames,
                        incoming.get(transport.rank())), threads));
            }
            together(done);
            long sent = frames.stream().mapToLong(frame -> frame.payload.byteSize()).sum();
            assertThat(transports.stream().mapToLong(Transport::sentBytes).sum()).isEqualTo(sent);
            assertThat(planes.all.stream().mapToLong(p -> p.counters().sentBytes()).sum())
                    .isEqualTo(sent);
            assertThat(planes.all.stream().mapToLong(p -> p.counters().receivedBytes()).sum())
                    .isEqualTo(sent);
            assertThat(planes.all).allMatch(plane -> plane.earlyBytes() == 0);
            assertThat(planes.all).allMatch(plane -> plane.counters().refused() == 0);
            assertThat(planes.suspected).isEmpty();
        } finally {
            threads.shutdownNow();
        }
    }

    private static long exchange(
            Planes planes, Transport transport, List<Frame> frames, List<Frame> incoming) {
        for (Frame frame : frames) {
            if (frame.from == transport.rank()) {
                transport.send(frame.to, frame.tag, frame.payload);
            }
        }
        for (Frame frame : incoming) {
            byte[] got = planes.received(
                    transport, frame.from, frame.tag, (int) frame.payload.byteSize());
            assertThat(MemorySegment.ofArray(got).mismatch(frame.payload)).isEqualTo(-1);
        }
        transport.drain();
        return transport.sentBytes();
    }

    /** What a rank holds after a reduction and a gather. */
    private static List<byte[]> reduced(
            Transport transport, ChunkGrid grid, Placement placement, Device device) {
        int elements = Math.toIntExact(grid.layout().elements());
        try (Arena arena = device.arena()) {
            HeldChunks held = new HeldChunks(grid, device.kernels(), device::arena);
            for (int chunk : placement.held(transport.rank())) {
                held.add(chunk);
            }
            GradientReducer reducer = new GradientReducer(
                    grid, placement, 5, transport, held, device.kernels(), arena);
            FlatViews[] folded = new FlatViews[reducer.cover().size()];
            for (int i = 0; i < folded.length; i++) {
                folded[i] = new FlatViews(grid, arena.allocate(DType.F32, elements));
                fill(folded[i].flat(), 100 * reducer.cover().get(i).first());
            }
            FlatViews weights = new FlatViews(grid, arena.allocate(DType.F32, elements));
            fill(weights.flat(), 7);
            for (int c = 0; c < grid.size(); c++) {
                if (!placement.holds(transport.rank(), c)) {
                    weights.chunk(c).segment().fill((byte) 0);
                }
            }
            List<byte[]> result = new ArrayList<>();
            for (int step = 0; step < 3; step++) {
                reducer.reduce(1, step, folded);
                new WeightGather(grid, placement, transport).gather(1, step, weights::chunk);
                transport.drain();
                for (int chunk : held.chunks()) {
                    result.add(held.finishedGradient(chunk).segment()
                            .toArray(ValueLayout.JAVA_BYTE));
                }
                result.add(weights.flat().segment().toArray(ValueLayout.JAVA_BYTE));
            }
            held.close();
            return result;
        }
    }

    private static void fill(Buffer buffer, int seed) {
        Random random = new Random(seed);
        MemorySegment segment = buffer.segment();
        for (long i = 0; i < segment.byteSize() / 4; i++) {
            segment.setAtIndex(ValueLayout.JAVA_FLOAT, i, (float) random.nextGaussian());
        }
    }

    @ParameterizedTest
    @CsvSource({"UNIX, 2", "UNIX, 4", "TCP, 3"})
    void reductionAndGatherGiveTheBytesOfTheTransportWithinAProcess(Way way, int ranks) {
        ChunkGrid grid = ChunkGrid.of(FlatLayout.of(TinyRun.shape(), 2));
        Placement placement = Placement.of(grid, 5, ranks);
        ExecutorService threads = Executors.newFixedThreadPool(ranks);
        try (Planes planes = Planes.open(ranks, way, folder);
                Device device = new ReferenceDevice()) {
            List<List<List<byte[]>>> both = new ArrayList<>();
            for (List<? extends Transport> transports : List.of(
                    List.of(LocalTransport.connect(ranks, TinyRun.DEADLINE)),
                    planes.join(Planes.FIRST, Planes.LONG))) {
                both.add(together(transports.stream().map(transport ->
                        CompletableFuture.supplyAsync(
                                () -> reduced(transport, grid, placement, device), threads))
                        .toList()));
            }
            for (int r = 0; r < ranks; r++) {
                assertThat(both.get(1).get(r)).hasSameSizeAs(both.get(0).get(r));
                for (int i = 0; i < both.get(0).get(r).size(); i++) {
                    assertThat(both.get(1).get(r).get(i)).as("rank %d, %d", r, i)
                            .isEqualTo(both.get(0).get(r).get(i));
                }
            }
        } finally {
            threads.shutdownNow();
        }
    }

    @ParameterizedTest
    @EnumSource(Way.class)
    void generationsFollowEachOther(Way way) {
        try (Planes planes = Planes.open(2, way, folder)) {
            for (int g = 1; g <= 20; g++) {
                castalia.protocol.identity.Fence fence =
                        new castalia.protocol.identity.Fence(1 + g / 5, g);
                List<Transport> ranks = planes.join(fence, Planes.LONG);
                ranks.get(0).send(1, Planes.tag(fence, g), planes.memory(1000, g));
                assertThat(planes.received(ranks.get(1), 0, Planes.tag(fence, g), 1000))
                        .isEqualTo(planes.memory(1000, g).toArray(ValueLayout.JAVA_BYTE));
                ranks.get(0).drain();
            }
            assertThat(planes.suspected).isEmpty();
            assertThat(planes.all.get(1).counters().refused()).isZero();
        }
    }

    @Test
    void aHeapDestinationIsFilledToo() {
        try (Planes planes = Planes.open(2, Way.TCP, folder)) {
            List<Transport> ranks = planes.join(Planes.FIRST, Planes.LONG);
            float[] into = new float[3];
            ranks.get(0).send(1, Planes.tag(Planes.FIRST, 1),
                    MemorySegment.ofArray(new byte[] {0, 0, -128, 63, 0, 0, 0, 64, 0, 0, 64, 64}));
            ranks.get(1).receive(0, Planes.tag(Planes.FIRST, 1), MemorySegment.ofArray(into));
            assertThat(into).containsExactly(1, 2, 3);
        }
    }

    @ParameterizedTest
    @CsvSource({"true", "false"})
    void aFrameOfAnotherSizeIsRefusedByTheReceiver(boolean early) {
        try (Planes planes = Planes.open(2, Way.TCP, folder)) {
            List<Transport> ranks = planes.join(Planes.FIRST, Planes.LONG);
            FrameTag tag = Planes.tag(Planes.FIRST, 3);
            if (early) {
                ranks.get(0).send(1, tag, planes.memory(10, 1));
                Planes.until(() -> planes.all.get(1).earlyBytes() > 0);
            }
            CompletableFuture<byte[]> wrong = CompletableFuture.supplyAsync(
                    () -> planes.received(ranks.get(1), 0, tag, 11), Threads.ALL);
            if (!early) {
                ranks.get(0).send(1, tag, planes.memory(10, 1));
            }
            assertThatThrownBy(wrong::join).cause().isInstanceOf(IllegalStateException.class)
                    .hasMessageContaining("10 bytes instead of 11")
                    .hasMessageContaining("chunk=3");
            ranks.get(0).send(1, Planes.tag(Planes.FIRST, 4), planes.memory(2, 1));
            assertThat(planes.received(ranks.get(1), 0, Planes.tag(Planes.FIRST, 4), 2)).hasSize(2);
        }
    }

    @Test
    void whatCannotBeSentIsRefusedAtOnce() {
        try (Planes planes = Planes.open(2, Way.TCP, folder)) {
            Transport rank = planes.join(Planes.FIRST, Planes.LONG).get(0);
            FrameTag tag = Planes.tag(Planes.FIRST, 1);
            MemorySegment some = planes.memory(8, 1);
            assertThatThrownBy(() -> rank.send(2, tag, some))
                    .isInstanceOf(IndexOutOfBoundsException.class);
            assertThatThrownBy(() -> rank.send(0, tag, some))
                    .isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> rank.send(1, Planes.tag(Planes.SECOND, 1), some))
                    .isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> rank.send(1, new FrameTag(Kind.STATE, 1, 1, 0, 0, 0), some))
                    .isInstanceOf(IllegalArgumentException.class);
            assertThatThrownBy(() -> rank.send(1, tag,
                    planes.arena.allocate(Planes.BOUNDS.frameBytes() + 1)))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("longest frame");
            assertThatThrownBy(() -> rank.send(1, tag, MemorySegment.ofArray(new float[1])))
                    .isInstanceOf(IllegalArgumentException.class);
            rank.drain();
            assertThat(rank.sentBytes()).isZero();
        }
    }
}
