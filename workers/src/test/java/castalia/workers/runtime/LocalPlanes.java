package castalia.workers.runtime;

import castalia.protocol.identity.Endpoint;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.workers.exchange.AbandonedException;
import castalia.workers.exchange.DataPlane;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.Transport;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Queue;
import java.util.Set;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** Data planes of one process: frames are copied into the receiver's, as sockets would. */
final class LocalPlanes {

    private record Address(Fence fence, Incarnation from, FrameTag tag) {}

    private record Frame(Fence fence, Incarnation from, FrameTag tag, byte[] bytes)
            implements DataPlane.Parcel {

        @Override
        public MemorySegment payload() {
            return MemorySegment.ofArray(bytes);
        }

        @Override
        public void close() {}
    }

    private record Served(Fence fence, long version, @Nullable MemorySegment[] chunks) {}

    private final Map<Incarnation, Plane> planes = new HashMap<>();
    private final Map<Incarnation, Integer> refusing = new HashMap<>();

    /** A worker's plane. */
    synchronized Plane plane(Incarnation of) {
        return planes.computeIfAbsent(of, Plane::new);
    }

    /** From now on a worker's queue has room for so many offers only. */
    synchronized void room(Incarnation of, int offers) {
        refusing.put(of, offers);
    }

    /** One worker's side. */
    final class Plane implements DataPlane {

        private final Incarnation self;
        private final Map<Address, byte[]> arrived = new HashMap<>();
        private final Queue<Frame> parcels = new ArrayDeque<>();
        private final Set<Incarnation> broken = new HashSet<>();
        private Fence newest = Fence.NONE;
        private @Nullable Served served;
        private boolean closed;
        private long sent;
        private long received;
        private long stale;

        Plane(Incarnation self) {
            this.self = self;
        }

        @Override
        public Endpoint endpoint() {
            return new Endpoint("127.0.0.1", 1, java.util.Optional.empty());
        }

        @Override
        public void raise(Fence fence) {
            synchronized (LocalPlanes.this) {
                newest = fence;
                arrived.keySet().removeIf(address -> fence.newerThan(address.fence));
                parcels.removeIf(frame -> fence.newerThan(frame.fence));
                LocalPlanes.this.notifyAll();
            }
        }

        @Override
        public Transport join(
                Fence fence, List<Member> members, int rank, Supplier<Duration> patience,
                Suspicions suspicions) {
            return new Link(fence, members, rank, patience, suspicions);
        }

        @Override
        public boolean offer(Fence fence, Member to, FrameTag tag, MemorySegment... parts) {
            synchronized (LocalPlanes.this) {
                Plane other = planes.get(to.incarnation());
                int room = refusing.getOrDefault(to.incarnation(), Integer.MAX_VALUE);
                if (other == null || room == 0) {
                    return false;
                }
                refusing.put(to.incarnation(), room - 1);
                int size = 0;
                for (MemorySegment part : parts) {
                    size += (int) part.byteSize();
                }
                MemorySegment whole = MemorySegment.ofArray(new byte[size]);
                long at = 0;
                for (MemorySegment part : parts) {
                    MemorySegment.copy(part, 0, whole, at, part.byteSize());
                    at += part.byteSize();
                }
                if (other.newest.newerThan(fence)) {
                    other.stale++;
                } else {
                    other.parcels.add(new Frame(fence, self, tag,
                            whole.toArray(ValueLayout.JAVA_BYTE)));
                }
                LocalPlanes.this.notifyAll();
                return true;
            }
        }

        @Override
        public @Nullable Parcel poll(Duration wait) {
            synchronized (LocalPlanes.this) {
                return parcels.poll();
            }
        }

        @Override
        public Counters counters() {
            synchronized (LocalPlanes.this) {
                return new Counters(sent, received, stale, 0);
            }
        }

        @Override
        public void close() {
            synchronized (LocalPlanes.this) {
                closed = true;
                planes.remove(self);
                planes.values().forEach(other -> other.broken.add(self));
                LocalPlanes.this.notifyAll();
            }
        }
    }

    private final class Link implements Transport {

        private final Plane plane;
        private final Fence fence;
        private final List<Member> members;
        private final int rank;
        private final Supplier<Duration> patience;
        private final DataPlane.Suspicions suspicions;
        private long sent;

