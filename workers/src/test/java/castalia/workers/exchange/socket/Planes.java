package castalia.workers.exchange.socket;

import castalia.protocol.identity.Endpoint;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.workers.exchange.DataPlane.Suspicions;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.exchange.Transport;
import castalia.workers.exchange.socket.SocketSettings.Bounds;
import castalia.workers.exchange.socket.SocketSettings.Deadlines;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.UnaryOperator;

/** Planes of one test, as if each were a process. */
final class Planes implements AutoCloseable {

    static final String RUN = "0123456789abcdef".repeat(4);
    static final Fence FIRST = new Fence(1, 1);
    static final Fence SECOND = new Fence(1, 2);
    static final Duration LONG = Duration.ofMinutes(1);
    static final Bounds BOUNDS = new Bounds(1 << 22, 1L << 26, 1L << 23, 64);
    /** A machine that stands still for seconds reaches none of them. */
    static final Deadlines DEADLINES =
            new Deadlines(Duration.ofMinutes(1), Duration.ofSeconds(10), Duration.ofMinutes(1));
    private static final AtomicLong LIVES = new AtomicLong(0xCA57A11AL << 24);

    final Arena arena = Arena.ofShared();
    final List<SocketDataPlane> all = new ArrayList<>();
    final List<Member> members = new ArrayList<>();
    final BlockingQueue<Suspected> suspected = new LinkedBlockingQueue<>();
    final BlockingQueue<Fence> stale = new LinkedBlockingQueue<>();

    /** A suspicion and who has it. */
    record Suspected(int by, Member about, boolean broken, String what) {}

    /** How planes reach each other. */
    enum Way { TCP, UNIX }

    static Planes open(int count, Way way, Path folder) {
        return open(count, way == Way.TCP ? s -> s : s -> s.withSocketFolder(folder.toString()));
    }

    static Planes open(int count, UnaryOperator<SocketSettings> change) {
        Planes planes = new Planes();
        for (int i = 0; i < count; i++) {
            planes.add(change);
        }
        return planes;
    }

    SocketDataPlane add(UnaryOperator<SocketSettings> change) {
        Incarnation life = new Incarnation(LIVES.incrementAndGet());
        SocketDataPlane plane = SocketDataPlane.open(change.apply(
                SocketSettings.of(RUN, life, "node", stale::add)
                        .withBounds(BOUNDS).withDeadlines(DEADLINES)));
        all.add(plane);
        members.add(member(life, all.size() - 1, plane.endpoint()));
        return plane;
    }

    static Member member(Incarnation life, int index, Endpoint endpoint) {
        return new Member(life, "w" + index, "node", 1, endpoint);
    }

    /** Raises the fence everywhere, then joins everywhere. */
    List<Transport> join(Fence fence, Duration patience) {
        all.forEach(plane -> plane.raise(fence));
        List<Transport> transports = new ArrayList<>();
        for (int r = 0; r < all.size(); r++) {
            transports.add(join(r, fence, patience));
        }
        return transports;
    }

    Transport join(int rank, Fence fence, Duration patience) {
        all.get(rank).raise(fence);
        Suspicions told = (about, broken, what) ->
                suspected.add(new Suspected(rank, about, broken, what));
        return all.get(rank).join(fence, members, rank, () -> patience, told);
    }

    Suspected nextSuspicion() throws InterruptedException {
        Suspected next = suspected.poll(30, TimeUnit.SECONDS);
        if (next == null) {
            throw new AssertionError("nobody was suspected");
        }
        return next;
    }

    static FrameTag tag(Fence fence, int chunk) {
        return new FrameTag(Kind.WEIGHTS, fence.generation(), 5, 0, chunk, 0);
    }

    MemorySegment memory(long bytes, int seed) {
        MemorySegment segment = arena.allocate(Math.max(bytes, 1), 64).asSlice(0, bytes);
        for (long i = 0; i < bytes; i++) {
            segment.set(ValueLayout.JAVA_BYTE, i, (byte) (seed + 31 * i + (i >> 8)));
        }
        return segment;
    }

    byte[] received(Transport transport, int from, FrameTag tag, int size) {
        MemorySegment into = arena.allocate(Math.max(size, 1)).asSlice(0, size);
        transport.receive(from, tag, into);
        return into.toArray(ValueLayout.JAVA_BYTE);
    }

    /** Waits for something that other threads bring about. */
    static void until(java.util.function.BooleanSupplier holds) {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(30);
        while (!holds.getAsBoolean()) {
            if (System.nanoTime() - end > 0) {
                throw new AssertionError("did not happen");
            }
            Thread.onSpinWait();
            Thread.yield();
        }
    }

    /** Threads of a plane that are alive. */
    static List<String> threadsOf(Member member) {
        return Thread.getAllStackTraces().keySet().stream().map(Thread::getName)
                .filter(name -> name.startsWith("data-" + member.incarnation())).sorted().toList();
    }

    @Override
    public void close() {
        all.forEach(SocketDataPlane::close);
        members.forEach(member -> until(() -> threadsOf(member).isEmpty()));
        arena.close(); // would fail while a thread still reads or writes
    }
}
