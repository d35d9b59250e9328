package castalia.workers.data;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.security.MessageDigest;
import java.util.List;

/** Explicit rows for parity with another implementation: (steps, B, S + 1) token ids. */
public final class ArrayBatches implements BatchSource {
    private final BatchShape shape;
    private final int vocabularySize;
    private final int[] tokens;
    private final int steps;

    /**
     * Copies {@code rows}.
     *
     * @param rows [step][row of the global batch][S + 1]
     * @throws DataException if the array's shape is not the batch's or an id is not in the
     *     vocabulary
     */
    public ArrayBatches(int[][][] rows, BatchShape shape, int vocabularySize) {
        this.shape = shape;
        this.vocabularySize = vocabularySize;
        this.steps = rows.length;
        int row = shape.sequenceLength() + 1;
        this.tokens = new int[Math.multiplyExact(steps, shape.globalBatch() * row)];
        for (int s = 0; s < steps; s++) {
            if (rows[s].length != shape.globalBatch()) {
                throw new DataException("step " + s + " has " + rows[s].length + " rows, the batch"
                        + " needs " + shape.globalBatch());
            }
            for (int b = 0; b < rows[s].length; b++) {
                checkRow(s, b, rows[s][b]);
                System.arraycopy(
                        rows[s][b], 0, tokens, (s * shape.globalBatch() + b) * row, row);
            }
        }
    }

    private void checkRow(int step, int row, int[] ids) {
        if (ids.length != shape.sequenceLength() + 1) {
            throw new DataException("step " + step + ", row " + row + " has " + ids.length
                    + " tokens, " + (shape.sequenceLength() + 1) + " are needed");
        }
        for (int p = 0; p < ids.length; p++) {
            if (ids[p] < 0 || ids[p] >= vocabularySize) {
                throw new DataException("step " + step + ", row " + row + ", position " + p
                        + " holds " + ids[p] + ", the vocabulary size is " + vocabularySize);
            }
        }
    }

    /** Steps given; a later one is refused. */
    public int steps() {
        return steps;
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
        if (step < 0 || step >= steps) {
            throw new DataException("step " + step + " was asked for, the arrays hold " + steps);
        }
        int length = shape.sequenceLength();
        int first = (int) step * shape.globalBatch() + shape.firstRow(virtualRank, microBatch);
        for (int row = 0; row < shape.microBatch(); row++) {
            int from = (first + row) * (length + 1);
            long at = 4L * row * length;
            MemorySegment.copy(
                    tokens, from, inputs, ValueLayout.JAVA_INT_UNALIGNED, at, length);
            MemorySegment.copy(
                    tokens, from + 1, labels, ValueLayout.JAVA_INT_UNALIGNED, at, length);
        }
    }

    @Override
    public List<String> description() {
        MessageDigest digest = Sha256.start();
        ByteBuffer piece = ByteBuffer.allocate(4).order(ByteOrder.LITTLE_ENDIAN);
        for (int token : tokens) {
            digest.update(piece.putInt(0, token).array());
        }
        return List.of(
                "data.kind=arrays",
                "data.steps=" + steps,
                "data.sha256=" + Sha256.hex(digest),
                "order.sequence=" + shape.sequenceLength());
    }
}
