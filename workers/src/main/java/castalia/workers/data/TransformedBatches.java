package castalia.workers.data;

import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.List;

/**
 * The micro-batches of a source, changed on some steps by transforms, one after another in the
 * order given. On other steps it costs nothing.
 */
public final class TransformedBatches implements BatchSource {
    private final BatchSource source;
    private final List<TokenTransform> transforms;
    private final ThreadLocal<int[]> row;

    /** The source stays its caller's. */
    public TransformedBatches(BatchSource source, List<TokenTransform> transforms) {
        this.source = source;
        this.transforms = List.copyOf(transforms);
        int length = source.shape().sequenceLength() + 1;
        this.row = ThreadLocal.withInitial(() -> new int[length]);
    }

    @Override
    public BatchShape shape() {
        return source.shape();
    }

    @Override
    public int vocabularySize() {
        return source.vocabularySize();
    }

    @Override
    public BatchSource untransformed() {
        return source.untransformed();
    }

    /** {@inheritDoc} A transform of words makes texts of the rows of its steps. */
    @Override
    public void fill(
            long step,
            int virtualRank,
            int microBatch,
            MemorySegment inputs,
            MemorySegment labels) {
        source.fill(step, virtualRank, microBatch, inputs, labels);
        for (int t = 0; t < transforms.size(); t++) { // an iterator might be allocated
            if (transforms.get(t).covers(step)) {
                apply(transforms.get(t), inputs, labels);
            }
        }
    }

    /**
     * What the transforms make of a row of a step, one after another.
     *
     * @param row as it is in the data; afterwards as it is read
     */
    public List<TokenTransform.Effect> explain(long step, int[] row) {
        return transforms.stream()
                .filter(transform -> transform.covers(step))
                .map(transform -> transform.explain(row))
                .toList();
    }

    private void apply(TokenTransform transform, MemorySegment inputs, MemorySegment labels) {
        int[] ids = row.get();
        int length = ids.length - 1;
        for (int r = 0; r < shape().microBatch(); r++) {
            long at = 4L * r * length;
            MemorySegment.copy(inputs, ValueLayout.JAVA_INT_UNALIGNED, at, ids, 0, length);
            ids[length] = labels.get(ValueLayout.JAVA_INT_UNALIGNED, at + 4L * (length - 1));
            if (transform.apply(ids)) {
                MemorySegment.copy(ids, 0, inputs, ValueLayout.JAVA_INT_UNALIGNED, at, length);
                MemorySegment.copy(ids, 1, labels, ValueLayout.JAVA_INT_UNALIGNED, at, length);
            }
        }
    }

    /** The source's lines, then those of each transform, numbered. */
    @Override
    public List<String> description() {
        List<String> lines = new ArrayList<>(source.description());
        for (int t = 0; t < transforms.size(); t++) {
            TokenTransform transform = transforms.get(t);
            String name = "transform." + t + ".";
            lines.add(name + "from=" + transform.fromStep());
            lines.add(name + "to=" + transform.toStep());
            for (String line : transform.description()) {
                lines.add(name + line);
            }
        }
        return List.copyOf(lines);
    }
}
