package castalia.protocol.layout;

import castalia.protocol.model.Parameter.Split;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * The canonical cut of the flat space into chunks, a function of the layout alone.
 *
 * <p>A chunk never crosses a tensor slice, a decay class or {@link #LIMIT}; the vectors of a layer
 * that belong to the same slice (or to all) share one chunk while they fit.
 */
public final class ChunkGrid {

    /** Most elements of a chunk: 4 MiB of fp32. Norms are summed per chunk, so it fixes bits. */
    public static final int LIMIT = 1 << 20;

    private final FlatLayout layout;
    private final List<Chunk> chunks;

    private ChunkGrid(FlatLayout layout, List<Chunk> chunks) {
        this.layout = layout;
        this.chunks = List.copyOf(chunks);
    }

    /** Some chunks by layer, the embedding first and the head last; those of a layer in the order given. */
    public int[][] byLayer(int[] some) {
        int[][] all = new int[layout.shape().layers() + 2][];
        for (int l = 0; l < all.length; l++) {
            int layer = l;
            all[l] = Arrays.stream(some).filter(c -> chunks.get(c).layer() == layer).toArray();
        }
        return all;
    }

    /** The grid of a layout. */
    public static ChunkGrid of(FlatLayout layout) {
        List<Chunk> chunks = new ArrayList<>();
        List<TensorSlice> slices = layout.slices();
        int i = 0;
        while (i < slices.size()) {
            TensorSlice first = slices.get(i);
            long end = FlatLayout.align(first.offset() + first.elements());
            int next = i + 1;
            if (first.parameter().role().vector()) {
                while (next < slices.size() && together(first, slices.get(next))) {
                    TensorSlice s = slices.get(next);
                    long widened = FlatLayout.align(s.offset() + s.elements());
                    if (widened - first.offset() > LIMIT) {
                        break;
                    }
                    end = widened;
                    next++;
                }
            }
            int slice = first.parameter().role().split() == Split.NONE ? -1 : first.slice();
            for (long at = first.offset(); at < end; at += LIMIT) {
                chunks.add(new Chunk(
                        chunks.size(),
                        at,
                        (int) Math.min(LIMIT, end - at),
                        first.parameter().layer(),
                        slice,
                        first.parameter().role().decay()));
            }
            i = next;
        }
        return new ChunkGrid(layout, chunks);
    }

    private static boolean together(TensorSlice a, TensorSlice b) {
        return b.parameter().role().vector()
                && b.parameter().layer() == a.parameter().layer()
                && b.slice() == a.slice()
                && b.parameter().role().split() == a.parameter().role().split();
    }

    public FlatLayout layout() {
        return layout;
    }

    /** All chunks by index; they cover the flat space without gap or overlap. */
    public List<Chunk> chunks() {
        return chunks;
    }

    public Chunk chunk(int index) {
        return chunks.get(index);
    }

    public int size() {
        return chunks.size();
    }
}
