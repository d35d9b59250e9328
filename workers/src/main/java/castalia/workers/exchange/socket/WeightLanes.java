package castalia.workers.exchange.socket;

import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.exchange.socket.Hello.Role;
import castalia.workers.exchange.socket.Outbound.Outgoing;
import java.lang.foreign.MemorySegment;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * What a generation's transport serves and fetches. Requests and answers have connections of their
 * own, which nobody ever stops reading: a request has no payload, and an answer is read straight into
 * the memory that waits for it.
 *
 * <p>Nothing is read from served memory that changes or is freed: {@link #withdraw} and {@link
 * #retract} end all new answers, and {@link #awaitAnswered} waits for those under way. A generation
 * that ends by a newer fence ends answers at once in {@link Shelf#raise}; those under way are written
 * within a grace or cut off, before the transport is closed and its rank goes on to another version.
 */
final class WeightLanes {

    private static final MemorySegment NOTHING = MemorySegment.ofArray(new byte[0]);

    private final SocketTransport transport;
    private final Source source;
    private final Shelf shelf;
    private final Receipts answers;
    private final ReentrantLock lock = new ReentrantLock();
    private final @Nullable Outbound[] lanes;
    private boolean over;

    /** Gives connections for requests and answers. */
    @FunctionalInterface
    interface Source {

        /** The connection to a member, made when first asked for; null if the fence is old. */
        @Nullable Outbound lane(Fence fence, Member to);
    }

    WeightLanes(SocketTransport transport, Source source, Core core) {
        this.transport = transport;
        this.source = source;
        this.shelf = core.shelf();
        this.answers = new Receipts(transport.ranks());
        this.lanes = new Outbound[transport.ranks()];
    }

    /** See {@link SocketTransport#serve}; answers are given by threads of the plane. */
    void serve(long version, @Nullable MemorySegment[] chunks) {
        transport.requireLive();
        shelf.publish(new Served(version, chunks));
    }

    /** See {@link SocketTransport#withdraw}. */
    void withdraw() {
        retract();
        for (int r = 0; r < lanes.length; r++) {
            int to = r;
            transport.await(() -> to, () -> "receipt of weights", this::movedAt,
                    nanos -> answers.await(to, nanos));
        }
    }

    private long movedAt(int to, long begun) {
        lock.lock();
        try {
            Outbound lane = lanes[to];
            return lane == null ? begun : lane.movedAt(begun);
        } finally {
            lock.unlock();
        }
    }

    /** Begins no answer any more. */
    void retract() {
        shelf.retract(transport.fence());
    }

    /** What this rank serves. */
    private final class Served implements Shelf.Offer {

        private final long version;
        private final @Nullable MemorySegment[] chunks;

        private Served(long version, @Nullable MemorySegment[] chunks) {
            this.version = version;
            this.chunks = chunks;
        }

        @Override
        public Fence fence() {
            return transport.fence();
        }

        @Override
        public long version() {
            return version;
        }

        @Override
        public boolean answer(Incarnation who, FrameTag request, Runnable done) {
            int to = transport.rankOf(who);
            MemorySegment payload =
                    request.chunk() < chunks.length ? chunks[request.chunk()] : null;
            if (to < 0 || to == transport.rank() || payload == null) {
                return false;
            }
            Outbound lane = lane(to); // may fail: nothing has begun then
            answers.begin(to);
            Runnable written = () -> {
                answers.end(to);
                done.run();
            };
            if (lane != null && lane.enqueue(new Outgoing(
                    fence(), WeightLanes.answer(request), payload, written))) {
                transport.sent(payload);
            } else {
                written.run();
            }
            return true;
        }
    }

    /** Names the answer to a request. */
    static FrameTag answer(FrameTag request) {
        return new FrameTag(Kind.FETCHED, request.generation(), request.step(), request.attempt(),
                request.chunk(), request.part());
    }

    private @Nullable Outbound lane(int to) {
        lock.lock();
        try {
            Outbound lane = lanes[to];
            if (lane == null && !over) {
                lane = source.lane(transport.fence(), transport.member(to));
                if (lane != null) {
                    lanes[to] = lane;
                }
            }
            return lane;
        } finally {
            lock.unlock();
        }
    }

    /** See {@link SocketTransport#fetch}. */
    void fetch(int from, FrameTag tag, MemorySegment into) {
        transport.requirePeer(from, tag, Role.FETCH);
        if (tag.kind() != Kind.FETCH || !into.isNative()) {
            throw new IllegalArgumentException(tag + " into " + into);
        }
        transport.requireLive();
        Outbound lane = lane(from);
        if (lane == null) {
            throw transport.abandoned();
        }
        transport.expect(from, answer(tag), into, Role.FETCH);
        // A request that is not accepted is for a peer that is gone, and suspected already.
        boolean _ = lane.enqueue(new Outgoing(transport.fence(), tag, NOTHING, () -> {}));
    }

    /** Ends every wait. */
    void abandon() {
        lock.lock();
        try {
            over = true;
        } finally {
            lock.unlock();
        }
        answers.abandon();
    }

    /** Ends connections on which an answer is being written. */
    void cut() {
        List<Outbound> used;
        lock.lock();
        try {
            used = Arrays.stream(lanes).filter(Objects::nonNull).toList();
        } finally {
            lock.unlock();
        }
        used.forEach(lane -> lane.cut(transport.fence()));
    }

    /** Waits until no answer reads what was served; false if that takes longer. */
    boolean awaitAnswered(long nanos) {
        return answers.awaitAll(nanos);
    }
}
