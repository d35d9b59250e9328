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
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicIntegerArray;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.LongSupplier;
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
    private final Supplier<Duration> patience;
    private final Suspicions suspicions;
    private final long deadlineNanos;
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
        this.fence = membership.fence;
        this.members = membership.members;
        this.rank = membership.rank;
        this.patience = membership.patience;
        this.suspicions = membership.suspicions;
        this.peers = peers;
        this.mailbox = core.mailbox();
        this.expected = new Expectations(mailbox);
        this.weights = new WeightLanes(this, lanes, core);
        this.deadlineNanos = core.settings().deadlines().peer().toNanos();
        this.mostBytes = core.settings().bounds().frameBytes();
        this.receipts = new Receipts(members.size());
        this.gone = new AtomicIntegerArray(members.size());
    }

    /** Who is in a generation, and whom to tell of silence. */
    record Membership(
            Fence fence,
            List<Member> members,
            int rank,
            Supplier<Duration> patience,
            Suspicions suspicions) {

        Membership {
            members = List.copyOf(members);
            Objects.checkIndex(rank, members.size());
            if (members.stream().map(Member::incarnation).distinct().count() < members.size()) {
                throw new IllegalArgumentException("a member twice in " + members);
            }
        }
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
        receive(last(from, tag, role), from, into, false, (offset, bytes) -> {
            if (bytes.address() != into.address() + offset) {
                into.asSlice(offset, bytes.byteSize()).copyFrom(bytes);
            }
        });
    }

    @Override
    public void receive(int from, FrameTag tag, MemorySegment room, Pieces pieces) {
        receive(last(from, tag, Role.MEMBER), from, room, true, pieces);
    }

    @Override
    public void begin(int from, FrameTag tag, MemorySegment room, Pieces pieces) {
        requireLive();
        expected.begin(new Delivery(last(from, tag, Role.MEMBER), room, pieces));
    }

    private void receive(
            PieceKey last, int from, MemorySegment room, boolean lastResort, Pieces pieces) {
        requireLive();
        Delivery delivery = expected.begun(last);
        if (delivery == null) {
            delivery = new Delivery(last, room, pieces);
            expected.begin(delivery);
        }
        try {
            expected.add(last, room, lastResort);
            while (!delivery.receive(mailbox)) {
                await(delivery, from);
            }
        } finally {
            expected.end(delivery);
            expected.remove(last);
            waitedNanos -= delivery.readerNanos();
        }
        delivery.requireNoFailure();
    }

    private void await(Delivery delivery, int from) {
        long begun = System.nanoTime();
        FrameTag tag = delivery.last().tag();
        waitFor(from, () -> tag.kind() + " of chunk " + tag.chunk() + ", step " + tag.step(),
                () -> mailbox.movedAt(members.get(from).incarnation(), begun),
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
        waitFor(to, () -> "receipt of frames", () -> to == rank ? begun : peer(to).movedAt(begun),
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

    /** Waits for at most some nanoseconds and says whether the wait is over. */
    @FunctionalInterface
    interface Waiting {
        boolean await(long nanos) throws InterruptedException;
    }

    /**
     * Waits. What counts is silence: a long payload may take longer than the deadline in all.
     *
     * @param movedAt when anything last came from the peer, or went to it; the beginning of the wait or
     *     later
     */
    void waitFor(int peer, Supplier<String> what, LongSupplier movedAt, Waiting waiting) {
        long heard = movedAt.getAsLong(); // when the peer moved, or was suspected
        while (true) {
            long moved = movedAt.getAsLong();
            heard = moved - heard > 0 ? moved : heard;
            long now = System.nanoTime();
            long patient = patience.get().toNanos();
            boolean done;
            try {
                done = waiting.await(Math.max(0, Math.min(
                        moved + deadlineNanos - now, heard + patient - now)));
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw lost(peer, "interrupted while waiting for " + what.get(), e);
            }
            requireLive();
            if (done) {
                return;
            }
            now = System.nanoTime();
            if (movedAt.getAsLong() != moved) {
                continue;
            }
            if (now - moved >= deadlineNanos) {
                throw lost(peer, what.get() + " did not come in time", null);
            }
            if (now - heard >= patient) {
                suspicions.suspect(members.get(peer), false, what.get());
                heard = System.nanoTime();
            }
        }
    }

    private PeerLostException lost(int peer, String what, @Nullable Throwable cause) {
        forget();
        return new PeerLostException(peer,
                "rank " + peer + " (" + members.get(peer).label() + "): " + what, cause);
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
