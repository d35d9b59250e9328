package castalia.workers.data;

import java.util.OptionalLong;

/**
 * Which dataset indices GPT-NeoX gives to its data-parallel ranks: to compare with, since the
 * indices of a step are the same for every assignment. A loader batch is micro-batch times ranks
 * consecutive indices, a rank takes its contiguous part of it, and a step takes as many loader
 * batches as there are accumulation steps.
 *
 * <p>Source: GPT-NeoX v1.0, {@code megatron/data/samplers.py} and {@code data_utils.py}.
 *
 * @param microBatch sequences of one forward pass of one rank
 * @param dataParallel ranks that read different data
 * @param accumulation forward passes of one step
 */
public record NeoxSampler(int microBatch, int dataParallel, int accumulation) {
    public NeoxSampler {
        if (microBatch < 1 || dataParallel < 1 || accumulation < 1) {
            throw new IllegalArgumentException("micro-batch " + microBatch + ", data-parallel "
                    + dataParallel + ", accumulation " + accumulation + ": all must be at least 1");
        }
        Math.multiplyExact(Math.multiplyExact(microBatch, dataParallel), accumulation);
    }

    /** Sequences of one step. */
    public int globalBatch() {
        return microBatch * dataParallel * accumulation;
    }

    /**
     * The first of the {@code microBatch} consecutive indices a rank reads for a micro-batch, in a
     * process that was started at step {@code start}; empty where the loader has come to its end.
     *
     * @param length dataset indices there are; a loader drops an incomplete last batch
     * @param start the step a run was started or resumed at
     * @param step the step asked for, not before {@code start}
     * @param rank 0 to {@code dataParallel} - 1
     * @param micro 0 to {@code accumulation} - 1
     */
    public OptionalLong firstIndex(long length, long start, long step, int rank, int micro) {
        if (start < 0 || step < start || rank < 0 || rank >= dataParallel || micro < 0
                || micro >= accumulation) {
            throw new IllegalArgumentException("start " + start + ", step " + step + ", rank " + rank
                    + ", micro-batch " + micro + " of " + this);
        }
        int loaderBatch = microBatch * dataParallel;
        long batches = length / loaderBatch;
        if (batches == 0) {
            return OptionalLong.empty();
        }
        long first = Math.multiplyExact(start, accumulation) % batches;
        long batch = first + Math.multiplyExact(step - start, accumulation) + micro;
        return batch < batches
                ? OptionalLong.of(batch * loaderBatch + (long) rank * microBatch)
                : OptionalLong.empty();
    }

    /** The rank that reads a row of the global batch in a run never resumed past its data's end. */
    public int rankOf(int row) {
        return row % (microBatch * dataParallel) / microBatch;
    }

    /** The micro-batch of that rank in which the row is read. */
    public int microBatchOf(int row) {
        return row / (microBatch * dataParallel);
    }
}
