package castalia.workers.exchange.socket;

import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.workers.exchange.AbandonedException;
import castalia.workers.exchange.DataPlane.Suspicions;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.exchange.PeerLostException;
import castalia.workers.exchange.Transport;
import castalia.workers.exchange.socket.Outbound.Outgoing;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
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
    private final Mailbox mailbox;
    private final Supplier<Duration> patience;
    private final Suspicions suspicions;
    private final long deadlineNanos;
    private final int mostBytes;
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private final int[] outstanding;
    private final boolean[] gone;
    private volatile boolean over;
    private final AtomicLong sentBytes = new AtomicLong();

    /** @param peers connections to the members by rank; that of {@code rank} is not used */
    SocketTransport(
            Membership membership,
            @Nullable Outbound[] peers,
            Mailbox mailbox,
            SocketSettings settings) {
        this.fence = membership.fence;
        this.members = membership.members;
        this.rank = membership.rank;
        this.patience = membership.patience;
        this.suspicions = membership.suspicions;
        this.peers = peers;
        this.mailbox = mailbox;
        this.deadlineNanos = settings.deadlines().peer().toNanos();
        this.mostBytes = settings.bounds().frameBytes();
        this.outstanding = new int[members.size()];
        this.gone = new boolean[members.size()];
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

    @Override
    public int rank() {
        return rank;
    }

    @Override
    public int ranks() {
        return members.size();
    }

    @Override
    public void send(int to, FrameTag tag, MemorySegment payload) {
        requirePeer(to, tag);
        if (payload.byteSize() > mostBytes) {
            throw new IllegalArgumentException(tag + " has " + payload.byteSize()
                    + " bytes; the longest frame has " + mostBytes);
        }
        if (!payload.isNative() && !(payload.heapBase().orElse(null) instanceof byte[])) {
            throw new IllegalArgumentException(tag + " is neither native memory nor bytes");
        }
        requireLive();
        lock.lock();
        try {
            outstanding[to]++;
        } finally {
            lock.unlock();
        }
        if (peer(to).enqueue(new Outgoing(fence, tag, payload, () -> finished(to)))) {
            sentBytes.addAndGet(payload.byteSize());
        } else {
            finished(to);
        }
    }

    private Outbound peer(int to) {
        return Objects.requireNonNull(peers[to], "no connection to rank " + to);
    }

    private void requirePeer(int peer, FrameTag tag) {
        Objects.checkIndex(peer, members.size());
        if (peer == rank || tag.generation() != fence.generation() || tag.kind() == Kind.STATE
                || tag.kind() == Kind.UPDATE) {
            throw new IllegalArgumentException(
                    tag + " between ranks " + rank + " and " + peer + " of " + fence);
        }
    }

    private void finished(int to) {
        lock.lock();
        try {
            outstanding[to]--;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    @Override
    public void receive(int from, FrameTag tag, MemorySegment into) {
        requirePeer(from, tag);
        requireLive();
        Mailbox.Key key = new Mailbox.Key(
                members.get(from).incarnation(), fence.term(), tag);
        mailbox.expect(key, into);
        try {
            waitFor(from, () -> tag.kind() + " of chunk " + tag.chunk() + ", step " + tag.step(),
                    nanos -> mailbox.await(key, nanos));
            if (!mailbox.take(key, into)) {
                throw abandoned();
            }
        } finally {
            mailbox.withdraw(key, GRACE_NANOS);
        }
    }

    @Override
    public void drain() {
        requireLive();
        for (int r = 0; r < outstanding.length; r++) {
            int to = r;
            waitFor(to, () -> "receipt of frames", nanos -> awaitReceipt(to, nanos));
        }
    }

    private boolean awaitReceipt(int to, long nanos) throws InterruptedException {
        long left = nanos;
        lock.lockInterruptibly();
        try {
            while (outstanding[to] > 0 && !over) {
                if (left <= 0) {
                    return false;
                }
                left = changed.awaitNanos(left);
            }
            return true;
        } finally {
            lock.unlock();
        }
    }

    /** Waits for at most some nanoseconds and says whether the wait is over. */
    @FunctionalInterface
    private interface Waiting {
        boolean await(long nanos) throws InterruptedException;
    }

    private void waitFor(int peer, Supplier<String> what, Waiting waiting) {
        long end = System.nanoTime() + deadlineNanos;
        long suspectAt = System.nanoTime() + patience.get().toNanos();
        while (true) {
            long now = System.nanoTime();
            boolean done;
            try {
                done = waiting.await(Math.max(0, Math.min(end - now, suspectAt - now)));
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw lost(peer, "interrupted while waiting for " + what.get(), e);
            }
            requireLive();
            if (done) {
                return;
            }
            now = System.nanoTime();
            if (end - now <= 0) {
                throw lost(peer, what.get() + " did not come in time", null);
            }
            if (suspectAt - now <= 0) {
                suspicions.suspect(members.get(peer), false, what.get());
                suspectAt = System.nanoTime() + patience.get().toNanos();
            }
        }
    }

    private PeerLostException lost(int peer, String what, @Nullable Throwable cause) {
        return new PeerLostException(peer,
                "rank " + peer + " (" + members.get(peer).label() + "): " + what, cause);
    }

    private void requireLive() {
        if (over || mailbox.over(fence)) {
            throw abandoned();
        }
    }

    private AbandonedException abandoned() {
        abandon();
        letGo();
        return new AbandonedException("generation " + fence + " is over");
    }

    /** Ends every wait. */
    void abandon() {
        lock.lock();
        try {
            over = true;
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    /** Waits until no payload is read any more. */
    private void letGo() {
        if (awaitLetGo(GRACE_NANOS)) {
            return;
        }
        for (int r = 0; r < peers.length; r++) {
            if (r != rank) {
                peer(r).cut(fence);
            }
        }
        if (!awaitLetGo(LET_GO_NANOS)) {
            throw new IllegalStateException("frames of generation " + fence + " do not end");
        }
    }

    private boolean awaitLetGo(long nanos) {
        boolean interrupted = false;
        long end = System.nanoTime() + nanos;
        lock.lock();
        try {
            while (outstandingAny()) {
                long left = end - System.nanoTime();
                if (left <= 0) {
                    return false;
                }
                try {
                    changed.awaitNanos(left);
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
            return true;
        } finally {
            lock.unlock();
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    private boolean outstandingAny() {
        for (int n : outstanding) {
            if (n > 0) {
                return true;
            }
        }
        return false;
    }

    /** A member's connection ended; told once. */
    void gone(Incarnation who, String why) {
        int peer = 0;
        while (peer < members.size() && !members.get(peer).incarnation().equals(who)) {
            peer++;
        }
        if (peer == members.size() || peer == rank) {
            return;
        }
        lock.lock();
        try {
            if (over || gone[peer]) {
                return;
            }
            gone[peer] = true;
        } finally {
            lock.unlock();
        }
        suspicions.suspect(members.get(peer), true, why);
    }

    @Override
    public long sentBytes() {
        return sentBytes.get();
    }

    @Override
    public void close() {
        abandon();
        letGo();
    }
}
