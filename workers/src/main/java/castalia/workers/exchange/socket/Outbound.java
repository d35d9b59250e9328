package castalia.workers.exchange.socket;

import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Member;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.socket.Hello.Role;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.net.InetSocketAddress;
import java.net.SocketAddress;
import java.net.StandardSocketOptions;
import java.nio.ByteBuffer;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.SocketChannel;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * Frames to one peer: a queue, and a thread that writes them and reads the peer's answers.
 *
 * <p>A connection that ends under the fence it was opened or last used under means a peer that is
 * gone: the queue is dropped and {@link Core#broken} is told, once, and this object is done. One
 * that ends under a newer fence was cut because an older generation was abandoned, here or there;
 * it is opened anew.
 */
final class Outbound {

    private static final long RETRY_NANOS = TimeUnit.MILLISECONDS.toNanos(20);

    private final Core core;
    private final Member peer;
    private final Role role;
    private final int ranks;
    private final FrameWriter writer;
    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    private final Deque<Outgoing> queue = new ArrayDeque<>();
    private final List<Outgoing> current = new ArrayList<>();
    private @Nullable PeerChannel channel;
    private @Nullable SocketChannel connecting;
    private Fence usedUnder = Fence.NONE;
    private boolean wanted;
    private boolean opened;
    private boolean cut;
    private boolean retired;
    private boolean closed;

    /**
     * A frame to be written.
     *
     * @param done run once, when the payload is written or given up: it may change then
     */
    record Outgoing(Fence fence, FrameTag tag, MemorySegment payload, Runnable done) {}

    /**
     * A connection, made when it is needed.
     *
     * @param ranks of the generation; 0 to a learner
     */
    Outbound(Core core, Member peer, Role role, int ranks) {
        this.core = core;
        this.peer = peer;
        this.role = role;
        this.ranks = ranks;
        this.writer = new FrameWriter(core);
        core.start("to-" + peer.name(), this::run);
    }

    Member peer() {
        return peer;
    }

    /** When it last wrote something, or {@code begun} if that is later. */
    long movedAt(long begun) {
        long last = writer.movedAt();
        return last - begun > 0 ? last : begun;
    }

    /** Asks for a connection although there is nothing to write yet. */
    void want() {
        lock.lock();
        try {
            wanted = true;
            wake();
        } finally {
            lock.unlock();
        }
    }

    /** Appends a frame. If it is refused, {@code done} is not run. */
    boolean enqueue(Outgoing frame) {
        lock.lock();
        try {
            if (closed || retired || core.raised().newerThan(frame.fence)) {
                return false;
            }
            queue.add(frame);
            wake();
            return true;
        } finally {
            lock.unlock();
        }
    }

    private void wake() {
        changed.signalAll();
        PeerChannel open = channel;
        if (open != null) {
            open.wake();
        }
    }

    /** Gives up queued frames that are older than {@code fence}; one being written is finished. */
    void dropOlder(Fence fence) {
        List<Outgoing> dropped = new ArrayList<>();
        lock.lock();
        try {
            wanted = false;
            queue.removeIf(frame -> fence.newerThan(frame.fence) && dropped.add(frame));
        } finally {
            lock.unlock();
        }
        dropped.forEach(frame -> frame.done.run());
    }

    /** Gives up all frames of a fence and, if one of them is being written, ends the connection. */
    void cut(Fence fence) {
        List<Outgoing> dropped = new ArrayList<>();
        lock.lock();
        try {
            queue.removeIf(frame -> frame.fence.equals(fence) && dropped.add(frame));
            PeerChannel open = channel;
            if (!current.isEmpty() && current.getFirst().fence.equals(fence) && open != null) {
                cut = true;
                wanted = false;
                open.end();
            }
        } finally {
            lock.unlock();
        }
        dropped.forEach(frame -> frame.done.run());
    }

    /** Drops the queue and ends once the frame being written is, at the latest after a while. */
    void retire(long graceNanos) {
        lock.lock();
        try {
            retired = true;
            wake();
        } finally {
            lock.unlock();
        }
        var _ = core.later(graceNanos, this::close);
    }

    /** Ends the connection and gives up every frame. */
    void close() {
        lock.lock();
        try {
            closed = true;
            Bytes.closeQuietly(connecting);
            PeerChannel open = channel;
            if (open != null) {
                open.end();
            }
            changed.signalAll();
        } finally {
            lock.unlock();
        }
    }

    private void run() {
        try {
            while (hasWork()) {
                PeerChannel open = connected();
                if (open != null && open.look()) { // first: it may have ended under an older fence
                    writeNext(open);
                }
            }
        } catch (IOException | RuntimeException e) {
            brokeDown(Bytes.said(e));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        } finally {
            finish();
        }
    }

    private boolean hasWork() throws InterruptedException, IOException {
        while (true) {
            PeerChannel open;
            lock.lock();
            try {
                if (closed || retired) {
                    return false;
                }
                if (channel != null && !channel.isOpen()) {
                    requireOutdated("connection ended");
                }
                open = channel;
                if (!queue.isEmpty() || (wanted && open == null)) {
                    return true;
                }
                if (open == null) {
                    changed.await();
                    continue;
                }
            } finally {
                lock.unlock();
            }
            open.await();
        }
    }

    /** Forgets a connection that ended, if its fence is over. */
    private void requireOutdated(String why) throws IOException {
        boolean outdated = cut || (role != Role.FEED && core.raised().newerThan(usedUnder));
        Bytes.closeQuietly(channel);
        channel = null;
        cut = false;
        if (!outdated) {
            throw new IOException(why);
        }
    }

    private @Nullable PeerChannel connected() throws IOException, InterruptedException {
        PeerChannel open = channel; // set by this thread only
        if (open != null) {
            return open;
        }
        long limit = core.settings().deadlines().connect().toNanos();
        long end = System.nanoTime() + limit;
        boolean again = true;
        while (true) {
            try {
                return connect(end - System.nanoTime());
            } catch (IOException e) {
                lock.lock();
                try {
                    if (closed || retired) {
                        return null;
                    }
                    if (again && e instanceof ClosedChannelException) { // its time was up
                        again = false; // perhaps because this process stood still
                        end = System.nanoTime() + limit;
                    } else if (opened || end - System.nanoTime() <= RETRY_NANOS) {
                        throw new IOException("no connection: " + Bytes.said(e), e);
                    }
                    changed.awaitNanos(RETRY_NANOS);
                } finally {
                    lock.unlock();
                }
            }
        }
    }

    private PeerChannel connect(long nanos) throws IOException {
        SocketSettings settings = core.settings();
        SocketAddress address = settings.address(peer);
        SocketChannel made = PeerChannel.unconnected(address);
        Future<?> late = core.later(nanos, () -> Bytes.closeQuietly(made));
        PeerChannel ready = null;
        try {
            begin(made);
            made.setOption(StandardSocketOptions.SO_SNDBUF, SocketDataPlane.SOCKET_BUFFER);
            made.connect(address);
            if (address instanceof InetSocketAddress) {
                made.setOption(StandardSocketOptions.TCP_NODELAY, true);
            }
            writer.write(made, new Hello(
                    role, settings.run(), settings.incarnation(), peer.incarnation(),
                    Math.min(ranks, Short.MAX_VALUE)));
            late.cancel(false);
            ready = new PeerChannel(made, this::answered);
            adopt(ready);
            return ready;
        } finally {
            late.cancel(false);
            if (ready == null) {
                Bytes.closeQuietly(made);
            }
        }
    }

    private void begin(SocketChannel made) throws IOException {
        lock.lock();
        try {
            if (closed || retired) {
                throw new IOException("closed");
            }
            connecting = made;
            usedUnder = core.raised();
        } finally {
            lock.unlock();
        }
    }

    private void adopt(PeerChannel made) throws IOException {
        lock.lock();
        try {
            connecting = null;
            if (closed || retired) {
                Bytes.closeQuietly(made);
                throw new IOException("closed");
            }
            channel = made;
            opened = true;
        } finally {
            lock.unlock();
        }
    }

    /** Writes the oldest frame, and with it others that are small: one call for all of them. */
    private void writeNext(PeerChannel open) throws IOException {
        lock.lock();
        try {
            long bytes = 0;
            for (Outgoing next = queue.peek();
                    next != null && (current.isEmpty() || (next.fence.equals(usedUnder)
                            && FrameWriter.together(
                                    current.size(), bytes + next.payload.byteSize())));
                    next = queue.peek()) {
                bytes += next.payload.byteSize();
                usedUnder = next.fence;
                current.add(queue.remove());
            }
        } finally {
            lock.unlock();
        }
        List<Outgoing> frames = List.copyOf(current);
        try {
            writer.write(open, frames);
        } catch (IOException e) {
            lock.lock();
            try {
                requireOutdated(Bytes.said(e));
            } finally {
                lock.unlock();
            }
        } finally {
            lock.lock();
            try {
                current.clear();
            } finally {
                lock.unlock();
            }
            frames.forEach(frame -> frame.done.run());
        }
    }

    private void answered(ByteBuffer answer) throws IOException {
        if (!(FrameHeader.decode(answer, 0) instanceof FrameHeader.Stale stale)
                || !stale.sender().equals(peer.incarnation())) {
            throw new RefusedException("unexpected answer of " + peer.name());
        }
        core.answered(stale.fence());
    }

    private void brokeDown(String why) {
        boolean unexpected;
        lock.lock();
        try {
            unexpected = !closed && !retired;
            closed = true;
        } finally {
            lock.unlock();
        }
        if (unexpected) {
            core.broken(this, why);
        }
    }

    private void finish() {
        List<Outgoing> dropped;
        lock.lock();
        try {
            closed = true;
            Bytes.closeQuietly(channel);
            dropped = List.copyOf(queue);
            queue.clear();
        } finally {
            lock.unlock();
        }
        dropped.forEach(frame -> frame.done.run());
    }
}
