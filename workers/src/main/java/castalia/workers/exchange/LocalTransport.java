package castalia.workers.exchange;

import java.lang.foreign.MemorySegment;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/**
 * The transport between ranks of one process: the receiver copies straight from the sender's
 * memory.
 */
public final class LocalTransport implements Transport {

    private final Hub hub;
    private final int rank;
    private long sentBytes;
    private long waitedNanos;

    private LocalTransport(Hub hub, int rank) {
        this.hub = hub;
        this.rank = rank;
    }

    /**
     * Connects {@code ranks} ranks.
     *
     * @param deadline longest wait for a peer
     * @return one transport per rank
     */
    public static LocalTransport[] connect(int ranks, Duration deadline) {
        Hub hub = new Hub(ranks, deadline.toNanos());
        LocalTransport[] all = new LocalTransport[ranks];
        for (int r = 0; r < ranks; r++) {
            all[r] = new LocalTransport(hub, r);
        }
        return all;
    }

    @Override
    public int rank() {
        return rank;
    }

    @Override
    public int ranks() {
        return hub.ranks;
    }

    @Override
    public void send(int to, FrameTag tag, MemorySegment payload) {
        Objects.checkIndex(to, hub.ranks);
        sentBytes += payload.byteSize();
        hub.post(new Address(rank, to, tag), payload);
    }

    @Override
    public void receive(int from, FrameTag tag, MemorySegment into) {
        receive(List.of(new Source(from, tag)), new MemorySegment[] {into},
                (_, payload) -> into.copyFrom(payload[0]));
    }

    /** Gives the senders' own memory, as one piece. */
    @Override
    public void receive(List<Source> sources, MemorySegment[] rooms, Parts parts) {
        MemorySegment[] payloads = new MemorySegment[rooms.length];
        int taken = 0;
        try {
            long begun = System.nanoTime();
            for (; taken < payloads.length; taken++) {
                payloads[taken] = hub.await(address(sources.get(taken)));
            }
            waitedNanos += System.nanoTime() - begun;
            for (int i = 0; i < payloads.length; i++) {
                if (payloads[i].byteSize() != rooms[i].byteSize()) {
                    throw new IllegalStateException(sources.get(i).tag() + " from rank "
                            + sources.get(i).from() + " has " + payloads[i].byteSize()
                            + " bytes instead of " + rooms[i].byteSize());
                }
            }
            parts.piece(0, payloads);
        } finally {
            for (int i = 0; i < taken; i++) {
                hub.consumed(address(sources.get(i)));
            }
        }
    }

    private Address address(Source source) {
        return new Address(Objects.checkIndex(source.from(), hub.ranks), rank, source.tag());
    }

    @Override
    public void drain() {
        long begun = System.nanoTime();
        for (int to = 0; to < hub.ranks; to++) {
            hub.drain(rank, to);
        }
        waitedNanos += System.nanoTime() - begun;
    }

    @Override
    public void drain(int to) {
        long begun = System.nanoTime();
        hub.drain(rank, to);
        waitedNanos += System.nanoTime() - begun;
    }

    @Override
    public long waitedNanos() {
        return waitedNanos;
    }

    @Override
    public void serve(long version, @Nullable MemorySegment[] chunks) {
        hub.serve(rank, new Served(version, chunks));
    }

    @Override
    public void withdraw() {
        long begun = System.nanoTime();
        hub.withdraw(rank);
        waitedNanos += System.nanoTime() - begun;
    }

    /** Nothing is copied before {@link #fetched}. */
    @Override
    public void fetch(int from, FrameTag tag, MemorySegment into) {
        Objects.checkIndex(from, hub.ranks);
    }

    @Override
    public void fetched(int from, FrameTag tag, MemorySegment into) {
        long begun = System.nanoTime();
        MemorySegment served = hub.borrow(from, tag);
        waitedNanos += System.nanoTime() - begun;
        try {
            if (served.byteSize() != into.byteSize()) {
                throw new IllegalStateException(tag + " from rank " + from + " has "
                        + served.byteSize() + " bytes instead of " + into.byteSize());
            }
            into.copyFrom(served);
        } finally {
            hub.giveBack(from);
        }
    }

    @Override
    public long sentBytes() {
        return sentBytes;
    }

