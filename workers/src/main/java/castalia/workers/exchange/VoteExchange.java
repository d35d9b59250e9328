package castalia.workers.exchange;

import castalia.protocol.layout.Placement;
import castalia.protocol.step.StateDigest;
import castalia.protocol.step.Vote;
import castalia.protocol.step.Vote.HeldChunk;
import castalia.protocol.step.Vote.LossSum;
import castalia.workers.exchange.FrameTag.Kind;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Sends a rank's vote to all and collects theirs: one exchange of a few kilobytes. A vote's size is
 * a function of the placement: per chunk held 32 bytes, per virtual rank 16 where the rank speaks for
 * its replica.
 */
public final class VoteExchange implements AutoCloseable {

    private static final int HEADER = 16;
    private static final int CHUNK = 32;
    private static final int LOSS = 16;
    private static final ValueLayout.OfLong LONG = ValueLayout.JAVA_LONG_UNALIGNED;
    private static final ValueLayout.OfDouble DOUBLE = ValueLayout.JAVA_DOUBLE_UNALIGNED;

    private final Transport transport;
    private final Arena arena = Arena.ofShared();
    private final int[] chunkCounts;
    private final int[] lossCounts;
    private final MemorySegment[] segments;

    /** Allocates one segment per rank. */
    public VoteExchange(Transport transport, Placement placement, int chunks) {
        this.transport = transport;
        int ranks = placement.ranks();
        this.chunkCounts = new int[ranks];
        this.lossCounts = new int[ranks];
        this.segments = new MemorySegment[ranks];
        for (int r = 0; r < ranks; r++) {
            int rank = r;
            chunkCounts[r] = (int) IntStream.range(0, chunks)
                    .filter(c -> placement.holds(rank, c)).count();
            lossCounts[r] = placement.speaks(r) ? placement.block(r).count() : 0;
            segments[r] = arena.allocate(
                    HEADER + (long) CHUNK * chunkCounts[r] + (long) LOSS * lossCounts[r], 8);
        }
    }

    /** Exchanges votes; the list has one per rank, ascending. */
    public List<Vote> exchange(long generation, Vote own) {
        FrameTag tag = new FrameTag(Kind.VOTE, generation, own.step(), 0, 0, 0);
        int rank = transport.rank();
        encode(own, segments[rank]);
        for (int r = 0; r < segments.length; r++) {
            if (r != rank) {
                transport.send(r, tag, segments[rank]);
            }
        }
        List<Vote> votes = new ArrayList<>(segments.length);
        for (int r = 0; r < segments.length; r++) {
            if (r != rank) {
                transport.receive(r, tag, segments[r]);
            }
            votes.add(r == rank ? own : decode(r));
        }
        return votes;
    }

    private void encode(Vote vote, MemorySegment to) {
        if (vote.chunks().size() != chunkCounts[vote.rank()]
                || vote.losses().size() != lossCounts[vote.rank()]) {
            throw new IllegalArgumentException("vote of rank " + vote.rank() + " names "
                    + vote.chunks().size() + " chunks and " + vote.losses().size() + " losses");
        }
        to.set(LONG, 0, vote.rank());
        to.set(LONG, 8, vote.step());
        long at = HEADER;
        for (HeldChunk chunk : vote.chunks()) {
            to.set(LONG, at, chunk.chunk());
            to.set(LONG, at + 8, chunk.state().a());
            to.set(LONG, at + 16, chunk.state().b());
            to.set(DOUBLE, at + 24, chunk.squares());
            at += CHUNK;
        }
        for (LossSum loss : vote.losses()) {
            to.set(LONG, at, loss.virtualRank());
            to.set(DOUBLE, at + 8, loss.sum());
            at += LOSS;
        }
    }

    private Vote decode(int rank) {
        MemorySegment from = segments[rank];
        List<HeldChunk> chunks = new ArrayList<>(chunkCounts[rank]);
        long at = HEADER;
        for (int i = 0; i < chunkCounts[rank]; i++, at += CHUNK) {
            chunks.add(new HeldChunk(
                    Math.toIntExact(from.get(LONG, at)),
                    new StateDigest(from.get(LONG, at + 8), from.get(LONG, at + 16)),
                    from.get(DOUBLE, at + 24)));
        }
        List<LossSum> losses = new ArrayList<>(lossCounts[rank]);
        for (int i = 0; i < lossCounts[rank]; i++, at += LOSS) {
            losses.add(new LossSum(
                    Math.toIntExact(from.get(LONG, at)), from.get(DOUBLE, at + 8)));
        }
        return new Vote(Math.toIntExact(from.get(LONG, 0)), from.get(LONG, 8), chunks, losses);
    }

    @Override
    public void close() {
        arena.close();
    }
}