        Link(Fence fence, List<Member> members, int rank, Supplier<Duration> patience,
                DataPlane.Suspicions suspicions) {
            this.plane = planes.get(members.get(rank).incarnation());
            this.fence = fence;
            this.members = members;
            this.rank = rank;
            this.patience = patience;
            this.suspicions = suspicions;
        }

        @Override
        public int rank() {
            return rank;
        }

        @Override
        public int ranks() {
            return members.size();
        }

        private void requireCurrent() {
            if (plane.closed || plane.newest.newerThan(fence)) {
                throw new AbandonedException("generation " + fence + " is over");
            }
        }

        @Override
        public void send(int to, FrameTag tag, MemorySegment payload) {
            synchronized (LocalPlanes.this) {
                requireCurrent();
                sent += payload.byteSize();
                plane.sent += payload.byteSize();
                Plane other = planes.get(members.get(to).incarnation());
                if (other != null && other.newest.newerThan(fence)) {
                    other.stale++;
                } else if (other != null) {
                    other.received += payload.byteSize();
                    byte[] before = other.arrived.put(new Address(fence, plane.self, tag),
                            payload.toArray(ValueLayout.JAVA_BYTE));
                    if (before != null) {
                        throw new IllegalStateException("frame sent twice: " + tag);
                    }
                }
                LocalPlanes.this.notifyAll();
            }
        }

        @Override
        public void receive(int from, FrameTag tag, MemorySegment into) {
            Member of = members.get(from);
            synchronized (LocalPlanes.this) {
                long suspicious = System.nanoTime() + patience.get().toNanos();
                boolean told = false;
                while (true) {
                    requireCurrent();
                    byte[] bytes = plane.arrived.remove(
                            new Address(fence, of.incarnation(), tag));
                    if (bytes != null) {
                        if (bytes.length != into.byteSize()) {
                            throw new IllegalStateException(tag + " has " + bytes.length);
                        }
                        into.copyFrom(MemorySegment.ofArray(bytes));
                        return;
                    }
                    boolean gone = plane.broken.contains(of.incarnation());
                    if (!told && (gone || System.nanoTime() > suspicious)) {
                        told = true;
                        suspicions.suspect(of, gone, tag.toString());
                    }
                    try {
                        LocalPlanes.this.wait(50);
                    } catch (InterruptedException e) {
                        throw new AbandonedException("interrupted");
                    }
                }
            }
        }

        @Override
        public void serve(long version, @Nullable MemorySegment[] chunks) {
            synchronized (LocalPlanes.this) {
                requireCurrent();
                plane.served = new Served(fence, version, chunks);
                LocalPlanes.this.notifyAll();
            }
        }

        @Override
        public void withdraw() {
            synchronized (LocalPlanes.this) {
                plane.served = null;
                requireCurrent();
            }
        }

        @Override
        public void fetch(int from, FrameTag tag, MemorySegment into) {
            synchronized (LocalPlanes.this) {
                requireCurrent();
            }
        }

        @Override
        public void fetched(int from, FrameTag tag, MemorySegment into) {
            Member of = members.get(from);
            long suspicious = System.nanoTime() + patience.get().toNanos();
            boolean told = false;
            synchronized (LocalPlanes.this) {
                while (true) {
                    requireCurrent();
                    Plane other = planes.get(of.incarnation());
                    Served served = other == null ? null : other.served;
                    if (served != null && served.fence.equals(fence)
                            && served.version == tag.step()) {
                        into.copyFrom(Objects.requireNonNull(served.chunks[tag.chunk()]));
                        plane.received += into.byteSize();
                        return;
                    }
                    boolean gone = plane.broken.contains(of.incarnation());
                    if (!told && (gone || System.nanoTime() > suspicious)) {
                        told = true;
                        suspicions.suspect(of, gone, tag.toString());
                    }
                    try {
                        LocalPlanes.this.wait(50);
                    } catch (InterruptedException e) {
                        throw new AbandonedException("interrupted");
                    }
                }
            }
        }

        @Override
        public void drain() {
            synchronized (LocalPlanes.this) {
                requireCurrent();
            }
        }

        @Override
        public void drain(int to) {
            drain();
        }

        @Override
        public long waitedNanos() {
            return 0;
        }

        @Override
        public long sentBytes() {
            return sent;
        }

        @Override
        public void close() {
            synchronized (LocalPlanes.this) {
                plane.served = null;
            }
        }
    }
}
