package castalia.protocol.planner;

import castalia.protocol.layout.Placement;

/** The size of a vote. */
final class VoteBytes {

    private static final long HEADER = 16;
    private static final long CHUNK = 32;
    private static final long LOSS = 16;

    private VoteBytes() {}

    /** Bytes of a rank's vote. */
    static long of(Placement placement, int rank, long heldChunks) {
        int losses = placement.speaks(rank) ? placement.block(rank).count() : 0;
        return HEADER + CHUNK * heldChunks + LOSS * losses;
    }
}
