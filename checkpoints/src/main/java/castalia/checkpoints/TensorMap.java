package castalia.checkpoints;

import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.TensorSlice;
import castalia.protocol.model.Parameter;
import castalia.protocol.model.Parameter.Split;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.List;

/**
 * Where the elements of whole tensors (row-major) lie in the flat layout and back, as runs of
 * consecutive elements: one run per slice for tensors cut by rows or not at all, one per row and
 * slice for tensors cut by columns.
 */
public final class TensorMap {

    private static final long FLOAT = ValueLayout.JAVA_FLOAT.byteSize();

    private final FlatLayout layout;
    private final List<TensorSlice> slices;

    public TensorMap(FlatLayout layout) {
        this.layout = layout;
        this.slices = layout.slices();
    }

    public FlatLayout layout() {
        return layout;
    }

    /** Takes runs in ascending order. */
    @FunctionalInterface
    public interface Runs {

        /**
         * Elements that are consecutive in the tensor and in the flat space.
         *
         * @param tensor the tensor
         * @param index first element in the whole tensor, row-major
         * @param offset first element in the flat space
         * @param count number of elements
         */
        void run(Parameter tensor, long index, long offset, long count) throws IOException;
    }

    /** The runs that make up elements {@code [from, to)} of a whole tensor, in its order. */
    public void ofTensor(Parameter tensor, long from, long to, Runs runs) throws IOException {
        range(from, to, tensor.elements(), tensor.name());
        long at = from;
        while (at < to) {
            TensorSlice slice = sliceAt(tensor, at);
            long within = offsetInSlice(slice, at);
            long count = Math.min(to - at, runLength(slice, within));
            runs.run(tensor, at, slice.offset() + within, count);
            at += count;
        }
    }

    /**
     * The runs that lie in the flat elements {@code [from, to)}, in flat order. Padding is in none.
     */
    public void ofFlat(long from, long to, Runs runs) throws IOException {
        range(from, to, layout.elements(), "the flat space");
        for (int i = firstSliceEndingAfter(from); i < slices.size(); i++) {
            TensorSlice slice = slices.get(i);
            if (slice.offset() >= to) {
                return;
            }
            long within = Math.max(0, from - slice.offset());
            long end = Math.min(slice.elements(), to - slice.offset());
            while (within < end) {
                long count = Math.min(end - within, runLength(slice, within));
                long index = slice.tensorIndex(
                        (int) (within / slice.columns()), (int) (within % slice.columns()));
                runs.run(slice.parameter(), index, slice.offset() + within, count);
                within += count;
            }
        }
    }

    /** Copies elements {@code [from, from + n)} of a whole tensor out of a flat segment. */
    public void gather(FlatWeights flat, Parameter tensor, long from, MemorySegment destination)
            throws IOException {
        ofTensor(tensor, from, from + destination.byteSize() / FLOAT,
                (_, index, offset, count) -> flat.read(
                        offset, destination.asSlice((index - from) * FLOAT, count * FLOAT)));
    }

    /** Copies a whole tensor (row-major) to its places in a flat segment. */
    public void scatter(Parameter tensor, MemorySegment whole, MemorySegment flat)
            throws IOException {
        ofTensor(tensor, 0, tensor.elements(), (_, index, offset, count) -> MemorySegment.copy(
                whole, index * FLOAT, flat, offset * FLOAT, count * FLOAT));
    }

    private TensorSlice sliceAt(Parameter tensor, long index) {
        int slice = switch (tensor.role().split()) {
            case NONE -> 0;
            case ROWS -> (int) (index / tensor.columns()
                    / (tensor.rows() / layout.tensorSlices()));
            case COLUMNS -> (int) (index % tensor.columns()
                    / (tensor.columns() / layout.tensorSlices()));
        };
        return layout.slice(tensor.role(), tensor.layer(), slice);
    }

    private static long offsetInSlice(TensorSlice slice, long index) {
        long first = slice.tensorIndex(0, 0);
        int columns = slice.parameter().columns();
        return switch (slice.parameter().role().split()) {
            case NONE, ROWS -> index - first;
            case COLUMNS -> index / columns * slice.columns() + (index % columns - first);
        };
    }

    /** Elements from {@code within} on that are consecutive in the tensor too. */
    private static long runLength(TensorSlice slice, long within) {
        boolean byRow = slice.parameter().role().split() == Split.COLUMNS
                && slice.columns() < slice.parameter().columns();
        return byRow ? slice.columns() - within % slice.columns() : slice.elements() - within;
    }

    private int firstSliceEndingAfter(long offset) {
        int low = 0;
        int high = slices.size();
        while (low < high) {
            int middle = (low + high) >>> 1;
            TensorSlice slice = slices.get(middle);
            if (slice.offset() + slice.elements() <= offset) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        return low;
    }

    private static void range(long from, long to, long size, String what) {
        if (from < 0 || to < from || to > size) {
            throw new IllegalArgumentException(
                    "elements " + from + " to " + to + " of " + what + ", which has " + size);
        }
    }
}
