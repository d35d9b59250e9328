package castalia.workers.exchange.socket;

import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.identity.Endpoint;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.workers.exchange.AbandonedException;
import castalia.workers.exchange.DataPlane;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.exchange.Transport;
import castalia.workers.exchange.socket.FramePool.Lease;
import castalia.workers.exchange.socket.Hello.Role;
import castalia.workers.exchange.socket.Outbound.Outgoing;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The data plane over TCP and, between workers of one node, Unix domain sockets. Blocking channels
 * and platform threads to peers: one per connection that writes, one that reads its answers. What
 * comes from members is read by a few loops, or by a thread where there is only one other.
 */
public final class SocketDataPlane implements DataPlane {

    /** Asked of the kernel for each direction of a connection. */
    static final int SOCKET_BUFFER = 1 << 20;

    /** Loops that read, where there are processors for them. */
    private static final int MOST_LOOPS = 4;

    private final SocketSettings settings;
    private final Tallies tallies = new Tallies();
    private final Mailbox mailbox;
    private final Inbox inbox;
    private final Shelf shelf = new Shelf();
    private final PlaneThreads threads;
    private final Links links = new Links();
    private final List<ReadLoop> loops = new ArrayList<>();
    private final AtomicInteger nextLoop = new AtomicInteger();
    private final Listener listener;
    private final Map<Incarnation, Outbound> toMembers = new HashMap<>();
    private final Map<Incarnation, Outbound> lanes = new HashMap<>();
    private final Map<Incarnation, Feed> feeds = new HashMap<>();
    private volatile Fence raised = Fence.NONE;
    private Fence told = Fence.NONE;
    private volatile @Nullable SocketTransport joined;
    private int ranks;
    private boolean closed;

    /** A connection to a learner and the bound of its queue. */
    private record Feed(Outbound connection, FramePool pool) {}

    private SocketDataPlane(SocketSettings settings) throws IOException {
        this.settings = settings;
        this.mailbox = new Mailbox(settings.bounds().earlyBytes());
        this.inbox = new Inbox(settings.bounds().feedBytes());
        this.threads = new PlaneThreads("data-" + settings.incarnation() + "-");
        int count = Math.clamp(Runtime.getRuntime().availableProcessors() / 2, 1, MOST_LOOPS);
        for (int i = 0; i < count; i++) {
            loops.add(new ReadLoop());
        }
        this.listener = new Listener(links, threads);
    }

