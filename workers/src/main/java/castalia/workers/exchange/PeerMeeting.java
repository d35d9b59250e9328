package castalia.workers.exchange;

import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.kernels.PeerMemory;
import castalia.workers.exchange.FrameTag.Kind;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * How ranks find out, at a generation's begin, whose devices reach each other's memory: each tells
 * all others where its sign lies, tries to read theirs, and tells which it read.
 *
 * <p>A rank's sign is a random number in its device's memory that stands there as long as what the
 * rank sent in this generation is as it was. It is taken away first and the memory changed after; who
 * reads the memory first and then the sign, and finds it, has read what was sent.
 */
final class PeerMeeting implements AutoCloseable {

    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED;
    private static final int HASH_BYTES = 32;
    private static final long NUMBER_AT = PeerMemory.PLACE_BYTES;
    private static final long HASH_AT = NUMBER_AT + Long.BYTES;
    private static final long GREETING_BYTES = HASH_AT + HASH_BYTES;
    private static final SecureRandom RANDOM = new SecureRandom();

    private final Device device;
    private final Arena arena;
    private final Buffer sign;
    private final MemorySegment seen = MemorySegment.ofArray(new byte[Long.BYTES]);
    private final @Nullable Met[] peers;
    private boolean stands;

    /**
     * A rank whose memory this device reads.
     *
     * @param memory what it gives away, opened here
     * @param sign where its sign lies, opened here
     */
    record Met(PeerMemory.Peer memory, Buffer sign, long number) {}

    private PeerMeeting(Device device, int ranks) {
        this.device = device;
        this.peers = new Met[ranks];
        this.arena = device.arena();
        this.sign = arena.allocate(DType.I32, Long.BYTES / Integer.BYTES);
    }

    /**
     * To be called on all ranks whose devices' memory is not the host's.
     *
     * @param direct not used by anybody else meanwhile
     */
    static PeerMeeting hold(Transport direct, Device device, long generation) {
        PeerMeeting meeting = new PeerMeeting(device, direct.ranks());
        try {
            meeting.hold(direct, generation);
            return meeting;
        } catch (RuntimeException | Error e) {
            meeting.close();
            throw e;
        }
    }

    private void hold(Transport direct, long generation) {
        PeerMemory memory = device.peerMemory().orElse(null);
        try (java.lang.foreign.Arena host = java.lang.foreign.Arena.ofShared()) {
            MemorySegment own = host.allocate(GREETING_BYTES, Long.BYTES);
            if (memory != null) {
                long number = RANDOM.nextLong() | 1;
                seen.set(LONG, 0, number);
                device.upload(sign, seen);
                stands = true;
                memory.place(own, sign.segment());
                own.set(LONG, NUMBER_AT, number);
                MemorySegment.copy(hash(memory.machine()), 0, own, ValueLayout.JAVA_BYTE, HASH_AT,
                        HASH_BYTES);
            }
            List<MemorySegment> all = AllExchange.of(direct,
                    new FrameTag(Kind.REACH, generation, 0, 0, 0, 0), own,
                    _ -> GREETING_BYTES, host);
            MemorySegment read = host.allocate(peers.length);
            for (int r = 0; memory != null && r < peers.length; r++) {
                peers[r] = r == direct.rank() ? null : meet(memory, own, all.get(r));
                read.set(ValueLayout.JAVA_BYTE, r, (byte) (peers[r] == null ? 0 : 1));
            }
            List<MemorySegment> verdicts = AllExchange.of(direct,
                    new FrameTag(Kind.REACH, generation, 0, 0, 0, 1), read, _ -> peers.length,
                    host);
            for (int r = 0; r < peers.length; r++) {
                Met met = peers[r];
                if (met != null
                        && verdicts.get(r).get(ValueLayout.JAVA_BYTE, direct.rank()) == 0) {
                    met.memory.close();
                    peers[r] = null;
                }
            }
            if (memory != null) { // everybody is here: what was opened in older generations is closed
                memory.forget();
                memory.place(own, sign.segment());
            }
        }
    }

    private @Nullable Met meet(PeerMemory memory, MemorySegment own, MemorySegment greeting) {
        long number = greeting.get(LONG, NUMBER_AT);
        if (number == 0 || MemorySegment.mismatch(
                own, HASH_AT, GREETING_BYTES, greeting, HASH_AT, GREETING_BYTES) >= 0) {
            return null;
        }
        PeerMemory.Peer peer = memory.peer();
        MemorySegment at = peer.open(greeting);
        if (at != null && at.byteSize() == Long.BYTES) {
            Met met = new Met(peer, new Buffer(DType.I32, sign.elements(), at), number);
            if (holds(met)) {
                return met;
            }
        }
        peer.close();
        return null;
    }

    static byte[] hash(String text) {
        try {
            return MessageDigest.getInstance("SHA-256")
                    .digest(text.getBytes(StandardCharsets.UTF_8));
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException(e);
        }
    }

    /** The other ranks whose memory is read and that read this one's; null for those apart. */
    @Nullable Met[] peers() {
        return peers;
    }

    /** Waits for what this device was to do, and says whether a rank's sign still stands after it. */
    boolean holds(Met peer) {
        device.download(seen, peer.sign);
        return seen.get(LONG, 0) == peer.number;
    }

    /** Takes this rank's sign away: memory that others may be reading changes after this. */
    void leave() {
        if (stands) {
            stands = false;
            seen.set(LONG, 0, 0);
            device.upload(sign, seen);
        }
    }

    /** Leaves, and closes what was opened, also where a part of that fails. */
    @Override
    public void close() {
        List<Runnable> steps = new ArrayList<>();
        steps.add(this::leave);
        for (int r = 0; r < peers.length; r++) {
            Met met = peers[r];
            if (met != null) {
                peers[r] = null;
                steps.add(met.memory::close);
            }
        }
        steps.add(arena::close);
        inOrder(steps.iterator());
    }

    private static void inOrder(java.util.Iterator<Runnable> steps) {
        if (steps.hasNext()) {
            try {
                steps.next().run();
            } finally {
                inOrder(steps);
            }
        }
    }
}
