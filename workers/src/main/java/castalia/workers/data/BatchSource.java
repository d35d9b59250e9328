package castalia.workers.data;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/**
 * The micro-batches of a run: a function of (step, virtual rank, micro-batch) alone.
 *
 * <p>Implementations may be called by several threads with different targets, and allocate nothing
 * per call.
 */
public interface BatchSource {
    /** How a step's batch is cut. */
    BatchShape shape();

    /** The ids are in [0, vocabularySize). */
    int vocabularySize();

    /**
     * Writes a micro-batch as native int32, row by row, from the start of both targets.
     *
     * @param step 0-based; any step may follow any other
     * @param virtualRank 0 to V - 1
     * @param microBatch 0 to {@code shape().microBatches()} - 1
     * @param inputs (m, S) tokens, at least 4 m S bytes
     * @param labels (m, S) tokens: each row is its input row shifted by one
     * @throws DataException if a token is missing or not in the vocabulary
     */
    void fill(
            long step,
            int virtualRank,
            int microBatch,
            MemorySegment inputs,
            MemorySegment labels);

    /**
     * What the data is, as {@code name=value} lines in a fixed order for the specification's hash:
     * the kind, the hashes of what is read, every parameter. May read whole files.
     */
    List<String> description();

    /** The same batches as they are in the data, before any {@link TokenTransform}. */
    default BatchSource untransformed() {
        return this;
    }

    /** Refuses targets that are too small. */
    static void checkTargets(BatchShape shape, MemorySegment inputs, MemorySegment labels) {
        long needed = 4L * shape.tokens();
        if (inputs.byteSize() < needed || labels.byteSize() < needed) {
            throw new IllegalArgumentException("targets of " + inputs.byteSize() + " and "
                    + labels.byteSize() + " bytes, a micro-batch needs " + needed);
        }
    }

    /** The place of the first of {@code count} ids outside [0, vocabularySize), or -1. */
    static int firstOutside(MemorySegment tokens, int count, int vocabularySize) {
        int worst = 0;
        for (int i = 0; i < count; i++) {
            int token = tokens.get(ValueLayout.JAVA_INT_UNALIGNED, 4L * i);
            // All ones where the id is not below the size, as unsigned numbers; else zero.
            worst |= Integer.compareUnsigned(token, vocabularySize) >= 0 ? -1 : 0;
        }
        if (worst == 0) {
            return -1;
        }
        int at = 0;
        while (Integer.compareUnsigned(
                tokens.get(ValueLayout.JAVA_INT_UNALIGNED, 4L * at), vocabularySize) < 0) {
            at++;
        }
        return at;
    }
}
