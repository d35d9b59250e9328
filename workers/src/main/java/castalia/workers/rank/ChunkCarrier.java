package castalia.workers.rank;

import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.ReshardPlan.Move;
import castalia.protocol.step.StateDigest;
import castalia.workers.exchange.AllExchange;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.exchange.Transport;
import castalia.workers.state.HeldChunks;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/**
 * Moves chunks between ranks when a generation begins. All ranks go through the same list, in
 * windows: nobody sends anything of the next one before all have got theirs of this one, so that what
 * waits at a receiver has a bound whatever the size of the state.
 */
final class ChunkCarrier implements AutoCloseable {

    /** Bytes on their way at once, over all ranks. */
    private static final long WINDOW = 64L << 20;

    private static final int DIGEST_BYTES = 16;
    private static final int TENSORS = 3;
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED;

    private final TrainingRank rank;
    private final Transport transport;
    private final long generation;
    private final ChunkGrid grid;
    private final long version;
    private Arena window = Arena.ofShared();
    private long inWindow;
    private int windows;

    ChunkCarrier(TrainingRank rank, GenerationLinks links, ChunkGrid grid, long version) {
        this.rank = rank;
        this.transport = links.transport();
        this.generation = links.generation();
        this.grid = grid;
        this.version = version;
    }

    void carry(List<Move> moves) {
        for (Move move : moves) {
            for (int chunk = move.first(); chunk < move.end(); chunk++) {
                long bytes = bytes(chunk);
                if (inWindow > 0 && inWindow + bytes > WINDOW) {
                    next();
                }
                inWindow += bytes;
                if (move.from() == transport.rank()) {
                    send(chunk, move.to());
                }
                if (move.to() == transport.rank()) {
                    receive(chunk, move.from());
                }
            }
        }
        next();
    }

    private long bytes(int chunk) {
        return TENSORS * Float.BYTES * (long) grid.chunk(chunk).length() + DIGEST_BYTES;
    }

    private void send(int chunk, int to) {
        HeldChunks held = rank.held();
        if (held.version(chunk) != version) {
            throw new IllegalStateException("chunk " + chunk + " is at version "
                    + held.version(chunk) + " where version " + version + " is to be moved");
        }
        long each = Float.BYTES * (long) grid.chunk(chunk).length();
        MemorySegment payload = window.allocate(bytes(chunk), Long.BYTES);
        rank.download(payload.asSlice(0, each), held.weight(chunk));
        rank.download(payload.asSlice(each, each), held.firstMoment(chunk));
        rank.download(payload.asSlice(2 * each, each), held.secondMoment(chunk));
        StateDigest digest = held.digest(chunk);
        payload.set(LONG, TENSORS * each, digest.a());
        payload.set(LONG, TENSORS * each + Long.BYTES, digest.b());
        for (int part = 0; part < TENSORS; part++) {
            transport.send(to, tag(chunk, part), payload.asSlice(part * each, each));
        }
        transport.send(to, tag(chunk, TENSORS), payload.asSlice(TENSORS * each, DIGEST_BYTES));
    }

    private void receive(int chunk, int from) {
        HeldChunks held = rank.held();
        held.invalidate(chunk);
        long each = Float.BYTES * (long) grid.chunk(chunk).length();
        try (Arena arena = Arena.ofShared()) {
            MemorySegment tensor = arena.allocate(each, Long.BYTES);
            transport.receive(from, tag(chunk, 0), tensor);
            rank.upload(held.weight(chunk), tensor);
            transport.receive(from, tag(chunk, 1), tensor);
            rank.upload(held.firstMoment(chunk), tensor);
            transport.receive(from, tag(chunk, 2), tensor);
            rank.upload(held.secondMoment(chunk), tensor);
            MemorySegment sent = arena.allocate(DIGEST_BYTES, Long.BYTES);
            transport.receive(from, tag(chunk, TENSORS), sent);
            held.loaded(chunk, version);
            StateDigest digest = new StateDigest(sent.get(LONG, 0), sent.get(LONG, Long.BYTES));
            if (!held.digest(chunk).equals(digest)) {
                held.invalidate(chunk);
                throw new CastaliaException(ErrorCode.DEVICE_FAILED, "chunk " + chunk
                        + " came from rank " + from + " with the digest " + held.digest(chunk).hex()
                        + " instead of " + digest.hex()
                        + ": memory, processor or network of one of the two is faulty");
            }
        }
    }

    /** Everybody has everything of this window. */
    private void next() {
        MemorySegment nothing = window.allocate(1);
        AllExchange.of(transport, new FrameTag(Kind.MOVED, generation, version, 0, 0, windows),
                nothing, _ -> 1, window);
        windows++;
        inWindow = 0;
        window.close();
        window = Arena.ofShared();
    }

    private FrameTag tag(int chunk, int part) {
        return new FrameTag(Kind.MOVE, generation, version, 0, chunk, part);
    }

    @Override
    public void close() {
        window.close();
    }
}
