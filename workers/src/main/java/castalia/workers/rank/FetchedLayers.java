package castalia.workers.rank;

import castalia.kernels.Buffer;
import castalia.kernels.Kernels;
import castalia.protocol.layout.LayerWindows;
import castalia.protocol.layout.Placement;
import castalia.workers.exchange.FrameTag;
import castalia.workers.exchange.FrameTag.Kind;
import castalia.workers.exchange.Transport;
import castalia.workers.model.FlatViews;
import castalia.workers.model.LayerWeights;
import castalia.workers.state.HeldChunks;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Fetches the weights that a rank computes with from their owners, layer by layer, ahead of need: as
 * soon as a window is free, what it is needed for next is on its way, while other layers compute. A
 * layer that is still in its window is not fetched again.
 *
 * <p>What is asked for is taken in the pass, or the next of the same version if that follows for sure.
 */
final class FetchedLayers implements LayerWeights {

    private static final int NONE = -1;

    private final long generation;
    private final int rank;
    private final Placement placement;
    private final Kernels kernels;
    private final Transport transport;
    private final HeldChunks held;
    private final ComputeWeights weights;
    private final FlatViews views;
    private final LayerWindows windows;
    private final int[][] chunks;
    private final int[] forward;
    private final int[] training;
    private final int[] content = new int[LayerWindows.COUNT];
    private final boolean[] complete = new boolean[LayerWindows.COUNT];
    private final @Nullable FrameTag[] asked;
    private int[] order;
    private int position;
    private boolean followed;
    private long version;
    private int requests;

    /** Those of a rank in a generation. */
    FetchedLayers(
            long generation, Placement placement, Transport transport, HeldChunks held,
            ComputeWeights weights, Kernels kernels) {
        this.kernels = kernels;
        this.generation = generation;
        this.rank = transport.rank();
        this.placement = placement;
        this.transport = transport;
        this.held = held;
        this.weights = weights;
        this.views = weights.views();
        this.windows = new LayerWindows(views.space());
        this.chunks = views.space().grid().byLayer(views.space().chunks());
        this.forward = windows.order(false);
        this.training = windows.order(true);
        this.order = forward;
        this.asked = new FrameTag[placement.chunks()];
        version(0);
    }

    /** From now on weights of a version are wanted; those there are may be others. */
    void version(long now) {
        version = now;
        Arrays.fill(content, NONE);
    }

    /** See {@link WeightPath#followed}. */
    void followed(boolean byAnother) {
        followed = byAnother;
    }

    @Override
    public void begin(boolean backward) {
        order = backward ? training : forward;
        position = -1;
    }

    @Override
    public void need(int layer) {
        position++;
        if (order[position] != layer) {
            throw new IllegalStateException(
                    "layer " + layer + " where " + order[position] + " follows");
        }
        int window = windows.window(layer);
        if (content[window] != layer) {
            start(layer);
        }
        if (!complete[window]) {
            finish(layer);
        }
        ahead(window);
    }

    @Override
    public boolean takeAll() {
        return false;
    }

    /** Starts to fetch what every window but one is needed for next. */
    private void ahead(int used) {
        int seen = 1 << used;
        int end = followed ? position + order.length : order.length;
        for (int p = position + 1; p < end && seen != (1 << LayerWindows.COUNT) - 1; p++) {
            int layer = order[p % order.length];
            int window = windows.window(layer);
            if ((seen & 1 << window) == 0) {
                seen |= 1 << window;
                if (content[window] != layer) {
                    start(layer);
                }
            }
        }
    }

    private void start(int layer) {
        int window = windows.window(layer);
        content[window] = layer;
        complete[window] = false;
        for (int chunk : chunks[layer]) {
            Buffer into = views.chunk(chunk);
            if (placement.owner(chunk) == rank) {
                kernels.cast(into, weights.of(chunk), into.elements());
            } else if (placement.holds(rank, chunk)) {
                held.cast(chunk, into);
            } else {
                FrameTag tag = new FrameTag(Kind.FETCH, generation, version, 0, chunk, requests);
                requests = requests + 1 & Integer.MAX_VALUE;
                asked[chunk] = tag;
                transport.fetch(placement.owner(chunk), tag, into.segment());
            }
        }
    }

    private void finish(int layer) {
        for (int chunk : chunks[layer]) {
            FrameTag tag = asked[chunk];
            if (tag != null && !placement.holds(rank, chunk)) {
                transport.fetched(placement.owner(chunk), tag, views.chunk(chunk).segment());
            }
        }
        complete[windows.window(layer)] = true;
    }
}
