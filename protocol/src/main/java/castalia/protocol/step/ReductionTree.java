package castalia.protocol.step;

import java.util.ArrayList;
import java.util.List;

/**
 * The canonical binary tree over n leaves: a node of more than one leaf is split at the largest
 * power of two below its number of leaves. Sums are taken child by child, left plus right.
 */
public final class ReductionTree {

    private ReductionTree() {}

    /**
     * A node, named by the leaves under it.
     *
     * @param first first leaf
     * @param count number of leaves
     */
    public record Node(int first, int count) {
        public Node {
            if (first < 0 || count < 1) {
                throw new IllegalArgumentException("node of " + count + " leaves from " + first);
            }
        }

        public boolean isLeaf() {
            return count == 1;
        }

        /** The left child; only for nodes that are no leaf. */
        public Node left() {
            return new Node(first, split());
        }

        /** The right child; only for nodes that are no leaf. */
        public Node right() {
            return new Node(first + split(), count - split());
        }

        private int split() {
            if (count == 1) {
                throw new IllegalStateException("leaf " + first + " has no children");
            }
            return Integer.highestOneBit(count - 1);
        }

        /** One past the last leaf. */
        public int end() {
            return first + count;
        }
    }

    /** The root over {@code leaves} leaves. */
    public static Node root(int leaves) {
        return new Node(0, leaves);
    }

    /**
     * The largest complete nodes of the tree over {@code leaves} that lie inside the block, in
     * ascending order: what a rank that computes the block can fold by itself.
     */
    public static List<Node> cover(int leaves, VirtualRanks.Block block) {
        if (block.end() > leaves) {
            throw new IllegalArgumentException(block + " does not lie in " + leaves + " leaves");
        }
        if (block.stride() > 1 && block.count() > 1) {
            throw new IllegalArgumentException(block + " is not contiguous");
        }
        List<Node> cover = new ArrayList<>();
        collect(root(leaves), block, cover);
        return List.copyOf(cover);
    }

    private static void collect(Node node, VirtualRanks.Block block, List<Node> cover) {
        if (node.first() >= block.end() || node.end() <= block.first()) {
            return;
        }
        if (node.first() >= block.first() && node.end() <= block.end()) {
            cover.add(node);
            return;
        }
        collect(node.left(), block, cover);
        collect(node.right(), block, cover);
    }

    /** Buffers that folding a cover leaf by leaf takes: the results so far and those of the next node. */
    public static int buffers(List<Node> cover) {
        int most = 0;
        for (int i = 0; i < cover.size(); i++) {
            most = Math.max(most, i + buffers(cover.get(i)));
        }
        return most;
    }

    /** Buffers that folding a node leaf by leaf takes: log2(b)+1 where b leaves are a power of two. */
    public static int buffers(Node node) {
        return node.isLeaf() ? 1 : Math.max(buffers(node.left()), 1 + buffers(node.right()));
    }

    /**
     * Buffers that summing leaves takes where each second one is added as it comes: log2(n) where n
     * leaves are a power of two above 1.
     */
    public static int sums(int leaves) {
        return Integer.SIZE - Integer.numberOfLeadingZeros((leaves + 1) / 2);
    }

    /** Sums {@code values} in the order of the tree. */
    public static double sum(double[] values) {
        return values.length == 0 ? 0 : sum(values, root(values.length));
    }

    private static double sum(double[] values, Node node) {
        return node.isLeaf()
                ? values[node.first()]
                : sum(values, node.left()) + sum(values, node.right());
    }
}