    /**
     * Tells every rank that this one failed, so that nobody waits for it until the deadline. From
     * now on nothing is sent; a frame that was sent before can still be received.
     */
    public void fail(Throwable cause) {
        hub.fail(rank, cause);
    }

    /**
     * Nobody needs to be told: frames not yet received stay valid until the sender drains. Of what is
     * served nothing is copied any more.
     */
    @Override
    public void close() {
        hub.withdraw(rank);
    }

    private record Address(int from, int to, FrameTag tag) {}

    /** What a rank serves. */
    @SuppressWarnings("ArrayRecordComponent") // one segment per chunk; never compared
    private record Served(long version, @Nullable MemorySegment[] chunks) {}

    /** The frames under way, guarded by the hub's monitor; at most what the senders hold. */
    private static final class Hub {

        private final int ranks;
        private final long deadlineNanos;
        private final Map<Address, MemorySegment> frames = new HashMap<>();
        private final int[][] outstanding;
        private final @Nullable Served[] served;
        private final int[] borrowers;
        private int failed = -1;
        private @Nullable Throwable cause;

        Hub(int ranks, long deadlineNanos) {
            this.ranks = ranks;
            this.deadlineNanos = deadlineNanos;
            this.outstanding = new int[ranks][ranks];
            this.served = new Served[ranks];
            this.borrowers = new int[ranks];
        }

        synchronized void post(Address address, MemorySegment payload) {
            requireNoFailure(address.tag.toString());
            if (frames.putIfAbsent(address, payload) != null) {
                throw new IllegalStateException("frame sent twice: " + address);
            }
            outstanding[address.from][address.to]++;
            notifyAll();
        }

        synchronized MemorySegment await(Address address) {
            long end = System.nanoTime() + deadlineNanos;
            while (true) {
                MemorySegment payload = frames.get(address);
                if (payload != null) {
                    return payload;
                }
                pause(end, address.from, address.tag.toString());
            }
        }

        synchronized void consumed(Address address) {
            frames.remove(address);
            outstanding[address.from][address.to]--;
            notifyAll();
        }

        synchronized void drain(int rank, int to) {
            long end = System.nanoTime() + deadlineNanos;
            while (outstanding[rank][to] > 0) {
                pause(end, to, "the receipt of frames of rank " + rank);
            }
        }

        synchronized void serve(int rank, Served weights) {
            served[rank] = weights;
            notifyAll();
        }

        @SuppressWarnings("NullAway") // an element that is null stands for a rank that serves nothing
        synchronized void withdraw(int rank) {
            served[rank] = null;
            boolean interrupted = false;
            while (borrowers[rank] > 0) { // each copies a chunk, and then gives it back
                try {
                    wait();
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }

        /** What a rank serves, which stays as it is until {@link #giveBack}. */
        synchronized MemorySegment borrow(int from, FrameTag tag) {
            long end = System.nanoTime() + deadlineNanos;
            while (true) {
                Served weights = served[from];
                if (weights != null && weights.version >= tag.step()) {
                    MemorySegment chunk = weights.chunks[tag.chunk()];
                    if (chunk == null || weights.version > tag.step()) {
                        throw new IllegalStateException("rank " + from + " does not serve " + tag);
                    }
                    borrowers[from]++;
                    return chunk;
                }
                pause(end, from, tag.toString());
            }
        }

        synchronized void giveBack(int from) {
            borrowers[from]--;
            notifyAll();
        }

        synchronized void fail(int rank, Throwable why) {
            if (failed < 0) {
                failed = rank;
                cause = why;
            }
            notifyAll();
        }

        private void requireNoFailure(String what) {
            if (failed >= 0) {
                throw new PeerLostException(failed,
                        "rank " + failed + " failed; others were at " + what, cause);
            }
        }

        @SuppressWarnings("WaitNotInLoop") // every caller loops
        private void pause(long end, int peer, String what) {
            requireNoFailure(what);
            long left = end - System.nanoTime();
            if (left <= 0) {
                throw new PeerLostException(
                        peer, "rank " + peer + " did not deliver " + what + " in time", null);
            }
            try {
                wait(left / 1_000_000 + 1);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw new PeerLostException(peer, "interrupted while waiting for " + what, e);
            }
        }
    }
}