    /**
     * Listens at a port the system chooses and, if there is a folder for it and its path is not too
     * long, at a Unix domain socket there.
     *
     * @throws CastaliaException if it cannot
     */
    public static SocketDataPlane open(SocketSettings settings) {
        try {
            SocketDataPlane plane = new SocketDataPlane(settings);
            for (ReadLoop loop : plane.loops) {
                plane.threads.start("read", loop);
            }
            plane.listener.start();
            return plane;
        } catch (IOException e) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "the data plane cannot listen at "
                    + settings.host() + settings.socketFolder().map(f -> " or in " + f).orElse("")
                    + ": " + e.getMessage(), e);
        }
    }

    /**
     * Removes the Unix domain socket that a process left when it was killed.
     *
     * @param folder where its socket lay
     * @param dead its life, which must be over
     */
    public static void removeSocket(String folder, Incarnation dead) throws IOException {
        SocketFile.removeIfThere(folder, dead);
    }

    @Override
    public Endpoint endpoint() {
        return listener.endpoint();
    }

    @Override
    public void raise(Fence fence) {
        SocketTransport old;
        List<Outbound> members;
        List<Feed> ended;
        synchronized (this) {
            if (!fence.newerThan(raised)) {
                return;
            }
            raised = fence;
            old = joined;
            joined = null;
            members = toAllMembers();
            ended = List.copyOf(feeds.values());
            feeds.clear();
        }
        // From here on nothing older is queued, so dropping finds all there is.
        mailbox.raise(fence);
        inbox.raise(fence);
        shelf.raise(fence);
        if (old != null) {
            old.abandon();
        }
        members.forEach(connection -> connection.dropOlder(fence));
        ended.forEach(feed -> {
            feed.connection.retire(SocketTransport.GRACE_NANOS);
            feed.pool.close();
        });
    }

    @Override
    public synchronized Transport join(
            Fence fence,
            List<Member> members,
            int rank,
            Supplier<Duration> patience,
            Suspicions suspicions) {
        if (closed || raised.newerThan(fence)) {
            throw new AbandonedException("generation " + fence + " is over");
        }
        if (!raised.equals(fence) || joined != null) {
            throw new IllegalStateException(
                    "cannot join " + fence + ": " + (joined == null ? "raised is " : "joined is ")
                            + raised);
        }
        if (!members.get(rank).incarnation().equals(settings.incarnation())) {
            throw new IllegalArgumentException(
                    "rank " + rank + " is " + members.get(rank) + ", not " + settings.incarnation());
        }
        Membership membership = new Membership(fence, members, rank, patience, suspicions);
        // A connection on which nothing moves any more looks like one that is idle: every generation
        // has its own, or the next would wait where the last one did.
        toMembers.values().forEach(connection -> connection.retire(SocketTransport.GRACE_NANOS));
        toMembers.clear();
        @Nullable Outbound[] peers = new Outbound[members.size()];
        for (int r = 0; r < peers.length; r++) {
            if (r != rank) {
                Outbound made =
                        new Outbound(links, members.get(r), Role.MEMBER, members.size());
                toMembers.put(members.get(r).incarnation(), made);
                peers[r] = made;
            }
        }
        lanes.values().forEach(connection -> connection.retire(SocketTransport.GRACE_NANOS));
        lanes.clear();
        SocketTransport transport = new SocketTransport(membership, peers, this::lane, links);
        joined = transport;
        ranks = members.size();
        toMembers.values().forEach(Outbound::want);
        return transport;
    }

    private List<Outbound> toAllMembers() {
        return Stream.concat(toMembers.values().stream(), lanes.values().stream()).toList();
    }

    /**
     * The connection for requests for weights and their answers, made when it is first needed.
     *
     * @return null if the generation is over
     */
    private synchronized @Nullable Outbound lane(Fence fence, Member to) {
        return closed || raised.newerThan(fence) ? null : lanes.computeIfAbsent(
                to.incarnation(), _ -> new Outbound(links, to, Role.FETCH, ranks));
    }

    @Override
    public boolean offer(Fence fence, Member to, FrameTag tag, MemorySegment... parts) {
        long length = 0;
        for (MemorySegment part : parts) {
            length += part.byteSize();
        }
        if (length > settings.bounds().frameBytes() || tag.generation() != fence.generation()
                || (tag.kind() != Kind.STATE && tag.kind() != Kind.UPDATE)) {
            throw new IllegalArgumentException(
                    tag + " of " + length + " bytes under " + fence + " for " + to.label());
        }
        Feed feed = feed(fence, to);
        Lease lease = feed.pool.take(length);
        if (lease == null) {
            return false;
        }
        long at = 0;
        for (MemorySegment part : parts) {
            MemorySegment.copy(part, 0, lease.segment(), at, part.byteSize());
            at += part.byteSize();
        }
        boolean queued = feed.connection.enqueue(
                new Outgoing(fence, tag, lease.segment(), lease::release));
        if (!queued) {
            lease.release();
        }
        return queued;
    }

    private synchronized Feed feed(Fence fence, Member to) {
        if (closed || raised.newerThan(fence)) {
            throw new AbandonedException("generation " + fence + " is over");
        }
        return feeds.computeIfAbsent(to.incarnation(), _ -> new Feed(
                new Outbound(links, to, Role.FEED, 0), new FramePool(settings.bounds().feedBytes())));
    }

    @Override
    public @Nullable Parcel poll(Duration wait) {
        return inbox.poll(wait);
    }

    @Override
    public Counters counters() {
        return tallies.counters();
    }

    /** Bytes of buffers that hold frames nobody has received yet. */
    long earlyBytes() {
        return mailbox.earlyBytes();
    }

    @Override
    public void close() {
        List<Outbound> members;
        List<Feed> ended;
        SocketTransport old;
        synchronized (this) {
            if (closed) {
                return;
            }
            closed = true;
            old = joined;
            joined = null;
            members = toAllMembers();
            ended = List.copyOf(feeds.values());
        }
        if (old != null) {
            old.abandon();
        }
        mailbox.close();
        inbox.close();
        listener.close();
        loops.forEach(ReadLoop::close);
        members.forEach(Outbound::close);
        ended.forEach(feed -> {
            feed.connection.close();
            feed.pool.close();
        });
        threads.close();
    }

    /** What connections may ask of the plane. */
    private final class Links implements Core {

        @Override
        public SocketSettings settings() {
            return settings;
        }

        @Override
        public Fence raised() {
            return raised;
        }

        @Override
        public Tallies tallies() {
            return tallies;
        }

        @Override
        public Mailbox mailbox() {
            return mailbox;
        }

        @Override
        public Inbox inbox() {
            return inbox;
        }

        @Override
        public Shelf shelf() {
            return shelf;
        }

        @Override
        public ReadLoop loop() {
            return loops.get(Math.floorMod(nextLoop.getAndIncrement(), loops.size()));
        }

        @Override
        public void start(String name, Runnable body) {
            threads.start(name, body);
        }

        @Override
        public Future<?> later(long nanos, Runnable task) {
            return threads.later(nanos, task);
        }

        @Override
        public void answered(Fence newest) {
            synchronized (SocketDataPlane.this) {
                if (!newest.newerThan(raised) || !newest.newerThan(told)) {
                    return;
                }
                told = newest;
            }
            settings.onStale().accept(newest);
        }

        @Override
        public void broken(Outbound connection, String why) {
            SocketTransport transport = joined;
            if (transport != null) {
                transport.gone(connection.peer().incarnation(), why);
            }
        }

        @Override
        public void greeted(Inbound connection) {
            listener.greeted(connection);
        }

        @Override
        public void ended(
                Inbound connection,
                @Nullable Incarnation from,
                Fence last,
                boolean damaged,
                String why) {
            listener.ended(connection);
            SocketTransport transport = joined;
            if (transport != null && from != null && (damaged || last.equals(transport.fence()))) {
                transport.gone(from, why);
            }
        }
    }
}
