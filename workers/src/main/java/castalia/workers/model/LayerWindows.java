package castalia.workers.model;

import castalia.kernels.Buffer;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.LocalSpace;
import java.util.function.LongFunction;

/**
 * How the layers of a part of the parameter space share three windows of memory: blocks take two in
 * turn, so that one may be filled while the other is used. Embedding and head, which are never needed
 * at once, share a third, as their size depends on the vocabulary and has nothing to do with that of a
 * block.
 */
public final class LayerWindows {

    /** Windows. */
    public static final int COUNT = 3;

    private final LocalSpace space;
    private final long[] firsts;
    private final long[] lengths;

    public LayerWindows(LocalSpace space) {
        ChunkGrid grid = space.grid();
        int layers = grid.layout().shape().layers() + 2;
        this.space = space;
        this.firsts = new long[layers];
        this.lengths = new long[COUNT];
        long at = 0;
        int layer = 0;
        for (int chunk : space.chunks()) {
            while (layer < grid.chunk(chunk).layer()) {
                layer++;
                firsts[layer] = space.offset(chunk);
            }
            at = space.offset(chunk) + grid.chunk(chunk).length();
            int window = window(layer);
            lengths[window] = Math.max(lengths[window], at - firsts[layer]);
        }
    }

    /** The window of a layer. */
    public int window(int layer) {
        return layer == 0 || layer == firsts.length - 1 ? 0 : 1 + layer % 2;
    }

    /** Layers, the embedding and the head among them. */
    public int layers() {
        return firsts.length;
    }

    /** Elements of a window. */
    public long elements(int window) {
        return lengths[window];
    }

    /** Views of the layers in windows that {@code memory} makes room for. */
    public FlatViews views(LongFunction<Buffer> memory) {
        Buffer[] windows = new Buffer[COUNT];
        for (int w = 0; w < COUNT; w++) {
            windows[w] = memory.apply(lengths[w]);
        }
        return new FlatViews(space, windows[0].type(), (layer, offset, count) ->
                windows[window(layer)].slice(offset - firsts[layer], count));
    }
}
