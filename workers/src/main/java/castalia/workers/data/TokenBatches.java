package castalia.workers.data;

import java.lang.foreign.MemorySegment;
import java.util.List;

/** Micro-batches of a run's samples. */
public final class TokenBatches implements BatchSource {
    private final Samples samples;
    private final BatchShape shape;
    private final int vocabularySize;

    /** The samples' files stay their caller's to close, after the last call. */
    public TokenBatches(Samples samples, BatchShape shape, int vocabularySize) {
        int sequence = samples.sequenceLength();
        if (sequence != shape.sequenceLength()) {
            throw new IllegalArgumentException("samples of sequence length " + sequence
                    + ", batches of " + shape.sequenceLength());
        }
        if (vocabularySize < 1) {
            throw new IllegalArgumentException("vocabulary of " + vocabularySize);
        }
        this.samples = samples;
        this.shape = shape;
        this.vocabularySize = vocabularySize;
    }

    /** What the micro-batches are cut from. */
    public Samples samples() {
        return samples;
    }

    @Override
    public BatchShape shape() {
        return shape;
    }

    @Override
    public int vocabularySize() {
        return vocabularySize;
    }

    /** {@inheritDoc} Every id is checked against the vocabulary. */
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
            long at = 4L * row * length;
            samples.tokens(first + row, 0, length, inputs, at);
            MemorySegment.copy(inputs, at + 4, labels, at, 4L * (length - 1));
            samples.tokens(first + row, length, 1, labels, at + 4L * (length - 1));
        }
        int outside = BatchSource.firstOutside(inputs, shape.tokens(), vocabularySize);
        if (outside >= 0) {
            throw refused(first + outside / length, outside % length);
        }
        outside = BatchSource.firstOutside(labels, shape.tokens(), vocabularySize);
        if (outside >= 0) {
            throw refused(first + outside / length, outside % length + 1);
        }
    }

    private DataException refused(long datasetIndex, int token) {
        return new DataException(samples.describe(datasetIndex, token) + " is not below the"
                + " vocabulary size " + vocabularySize + "; train with the tokenizer the file was"
                + " made with, or prepare the file again");
    }

    @Override
    public List<String> description() {
        return samples.description();
    }
}
