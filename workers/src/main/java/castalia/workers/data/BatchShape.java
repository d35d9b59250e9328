package castalia.workers.data;

import java.util.List;

/**
 * How the global batch of a step is cut, independent of the number of ranks: step s takes dataset
 * indices [B s, B (s + 1)), virtual rank v of V the contiguous block of B / V of them from {@code B
 * s + v B / V} on, in micro-batches of m.
 *
 * @param globalBatch B, sequences per step
 * @param virtualRanks V, divides B
 * @param microBatch m, sequences per micro-batch, divides B / V
 * @param sequenceLength S, tokens of one input row
 */
public record BatchShape(int globalBatch, int virtualRanks, int microBatch, int sequenceLength) {
    public BatchShape {
        if (globalBatch < 1 || virtualRanks < 1 || microBatch < 1 || sequenceLength < 1) {
            throw new IllegalArgumentException("batch " + globalBatch + ", virtual ranks "
                    + virtualRanks + ", micro-batch " + microBatch + ", sequence "
                    + sequenceLength + ": all must be at least 1");
        }
        if (globalBatch % virtualRanks != 0
                || globalBatch / virtualRanks % microBatch != 0) {
            throw new IllegalArgumentException("batch " + globalBatch + " is not a multiple of "
                    + virtualRanks + " virtual ranks times micro-batch " + microBatch);
        }
    }

    /** Micro-batches per virtual rank and step. */
    public int microBatches() {
        return globalBatch / virtualRanks / microBatch;
    }

    /** Tokens of one micro-batch's inputs, m S; its labels are as many. */
    public int tokens() {
        return Math.multiplyExact(microBatch, sequenceLength);
    }

    /** The dataset index of the first row of a micro-batch. */
    public long firstIndex(long step, int virtualRank, int micro) {
        return Math.multiplyExact(step, globalBatch) + firstRow(virtualRank, micro);
    }

    /** The row within the global batch of the first row of a micro-batch. */
    public int firstRow(int virtualRank, int micro) {
        if (virtualRank < 0 || virtualRank >= virtualRanks
                || micro < 0 || micro >= microBatches()) {
            throw new IndexOutOfBoundsException("virtual rank " + virtualRank + " of "
                    + virtualRanks + ", micro-batch " + micro + " of " + microBatches());
        }
        return virtualRank * (globalBatch / virtualRanks) + micro * microBatch;
    }

    /** One {@code name=value} per field for the run specification. */
    public List<String> lines() {
        return List.of(
                "batch.global=" + globalBatch,
                "batch.virtualRanks=" + virtualRanks,
                "batch.micro=" + microBatch,
                "batch.sequence=" + sequenceLength);
    }
}
