package castalia.workers.data;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/**
 * Made-up tokens for benchmarks: uniform ids from a counter-based generator, the same everywhere.
 *
 * <p>Token p (0 to S) of dataset index i is {@code mix(mix(mix(seed) + i) + p)} modulo the
 * vocabulary as an unsigned number, where {@code mix} adds 0x9e3779b97f4a7c15 and applies the
 * finaliser of SplitMix64 (Steele, Lea, Flood 2014).
 */
public final class SyntheticBatches implements BatchSource {
    private final BatchShape shape;
    private final int vocabularySize;
    private final long seed;

    public SyntheticBatches(BatchShape shape, int vocabularySize, long seed) {
        if (vocabularySize < 1) {
            throw new IllegalArgumentException("vocabulary of " + vocabularySize);
        }
        this.shape = shape;
        this.vocabularySize = vocabularySize;
        this.seed = seed;
    }

    @Override
    public BatchShape shape() {
        return shape;
    }

    @Override
    public int vocabularySize() {
        return vocabularySize;
    }

    @Override
    public void fill(
            long step,
            int virtualRank,
            int microBatch,
            MemorySegment inputs,
            MemorySegment labels) {
        BatchSource.checkTargets(shape, inputs, labels);
        long first = shape.firstIndex(step, virtualRank, microBatch);
        int length = shape.sequenceLength();
        for (int row = 0; row < shape.microBatch(); row++) {
            long stream = mix(mix(seed) + first + row);
            long at = 4L * row * length;
            int token = token(stream, 0);
            for (int p = 0; p < length; p++) {
                inputs.set(ValueLayout.JAVA_INT_UNALIGNED, at + 4L * p, token);
                token = token(stream, p + 1);
                labels.set(ValueLayout.JAVA_INT_UNALIGNED, at + 4L * p, token);
            }
        }
    }

    private int token(long stream, int position) {
        return (int) Long.remainderUnsigned(mix(stream + position), vocabularySize);
    }

    private static long mix(long value) {
        long z = value + 0x9e3779b97f4a7c15L;
        z = (z ^ (z >>> 30)) * 0xbf58476d1ce4e5b9L;
        z = (z ^ (z >>> 27)) * 0x94d049bb133111ebL;
        return z ^ (z >>> 31);
    }

    @Override
    public List<String> description() {
        return List.of(
                "data.kind=synthetic-splitmix64",
                "data.seed=" + seed,
                "data.vocabulary=" + vocabularySize,
                "order.sequence=" + shape.sequenceLength());
    }
}
