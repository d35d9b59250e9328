package castalia.workers.rank;

import castalia.kernels.Buffer;
import castalia.kernels.Kernels;
import castalia.protocol.layout.LocalSpace;
import castalia.protocol.step.ReductionTree;
import castalia.protocol.step.ReductionTree.Node;
import castalia.workers.model.FlatViews;
import castalia.workers.model.NeoxModel;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.function.IntConsumer;

/**
 * Folds the gradients of a rank's virtual ranks into the complete subtrees it covers, with no more
 * full buffers than the tree is deep.
 */
final class GradientFold {

    private final List<Node> cover;
    private final Kernels kernels;
    private final Deque<FlatViews> free = new ArrayDeque<>();
    private final FlatViews[] folded;
    private final List<FlatViews> all;
    private final ByLayer layers;

    /** Computes the gradient of one virtual rank. */
    @FunctionalInterface
    interface Leaf {
        /**
         * Writes every element of {@code into}.
         *
         * @param layerDone may be told when the gradient of a layer will not change any more
         */
        void compute(int virtualRank, FlatViews into, IntConsumer layerDone);
    }

    /** Takes chunks whose folded gradients are final. */
    @FunctionalInterface
    interface Finished {
        /** Takes a chunk of all folded gradients. */
        void chunk(int chunk, FlatViews[] folded);
    }

    /**
     * A fold of {@code cover}.
     *
     * @param space what the buffers are of
     * @param buffers F32 buffers to fold in, as many as {@link ReductionTree#buffers} says
     */
    GradientFold(
            List<Node> cover, Kernels kernels, LocalSpace space, List<FlatViews> buffers) {
        if (buffers.size() != ReductionTree.buffers(cover)) {
            throw new IllegalArgumentException(
                    buffers.size() + " buffers to fold in instead of " + ReductionTree.buffers(cover));
        }
        this.cover = cover;
        this.kernels = kernels;
        this.folded = new FlatViews[cover.size()];
        this.all = List.copyOf(buffers);
        this.layers = new ByLayer(space.grid(), space.chunks());
    }

    /**
     * Folds every node of the cover; the result is valid until the next call.
     *
     * @param finished told of every chunk when its folded gradients are final, the last layer first,
     *     while the last virtual rank's backward pass goes on
     * @param early whether it wants to be told before that pass is over
     */
    FlatViews[] fold(Leaf leaf, Finished finished, boolean early) {
        free.clear();
        free.addAll(all);
        layers.begin();
        for (int i = 0; i < folded.length; i++) {
            fold(i, leaf, finished, early);
        }
        return folded;
    }

    private void fold(int position, Leaf leaf, Finished finished, boolean early) {
        Node node = cover.get(position);
        List<FlatViews> sums = new ArrayList<>();
        for (int n = 0; n < node.count(); n++) {
            FlatViews into = free.pop();
            sums.add(into);
            folded[position] = sums.getFirst();
            boolean last = n == node.count() - 1;
            if (last && position == folded.length - 1) {
                IntConsumer each = chunk -> {
                    for (int s = sums.size() - 1; s > 0; s--) {
                        Buffer left = sums.get(s - 1).chunk(chunk);
                        kernels.add(left, sums.get(s).chunk(chunk), left.elements());
                    }
                    finished.chunk(chunk, folded);
                };
                leaf.compute(node.first() + n, into,
                        early ? layer -> layers.visit(layer, each) : NeoxModel.NOBODY);
                layers.rest(each);
            } else {
                leaf.compute(node.first() + n, into, NeoxModel.NOBODY);
                int merges = last ? sums.size() - 1 : Integer.numberOfTrailingZeros(~n);
                for (int m = 0; m < merges; m++) {
                    FlatViews right = sums.removeLast();
                    Buffer left = sums.getLast().flat();
                    kernels.add(left, right.flat(), left.elements());
                    free.push(right);
                }
            }
        }
    }
}
