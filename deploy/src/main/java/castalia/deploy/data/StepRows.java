package castalia.deploy.data;

import castalia.workers.data.BatchShape;
import castalia.workers.data.BatchSource;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;

/**
 * The rows of a step's global batch, read from what training reads its micro-batches from. Not for
 * several threads.
 */
public final class StepRows implements AutoCloseable {
    private final BatchSource source;
    private final BatchShape shape;
    private final Arena arena = Arena.ofConfined();
    private final MemorySegment inputs;
    private final MemorySegment labels;
    private long heldStep = -1;
    private int heldUnit = -1;

    public StepRows(BatchSource source) {
        this.source = source;
        this.shape = source.shape();
        this.inputs = arena.allocate(4L * shape.tokens(), 64);
        this.labels = arena.allocate(4L * shape.tokens(), 64);
    }

    /** The virtual rank that computes a row. */
    public int virtualRank(int row) {
        return row / (shape.globalBatch() / shape.virtualRanks());
    }

    /** The micro-batch of its virtual rank in which a row stands. */
    public int microBatch(int row) {
        return row % (shape.globalBatch() / shape.virtualRanks()) / shape.microBatch();
    }

    /** Copies the S inputs of a row and its last label to {@code target}, S + 1 tokens. */
    public void read(long step, int row, int[] target) {
        int unit = row / shape.microBatch();
        if (step != heldStep || unit != heldUnit) {
            heldStep = -1;
            source.fill(step, virtualRank(row), microBatch(row), inputs, labels);
            heldStep = step;
            heldUnit = unit;
        }
        int length = shape.sequenceLength();
        long at = 4L * (row % shape.microBatch()) * length;
        MemorySegment.copy(inputs, ValueLayout.JAVA_INT, at, target, 0, length);
        target[length] = labels.get(ValueLayout.JAVA_INT, at + 4L * (length - 1));
    }

    @Override
    public void close() {
        arena.close();
    }
}
