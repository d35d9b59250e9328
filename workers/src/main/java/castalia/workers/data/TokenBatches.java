package castalia.workers.data;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;

/** Micro-batches of a token file in GPT-NeoX v1.0's order. */
public final class TokenBatches implements BatchSource {
    private final SampleReader reader;
    private final BatchShape shape;
    private final int vocabularySize;

    /** The reader's file stays its caller's to close, after the last call. */
    public TokenBatches(SampleReader reader, BatchShape shape, int vocabularySize) {
        int sequence = reader.order().request().sequenceLength();
        if (sequence != shape.sequenceLength()) {
            throw new IllegalArgumentException("order of sequence length " + sequence
                    + ", batches of " + shape.sequenceLength());
        }
        if (vocabularySize < 1) {
            throw new IllegalArgumentException("vocabulary of " + vocabularySize);
        }
        this.reader = reader;
        this.shape = shape;
        this.vocabularySize = vocabularySize;
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
            reader.tokens(first + row, 0, length, inputs, at);
            MemorySegment.copy(inputs, at + 4, labels, at, 4L * (length - 1));
            reader.tokens(first + row, length, 1, labels, at + 4L * (length - 1));
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
        return new DataException(reader.describe(datasetIndex, token) + " is not below the"
                + " vocabulary size " + vocabularySize + "; train with the tokenizer the file was"
                + " made with, or prepare the file again");
    }

    @Override
    public List<String> description() {
        List<String> lines = new ArrayList<>();
        lines.add("data.kind=tokens");
        lines.addAll(reader.file().digest().lines());
        lines.addAll(reader.order().request().lines());
        return List.copyOf(lines);
    }
}
