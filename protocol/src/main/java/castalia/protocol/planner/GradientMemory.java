package castalia.protocol.planner;

import castalia.protocol.layout.Placement;
import castalia.protocol.step.ReductionTree;
import castalia.protocol.step.ReductionTree.Node;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Bytes of fp32 gradients that ranks need to fold virtual ranks in the order of the canonical tree.
 *
 * <p>ZeRO 0 and 1: a rank folds what it computes in buffers of all it uses, log2(b)+1 of them for a
 * complete block of b virtual ranks; an owner that computes neither of the first two parts of the tree
 * has memory for the sum. ZeRO 2 and 3: one buffer of all a rank uses, from which each virtual rank's
 * gradient leaves (windows of a few layers with ZeRO 3, where a virtual rank is one micro-batch), and
 * log2(V) of what it owns.
 */
final class GradientMemory {

    private final Placement placement;
    private final List<List<Node>> covers = new ArrayList<>();
    private final Map<Node, Integer> folders = new HashMap<>();
    private final int ofLeaves;

    GradientMemory(Placement placement) {
        this.placement = placement;
        this.ofLeaves = ReductionTree.sums(placement.virtualRanks());
        for (int d = 0; folds() && d < placement.layout().dataParallel(); d++) {
            List<Node> cover =
                    ReductionTree.cover(placement.virtualRanks(), placement.blockOf(d));
            covers.add(cover);
            for (Node node : cover) {
                folders.put(node, d);
            }
        }
    }

    /** Whether ranks fold what they compute. */
    private boolean folds() {
        return placement.layout().zero() < 2;
    }

    /** Parts of a chunk's gradient that a replica sends in a step. */
    int parts(int replica) {
        return folds() ? covers.get(replica).size() : placement.blockOf(replica).count();
    }

    /** Buffers of all that a rank uses. */
    int full(int rank) {
        return !placement.computes(rank) ? 0
                : folds() ? ReductionTree.buffers(covers.get(placement.replica(rank))) : 1;
    }

    /** Buffers of owned chunks, besides those of all that its owner uses. */
    int ofOwned(ChunkGroup group) {
        if (!folds()) {
            return ofLeaves;
        }
        int own = ownReplica(group);
        return own >= 0 && home(ReductionTree.root(placement.virtualRanks()), own) == own ? 0 : 1;
    }

    /**
     * Parts from others that an owner keeps at once while it sums, each as long as the longest chunk.
     *
     * @param replica whose parts are the owner's own, or -1
     */
    int received(int replica) {
        return folds() ? received(ReductionTree.root(placement.virtualRanks()), replica, true)
                : placement.virtualRanks() > 1 ? 1 : 0;
    }

    /** @param whole whether the node's sum is the chunk's, which has memory of its own */
    private int received(Node node, int replica, boolean whole) {
        int by = folder(node);
        if (by >= 0) {
            return whole || by == replica ? 0 : 1;
        }
        if (isAddedToOwn(node, replica)) {
            return 1;
        }
        int left = whole || home(node.left(), replica) == replica ? 0 : 1;
        return Math.max(received(node.left(), replica, whole),
                left + received(node.right(), replica, false));
    }

    /** The replica in whose part's memory an owner, whose own part a replica's is, forms a sum. */
    private int home(Node node, int replica) {
        return folder(node) >= 0 ? folder(node)
                : isAddedToOwn(node, replica) ? replica : home(node.left(), replica);
    }

    /** Whether a node is the sum of another's part and an owner's, in this order. */
    private boolean isAddedToOwn(Node node, int replica) {
        int left = folder(node.left());
        return left >= 0 && left != replica && folder(node.right()) == replica;
    }

    /** The replica that folds a node, or -1 if several have parts of it. */
    private int folder(Node node) {
        return folders.getOrDefault(node, -1);
    }

    /** The replica whose part of chunks their owner computes itself, or -1. */
    int ownReplica(ChunkGroup group) {
        if (!placement.computes(group.owner())) {
            return -1;
        }
        int replica = placement.replica(group.owner());
        return placement.source(replica, group.chunk()) == group.owner() ? replica : -1;
    }
}
