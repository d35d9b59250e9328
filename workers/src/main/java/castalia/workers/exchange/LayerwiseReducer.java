package castalia.workers.exchange;

import castalia.kernels.Buffer;
import castalia.kernels.Kernels;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.Placement;
import castalia.workers.model.FlatViews;

/**
 * Reduces gradients as {@link LeafReducer} does, where no rank ever has a whole gradient: layers share
 * windows, and what is in one leaves before it is written again. For virtual ranks of one micro-batch,
 * as nothing can be accumulated.
 *
 * <p>Ranks go through a round layer by layer together, the last layer first. When one is done a rank
 * takes everybody's chunks of the layer before, waits until its own of that layer have left, and sends
 * those of this one; so a layer's exchange has the time of the next layer's backward pass. Where ranks
 * of a replica exchange tensor slices in the pass, a layer is sent, taken and gone before the next: a
 * sender's frames are then still taken in the order in which they were sent.
 */
public final class LayerwiseReducer {

    /** Stands for a rank that has no virtual rank left in a round. */
    public static final int NO_LEAF = -1;

    private final LeafReducer reducer;
    private final Transport transport;
    private final Kernels kernels;
    private final FlatViews gradient;
    private final int[][] owned;
    private final int[][] sent;
    private final int lag;
    private long generation;
    private long step;
    private int round;
    private int leaf;
    private int next;

    /**
     * A rank's reducer.
     *
     * @param gradient the windows that a backward pass writes to
     */
    public LayerwiseReducer(
            ChunkGrid grid, Placement placement, Transport transport, Kernels kernels,
            LeafReducer reducer, FlatViews gradient) {
        this.reducer = reducer;
        this.transport = transport;
        this.kernels = kernels;
        this.gradient = gradient;
        this.owned = grid.byLayer(reducer.owned());
        this.sent = grid.byLayer(reducer.sent());
        this.lag = placement.layout().tensorParallel() == 1 ? 1 : 0;
    }

    /** Begins a step; see {@link LeafReducer#begin}. */
    public void begin(long ofGeneration, long ofStep) {
        reducer.begin(ofGeneration, ofStep);
    }

    /** Rounds of a step. */
    public int rounds() {
        return reducer.rounds();
    }

    /**
     * Begins a round.
     *
     * @param virtualRank whose gradient this rank is about to compute, or {@link #NO_LEAF}
     */
    public void begin(long ofGeneration, long ofStep, int ofRound, int virtualRank) {
        generation = ofGeneration;
        step = ofStep;
        round = ofRound;
        leaf = virtualRank;
        next = owned.length - 1;
    }

    /** The gradient of a layer is in its window; every layer is told, the last first. */
    public void layerDone(int layer) {
        for (Buffer gap : gradient.padding(layer)) {
            kernels.zero(gap, gap.elements());
        }
        if (lag == 0) {
            send(layer);
        }
        fold(layer + lag);
        transport.drain();
        if (lag > 0) {
            send(layer);
        }
    }

    private void send(int layer) {
        for (int chunk : sent[layer]) {
            reducer.send(generation, step, chunk, leaf, gradient);
        }
    }

    /** Takes the chunks of the layers that are left down to one. */
    private void fold(int last) {
        for (; next >= last; next--) {
            for (int chunk : owned[next]) {
                reducer.fold(generation, step, round, chunk, gradient);
            }
        }
    }

    /** Ends a round: takes what is left of it. */
    public void end() {
        fold(0);
        transport.drain();
    }

    /** After the last round: brings finished gradients to all holders; see {@link LeafReducer#fold}. */
    public void finish() {
        reducer.finish(generation, step);
    }
}
