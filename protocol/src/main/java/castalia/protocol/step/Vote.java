package castalia.protocol.step;

import java.util.List;

/**
 * A rank's promise at the end of a step's reduction: for every chunk named it holds state
 * {@code step} and the finished gradient of that step.
 *
 * @param rank who votes
 * @param step version of the state held
 * @param chunks what it holds, ascending by chunk
 * @param losses the loss sums of the virtual ranks it computed, ascending
 */
public record Vote(int rank, long step, List<HeldChunk> chunks, List<LossSum> losses) {

    public Vote {
        if (rank < 0 || step < 0) {
            throw new IllegalArgumentException("vote of rank " + rank + " for step " + step);
        }
        chunks = List.copyOf(chunks);
        losses = List.copyOf(losses);
    }

    /**
     * One chunk as owner or buddy holds it.
     *
     * @param chunk index in the grid
     * @param state digest of weights and moments at the vote's step
     * @param squares sum of squares of the finished gradient, unscaled, fp64; not finite if an
     *     element of the gradient is not
     */
    public record HeldChunk(int chunk, StateDigest state, double squares) {
        public HeldChunk {
            if (chunk < 0 || squares < 0) {
                throw new IllegalArgumentException(
                        "chunk " + chunk + " with a sum of squares of " + squares);
            }
        }
    }

    /** Sum over its tokens of a virtual rank's losses, fp64. */
    public record LossSum(int virtualRank, double sum) {
        public LossSum {
            if (virtualRank < 0) {
                throw new IllegalArgumentException("virtual rank " + virtualRank);
            }
        }
    }
}
