package castalia.workers.rank;

import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.ReshardPlan.Move;
import castalia.protocol.step.ScalarState;
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
import java.util.stream.IntStream;

/**
 * Moves chunks between ranks when a generation begins. All ranks go through the same list, in
 * windows: nobody sends anything of the next one before all have got theirs of this one, so that what
 * waits at a receiver has a bound whatever the size of the state.
 */
public final class ChunkCarrier {

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

    /**
     * To be called on all ranks: sends and receives chunks that are to be held where they are not
     * yet, as they are at {@code scalars}.
     *
     * @throws CastaliaException if a chunk arrives with another digest than it was sent with
     */
    public static void carry(
            TrainingRank rank, ChunkGrid grid, ScalarState scalars, List<Move> moves) {
        carry(rank, grid, scalars, moves, WINDOW);
    }

    /** As the other, with other windows, in bytes. */
    static void carry(TrainingRank rank, ChunkGrid grid, ScalarState scalars, List<Move> moves,
            long window) {
        if (!moves.isEmpty()) {
            new ChunkCarrier(rank, grid, scalars.step()).carry(moves, window);
        }
    }

    private ChunkCarrier(TrainingRank rank, ChunkGrid grid, long version) {
        this.rank = rank;
        this.transport = rank.links().transport();
        this.generation = rank.links().generation();
        this.grid = grid;
        this.version = version;
    }

    private void carry(List<Move> moves, long window) {
        List<Move> one = moves.stream()
                .flatMap(move -> IntStream.range(move.first(), move.end())
                        .mapToObj(c -> new Move(c, 1, move.from(), move.to())))
                .toList();
        int next = 0;
        for (int number = 0; next < one.size(); number++) {
            int end = next + 1;
            long bytes = bytes(one.get(next).first());
            while (end < one.size() && bytes + bytes(one.get(end).first()) <= window) {
                bytes += bytes(one.get(end).first());
                end++;
            }
            window(one.subList(next, end), number);
            next = end;
        }
    }

    /** Returns when everybody has everything of this window. */
    @SuppressWarnings("MustBeClosedChecker") // freed here, or with the generation's links
    private void window(List<Move> moves, int number) {
        Arena arena = Arena.ofShared();
        rank.links().lend(arena); // a payload may be on its way when this ends with an exception
        for (Move move : moves) {
            if (move.from() == transport.rank()) {
                send(move.first(), move.to(), arena);
            }
            if (move.to() == transport.rank()) {
                receive(move.first(), move.from());
            }
        }
        AllExchange.of(transport, new FrameTag(Kind.MOVED, generation, version, 0, 0, number),
                arena.allocate(1), _ -> 1, arena);
        rank.links().takeBack(arena);
    }

    private long bytes(int chunk) {
        return TENSORS * Float.BYTES * (long) grid.chunk(chunk).length() + DIGEST_BYTES;
    }

    private void send(int chunk, int to, Arena arena) {
        HeldChunks held = rank.held();
        if (held.version(chunk) != version) {
            throw new IllegalStateException("chunk " + chunk + " is at version "
                    + held.version(chunk) + " where version " + version + " is to be moved");
        }
        long each = Float.BYTES * (long) grid.chunk(chunk).length();
        MemorySegment payload = arena.allocate(bytes(chunk), Long.BYTES);
        rank.bytes().download(payload.asSlice(0, each), held.weight(chunk));
        rank.bytes().download(payload.asSlice(each, each), held.firstMoment(chunk));
        rank.bytes().download(payload.asSlice(2 * each, each), held.secondMoment(chunk));
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
            rank.bytes().upload(held.weight(chunk), tensor);
            transport.receive(from, tag(chunk, 1), tensor);
            rank.bytes().upload(held.firstMoment(chunk), tensor);
            transport.receive(from, tag(chunk, 2), tensor);
            rank.bytes().upload(held.secondMoment(chunk), tensor);
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

    private FrameTag tag(int chunk, int part) {
        return new FrameTag(Kind.MOVE, generation, version, 0, chunk, part);
    }
}
