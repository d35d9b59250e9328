package castalia.protocol.layout;

import java.util.Arrays;

/**
 * How the layers of a part of the parameter space share three windows of memory: blocks take two in
 * turn, so that one may be filled while the other is used. Embedding and head, which are never needed
 * at once, share a third, as their size depends on the vocabulary and has nothing to do with that of a
 * block.
 */
public final class LayerWindows {

    /** Windows. */
    public static final int COUNT = 3;

    private static final int NOTHING = -1;

    private final LocalSpace space;
    private final long[] firsts;
    private final long[] lengths;

    public LayerWindows(LocalSpace space) {
        ChunkGrid grid = space.grid();
        this.space = space;
        this.firsts = new long[grid.layout().shape().layers() + 2];
        this.lengths = new long[COUNT];
        int layer = 0;
        for (int chunk : space.chunks()) {
            while (layer < grid.chunk(chunk).layer()) {
                layer++;
                firsts[layer] = space.offset(chunk);
            }
            long end = space.offset(chunk) + grid.chunk(chunk).length();
            int window = window(layer);
            lengths[window] = Math.max(lengths[window], end - firsts[layer]);
        }
    }

    /** The part of the parameter space. */
    public LocalSpace space() {
        return space;
    }

    /** The window of a layer. */
    public int window(int layer) {
        return layer == 0 || layer == firsts.length - 1 ? 0 : 1 + layer % 2;
    }

    /** Layers, the embedding and the head among them. */
    public int layers() {
        return firsts.length;
    }

    /** First element of a layer in the space. */
    public long first(int layer) {
        return firsts[layer];
    }

    /** Elements of a window. */
    public long elements(int window) {
        return lengths[window];
    }

    /** Elements of all windows. */
    public long elements() {
        return Arrays.stream(lengths).sum();
    }

    /** The layers that a forward pass needs, in order; and those of the backward pass after it. */
    public int[] order(boolean backward) {
        int layers = firsts.length;
        int[] order = new int[backward ? 2 * layers - 2 : layers];
        for (int p = 0; p < order.length; p++) {
            order[p] = p < layers ? p : order.length - p;
        }
        return order;
    }

    /**
     * How often each layer has to be brought for some passes forward and backward: a layer that is
     * still in its window is not brought again.
     */
    public long[] brought(long passes) {
        int[] content = new int[COUNT];
        Arrays.fill(content, NOTHING);
        long[] first = pass(content);
        long[] further = pass(content);
        long[] all = new long[firsts.length];
        for (int l = 0; l < all.length && passes > 0; l++) {
            all[l] = first[l] + (passes - 1) * further[l];
        }
        return all;
    }

    private long[] pass(int[] content) {
        long[] brought = new long[firsts.length];
        for (int layer : order(true)) {
            int window = window(layer);
            if (content[window] != layer) {
                content[window] = layer;
                brought[layer]++;
            }
        }
        return brought;
    }
}
