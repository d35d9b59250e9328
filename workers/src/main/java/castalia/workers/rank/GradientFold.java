package castalia.workers.rank;

import castalia.kernels.Kernels;
import castalia.protocol.step.ReductionTree.Node;
import castalia.workers.model.FlatViews;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.List;

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

    /** Computes the gradient of one virtual rank. */
    @FunctionalInterface
    interface Leaf {
        /** Writes every element of {@code into}. */
        void compute(int virtualRank, FlatViews into);
    }

    /**
     * A fold of {@code cover}.
     *
     * @param buffers F32 buffers to fold in, as many as {@link #buffers} says
     */
    GradientFold(List<Node> cover, Kernels kernels, List<FlatViews> buffers) {
        if (buffers.size() != buffers(cover)) {
            throw new IllegalArgumentException(
                    buffers.size() + " buffers to fold in instead of " + buffers(cover));
        }
        this.cover = cover;
        this.kernels = kernels;
        this.folded = new FlatViews[cover.size()];
        this.all = List.copyOf(buffers);
    }

    /** Full buffers that folding a cover takes: the results so far and those of the next node. */
    static int buffers(List<Node> cover) {
        int most = 0;
        for (int i = 0; i < cover.size(); i++) {
            most = Math.max(most, i + buffers(cover.get(i)));
        }
        return most;
    }

    private static int buffers(Node node) {
        return node.isLeaf() ? 1 : Math.max(buffers(node.left()), 1 + buffers(node.right()));
    }

    /** Folds every node of the cover; the result is valid until the next call. */
    FlatViews[] fold(Leaf leaf) {
        free.clear();
        free.addAll(all);
        for (int i = 0; i < folded.length; i++) {
            folded[i] = fold(cover.get(i), leaf);
        }
        return folded;
    }

    private FlatViews fold(Node node, Leaf leaf) {
        if (node.isLeaf()) {
            FlatViews into = free.pop();
            leaf.compute(node.first(), into);
            return into;
        }
        FlatViews left = fold(node.left(), leaf);
        FlatViews right = fold(node.right(), leaf);
        kernels.add(left.flat(), right.flat(), left.flat().elements());
        free.push(right);
        return left;
    }
}
