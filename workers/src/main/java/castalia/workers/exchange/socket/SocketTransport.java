package castalia.workers.exchange.socket;

import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.workers.exchange.AbandonedException;
import castalia.workers.exchange.DataPlane.Suspicions;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.PeerLostException;
import castalia.workers.exchange.Transport;
import castalia.workers.exchange.socket.Hello.Role;
import castalia.workers.exchange.socket.Outbound.Outgoing;
import java.lang.foreign.MemorySegment;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.IntSupplier;
import java.util.function.IntUnaryOperator;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * A generation's transport on a {@link SocketDataPlane}.
 *
 * <p>Memory is safe after an end, whatever way a generation ends: no method throws
 * {@link AbandonedException} or {@link PeerLostException} for a receive, and {@link #close} does not
 * return, while the plane still reads a payload that was sent or writes to a destination. A frame
 * under way has a quarter of a second to be finished, then its connection is ended. So nobody can
 * get a frame whose payload changed while it was written: it is either whole, as it was when its
 * checksum was computed, or cut off.
 */
final class SocketTransport implements Transport {

    /** Time for a frame under way when its generation ends. */
    static final long GRACE_NANOS = TimeUnit.MILLISECONDS.toNanos(250);

    private static final long LET_GO_NANOS = TimeUnit.SECONDS.toNanos(30);

    private final Fence fence;
    private final List<Member> members;
    private final int rank;
    private final @Nullable Outbound[] peers;
    private final WeightLanes weights;
    private final Mailbox mailbox;
    private final Patience patience;
    private final Suspicions suspicions;
    private final int mostBytes;
    private final Receipts receipts;
    private final AtomicIntegerArray gone;
    private final Expectations expected;
    private long waitedNanos;
    private volatile boolean over;
    private final AtomicLong sentBytes = new AtomicLong();

    /**
     * A transport.
     *
     * @param peers connections to the members by rank; that of {@code rank} is not used
     * @param lanes gives those for requests for weights
     */
    SocketTransport(
            Membership membership,
            @Nullable Outbound[] peers,
            WeightLanes.Source lanes,
            Core core) {
        this.fence = membership.fence();
        this.members = membership.members();
        this.rank = membership.rank();
        this.suspicions = membership.suspicions();
        this.peers = peers;
        this.mailbox = core.mailbox();
        this.expected = new Expectations(mailbox);
        this.weights = new WeightLanes(this, lanes, core);
        this.patience = new Patience(membership, core.settings().deadlines().peer().toNanos(),
                this::requireLive, this::forget);
        this.mostBytes = core.settings().bounds().frameBytes();
        this.receipts = new Receipts(members.size());
        this.gone = new AtomicIntegerArray(members.size());
    }

    Fence fence() {
        return fence;
    }

    Member member(int of) {
        return members.get(of);
    }

    @Override
    public int rank() {
        return rank;
    }

    @Override
    public int ranks() {
        return members.size();
    }

    @Override
    public boolean betweenProcesses() {
        return true;
    }

    @Override
    public void send(int to, FrameTag tag, MemorySegment payload) {
        requirePeer(to, tag, Role.MEMBER);
        if (payload.byteSize() > mostBytes) {
            throw new IllegalArgumentException(tag + " has " + payload.byteSize()
                    + " bytes; the longest frame has " + mostBytes);
        }
        if (!payload.isNative() && !(payload.heapBase().orElse(null) instanceof byte[])) {
            throw new IllegalArgumentException(tag + " is neither native memory nor bytes");
        }
        requireLive();
        receipts.begin(to);
        if (peer(to).enqueue(new Outgoing(fence, tag, payload, () -> receipts.end(to)))) {
            sent(payload);
        } else {
            receipts.end(to);
        }
    }

    private Outbound peer(int to) {
        return Objects.requireNonNull(peers[to], "no connection to rank " + to);
    }

    void sent(MemorySegment payload) {
        sentBytes.addAndGet(payload.byteSize());
    }

    void requirePeer(int peer, FrameTag tag, Role role) {
        Objects.checkIndex(peer, members.size());
        if (peer == rank || tag.generation() != fence.generation()
                || Role.of(tag.kind()) != role) {
            throw new IllegalArgumentException(
                    tag + " between ranks " + rank + " and " + peer + " of " + fence);
        }
    }

    @Override
    public void expect(int from, FrameTag tag, MemorySegment into) {
        expect(from, tag, into, Role.MEMBER);
    }

    void expect(int from, FrameTag tag, MemorySegment into, Role role) {
        PieceKey last = last(from, tag, role);
        requireLive();
        expected.add(last, into, false);
    }

    /** Names the last piece of a payload. */
    private PieceKey last(int from, FrameTag tag, Role role) {
        requirePeer(from, tag, role);
        return new PieceKey(members.get(from).incarnation(), fence.term(), tag, 0);
    }

    @Override
    public void forget() {
        expected.clear();
    }

    @Override
    public void receive(int from, FrameTag tag, MemorySegment into) {
        receive(from, tag, into, Role.MEMBER);
    }

    void receive(int from, FrameTag tag, MemorySegment into, Role role) {
        MemorySegment[] rooms = {into};
        receive(List.of(last(from, tag, role)), _ -> from, rooms, false, (offset, bytes) -> {
            if (bytes[0].address() != into.address() + offset) {
                into.asSlice(offset, bytes[0].byteSize()).copyFrom(bytes[0]);
            }
        });
    }

    @Override
    public void receive(List<Source> sources, MemorySegment[] rooms, Parts parts) {
        receive(last(sources), i -> sources.get(i).from(), rooms, true, parts);
    }

    @Override
    public void begin(List<Source> sources, long bytes, Parts parts) {
        requireLive();
        expected.begin(new Delivery(last(sources), bytes, parts));
    }

    private List<PieceKey> last(List<Source> sources) {
        return sources.stream().map(each -> last(each.from(), each.tag(), Role.MEMBER)).toList();
    }

    private void receive(List<PieceKey> last, IntUnaryOperator from, MemorySegment[] rooms,
            boolean lastResort, Parts parts) {
        requireLive();
        Delivery delivery = expected.begun(last);
        if (delivery == null) {
            delivery = new Delivery(last, rooms[0].byteSize(), parts);
            expected.begin(delivery);
        }
        try {
            for (int i = 0; i < rooms.length; i++) {
                expected.add(last.get(i), rooms[i], lastResort);
            }
            while (!delivery.receive(mailbox)) {
                await(delivery, from);
            }
        } finally {
            expected.end(delivery);
            last.forEach(expected::remove);
            waitedNanos -= delivery.readerNanos();
        }
        delivery.requireNoFailure();
    }

    private void await(Delivery delivery, IntUnaryOperator from) {
        long begun = System.nanoTime();
        FrameTag tag = delivery.last().getFirst().tag();
        await(() -> from.applyAsInt(mailbox.missing(delivery)),
                () -> tag.kind() + " of chunk " + tag.chunk() + ", step " + tag.step(),
                (peer, since) -> mailbox.movedAt(members.get(peer).incarnation(), since),
                nanos -> mailbox.await(delivery, nanos));
        waitedNanos += System.nanoTime() - begun;
    }

    @Override
    public void drain() {
        for (int to = 0; to < peers.length; to++) {
            drain(to);
        }
    }

    @Override
    public void drain(int to) {
        long begun = System.nanoTime();
        requireLive();
        await(() -> to, () -> "receipt of frames",
                (_, since) -> to == rank ? since : peer(to).movedAt(since),
                nanos -> receipts.await(to, nanos));
        waitedNanos += System.nanoTime() - begun;
    }

    @Override
    public void serve(long version, @Nullable MemorySegment[] chunks) {
        weights.serve(version, chunks);
    }

    @Override
    public void withdraw() {
        long begun = System.nanoTime();
        weights.withdraw();
        waitedNanos += System.nanoTime() - begun;
    }

    @Override
    public void fetch(int from, FrameTag tag, MemorySegment into) {
        weights.fetch(from, tag, into);
    }

    @Override
    public void fetched(int from, FrameTag tag, MemorySegment into) {
        receive(from, WeightLanes.answer(tag), into, Role.FETCH);
    }

    @Override
    public long waitedNanos() {
        return waitedNanos;
    }

    /** See {@link Patience#await}. */
    void await(IntSupplier whom, Supplier<String> what, Patience.Moved movedAt, Patience.Waiting waiting) {
        patience.await(whom, what, movedAt, waiting);
    }

    void requireLive() {
        if (over || mailbox.over(fence)) {
            throw abandoned();
        }
    }

    AbandonedException abandoned() {
        abandon();
        letGo();
        return new AbandonedException("generation " + fence + " is over");
    }

    /** Ends every wait. */
    void abandon() {
        over = true;
        receipts.abandon();
        weights.abandon();
    }

    /** Waits until no payload is read and no destination written any more. */
    private void letGo() {
        forget();
        if (receipts.awaitAll(GRACE_NANOS) && weights.awaitAnswered(GRACE_NANOS)) {
            return;
        }
        for (int r = 0; r < peers.length; r++) {
            if (r != rank) {
                peer(r).cut(fence);
            }
        }
        weights.cut();
        if (!receipts.awaitAll(LET_GO_NANOS) || !weights.awaitAnswered(LET_GO_NANOS)) {
            throw new IllegalStateException("frames of generation " + fence + " do not end");
        }
    }

    /** A member's connection ended; told once. */
    void gone(Incarnation who, String why) {
        int peer = rankOf(who);
        if (peer < 0 || peer == rank) {
            return;
        }
        if (over || !gone.compareAndSet(peer, 0, 1)) {
            return;
        }
        suspicions.suspect(members.get(peer), true, why);
    }

    /** The rank of a process, or -1. */
    int rankOf(Incarnation who) {
        for (int r = 0; r < members.size(); r++) {
            if (members.get(r).incarnation().equals(who)) {
                return r;
            }
        }
        return -1;
    }

    @Override
    public long sentBytes() {
        return sentBytes.get();
    }

    @Override
    public void close() {
        weights.retract();
        abandon();
        letGo();
    }
}
