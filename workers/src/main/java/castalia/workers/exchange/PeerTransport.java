package castalia.workers.exchange;

import castalia.kernels.Device;
import castalia.kernels.PeerMemory;
import castalia.workers.exchange.FrameTag.Kind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * A transport between processes of one machine whose devices read each other's memory: of a payload
 * there only a note travels, which says where it lies, and the receiver's device reads it. Everything
 * else goes as by {@link StagedTransport}. Results do not depend on it.
 *
 * <p>The receiver answers a note when it has read the payload; until then {@link #drain} waits. Where
 * a generation ends in between, the sender's sign ({@link PeerMeeting}) goes before its memory
 * changes, and whoever read meanwhile finds it gone and throws {@link AbandonedException}: nothing
 * that was half overwritten is ever taken for a payload, and no rank waits for one that is gone.
 */
public final class PeerTransport implements Transport {

    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED;
    private static final long NUMBER_AT = PeerMemory.PLACE_BYTES;
    private static final long NOTE_BYTES = NUMBER_AT + Long.BYTES;

    private final Transport direct;
    private final Transport staged;
    private final Device device;
    private final PeerMemory memory;
    private final PeerMeeting meeting;
    private final PeerMeeting.@Nullable Met[] peers;
    private final long generation;
    private final boolean allReached;
    private final int chunks;
    private final Arena host = Arena.ofShared();
    private final MemorySegment nothing = host.allocate(1).asSlice(1);
    private final Deque<MemorySegment> free = new ArrayDeque<>();
    private final List<Deque<MemorySegment>> outstanding = new ArrayList<>();
    private final Map<Source, MemorySegment> fetching = new HashMap<>();
    private final List<MemorySegment> served = new ArrayList<>();
    private long number;
    private long placedBytes;
    private long noteBytes;

    private PeerTransport(Transport direct, Device device, PeerMemory memory,
            PeerMeeting meeting, long generation, int chunks) {
        this.direct = direct;
        this.staged = StagedTransport.of(direct, device);
        this.device = device;
        this.memory = memory;
        this.meeting = meeting;
        this.peers = meeting.peers();
        this.generation = generation;
        this.chunks = chunks;
        boolean all = true;
        for (int r = 0; r < peers.length; r++) {
            outstanding.add(new ArrayDeque<>());
            all &= r == direct.rank() || peers[r] != null;
        }
        this.allReached = all;
    }

    /**
     * The transport that fits a device: the one given where the host reaches its memory; this where
     * other ranks' devices reach it, to be called on all ranks then; else one through host memory.
     *
     * @param chunks of the grid
     */
    public static Transport of(Transport direct, Device device, long generation, int chunks) {
        if (device.inHostMemory() || !direct.betweenProcesses() || direct.ranks() == 1) {
            return StagedTransport.of(direct, device);
        }
        PeerMeeting meeting = PeerMeeting.hold(direct, device, generation);
        Optional<PeerMemory> memory = device.peerMemory();
        for (PeerMeeting.Met peer : meeting.peers()) {
            if (peer != null && memory.isPresent()) {
                return new PeerTransport(
                        direct, device, memory.get(), meeting, generation, chunks);
            }
        }
        meeting.close();
        return StagedTransport.of(direct, device);
    }

    private boolean read(int peer, MemorySegment payload) {
        return peers[peer] != null && payload.byteSize() > 0 && device.owns(payload);
    }

    private MemorySegment take() {
        MemorySegment note = free.poll();
        return note != null ? note : host.allocate(NOTE_BYTES, Long.BYTES);
    }

    private FrameTag taken(long which) {
        return new FrameTag(Kind.TAKEN, generation, which, 0, 0, 0);
    }

    /** What may end a generation; payloads may change after its exceptions. */
    private interface Exchange {
        void run();
    }

    private void guarded(Exchange exchange) {
        try {
            exchange.run();
        } catch (AbandonedException | PeerLostException e) {
            meeting.leave();
            throw e;
        }
    }

    @Override
    public int rank() {
        return direct.rank();
    }

    @Override
    public int ranks() {
        return direct.ranks();
    }

    @Override
    public boolean betweenProcesses() {
        return true;
    }

    @Override
    public void send(int to, FrameTag tag, MemorySegment payload) {
        guarded(() -> {
            if (!read(to, payload)) {
                staged.send(to, tag, payload);
                return;
            }
            MemorySegment note = take();
            memory.place(note, payload);
            note.set(LONG, NUMBER_AT, number++);
            outstanding.get(to).add(note);
            direct.send(to, tag, note);
            placedBytes += payload.byteSize();
            noteBytes += NOTE_BYTES;
        });
    }

    @Override
    public void receive(int from, FrameTag tag, MemorySegment into) {
        guarded(() -> {
            if (read(from, into)) {
                read(List.of(new Source(from, tag)), new MemorySegment[] {into},
                        (_, bytes) -> memory.copy(into, bytes[0]));
            } else {
                staged.receive(from, tag, into);
            }
        });
    }

    @Override
    public void receive(List<Source> sources, MemorySegment[] rooms, Parts parts) {
        guarded(() -> read(sources, rooms, parts));
    }

    /** What lies in a peer's memory is read there, what does not comes into its room. */
    private void read(List<Source> sources, MemorySegment[] rooms, Parts parts) {
        MemorySegment[] bytes = rooms.clone();
        @Nullable MemorySegment[] notes = new MemorySegment[rooms.length];
        try {
            for (int i = 0; i < rooms.length; i++) {
                Source source = sources.get(i);
                if (read(source.from(), rooms[i])) {
                    MemorySegment note = take();
                    notes[i] = note;
                    direct.receive(source.from(), source.tag(), note);
                    bytes[i] = opened(source.from(), note, source.tag(), rooms[i].byteSize());
                } else {
                    staged.receive(source.from(), source.tag(), rooms[i]);
                }
            }
            parts.piece(0, bytes);
            for (int i = 0; i < rooms.length; i++) {
                MemorySegment note = notes[i];
                if (note != null) {
                    int from = sources.get(i).from();
                    requireSign(from);
                    direct.send(from, taken(note.get(LONG, NUMBER_AT)), nothing);
                }
            }
        } finally {
            for (MemorySegment note : notes) {
                if (note != null) {
                    free.push(note);
                }
            }
        }
    }

    private PeerMeeting.Met met(int peer) {
        PeerMeeting.Met met = peers[peer];
        if (met == null) {
            throw new IllegalStateException("the memory of rank " + peer + " is not open");
        }
        return met;
    }

    private MemorySegment opened(int from, MemorySegment note, FrameTag tag, long bytes) {
        MemorySegment there = met(from).memory().open(note);
        if (there == null) {
            throw new PeerLostException(from,
                    "the device memory of rank " + from + " cannot be opened any more", null);
        }
        if (there.byteSize() != bytes) {
            throw new IllegalStateException(tag + " from rank " + from + " has "
                    + there.byteSize() + " bytes instead of " + bytes);
        }
        return there;
    }

    /** Waits until what a peer gave was read, and makes sure that it was what it gave. */
    private void requireSign(int from) {
        if (!meeting.holds(met(from))) {
            throw new AbandonedException(
                    "rank " + from + " left generation " + generation + " while it was read");
        }
    }

    @Override
    public void expect(int from, FrameTag tag, MemorySegment into) {
        if (!read(from, into)) {
            guarded(() -> staged.expect(from, tag, into));
        }
    }

    @Override
    public void forget() {
        staged.forget();
    }

    @Override
    public void drain(int to) {
        guarded(() -> {
            staged.drain(to);
            Deque<MemorySegment> notes = outstanding.get(to);
            while (!notes.isEmpty()) {
                direct.receive(to, taken(notes.element().get(LONG, NUMBER_AT)), nothing);
                free.push(notes.remove());
            }
        });
    }

    @Override
    public void drain() {
        for (int to = 0; to < peers.length; to++) {
            if (to != rank()) {
                drain(to);
            }
        }
    }

    @Override
    public long waitedNanos() {
        return direct.waitedNanos();
    }

    /**
     * Payloads for ranks apart are served by the numbers of their chunks, notes for the others behind
     * them. Who has fetched has read, and votes after it: so nobody reads what is withdrawn.
     */
    @Override
    public void serve(long version, @Nullable MemorySegment[] weights) {
        @Nullable MemorySegment[] all = new MemorySegment[2 * chunks];
        for (int c = 0; c < chunks; c++) {
            MemorySegment chunk = weights[c];
            if (chunk != null && device.owns(chunk)) {
                MemorySegment note = take();
                memory.place(note, chunk);
                served.add(note);
                all[chunks + c] = note;
                all[c] = allReached ? null : chunk;
            } else {
                all[c] = chunk;
            }
        }
        guarded(() -> staged.serve(version, all));
    }

    @Override
    public void withdraw() {
        guarded(staged::withdraw);
        served.forEach(free::push);
        served.clear();
    }

    private FrameTag noteOf(FrameTag fetch) {
        return new FrameTag(fetch.kind(), fetch.generation(), fetch.step(), fetch.attempt(),
                chunks + fetch.chunk(), fetch.part());
    }

    @Override
    public void fetch(int from, FrameTag tag, MemorySegment into) {
        guarded(() -> {
            if (!read(from, into)) {
                staged.fetch(from, tag, into);
                return;
            }
            MemorySegment note = take();
            fetching.put(new Source(from, tag), note);
            direct.fetch(from, noteOf(tag), note);
        });
    }

    @Override
    public void fetched(int from, FrameTag tag, MemorySegment into) {
        guarded(() -> {
            MemorySegment note = fetching.remove(new Source(from, tag));
            if (note == null) {
                staged.fetched(from, tag, into);
                return;
            }
            direct.fetched(from, noteOf(tag), note);
            memory.copy(into, opened(from, note, tag, into.byteSize()));
            requireSign(from);
            free.push(note);
        });
    }

    /** Payloads, wherever they lie; of what is served for others to read, nothing is counted. */
    @Override
    public long sentBytes() {
        return direct.sentBytes() - noteBytes + placedBytes;
    }

    @Override
    public void close() {
        if (!host.scope().isAlive()) {
            return;
        }
        try {
            meeting.leave();
        } finally {
            try {
                staged.close(); // and with it the direct one: no note is read any more
            } finally {
                try {
                    meeting.close();
                } finally {
                    host.close();
                }
            }
        }
    }
}
