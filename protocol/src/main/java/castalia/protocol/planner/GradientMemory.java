package castalia.protocol.planner;

import castalia.protocol.layout.Placement;
import castalia.protocol.step.ReductionTree;
import castalia.protocol.step.ReductionTree.Node;
import castalia.protocol.step.TreeSum;
import java.util.ArrayList;
import java.util.List;

/**
 * Bytes of fp32 gradients that ranks need to fold virtual ranks in the order of the canonical tree.
 *
 * <p>ZeRO 0 and 1: a rank folds what it computes in buffers of all it uses, log2(b)+1 of them for a
 * complete block of b virtual ranks; an owner that computes nothing of a chunk has memory for its sum.
 * ZeRO 2 and 3: one buffer of all a rank uses, from which each virtual rank's gradient leaves (windows of
 * a few layers with ZeRO 3, where a virtual rank is one micro-batch), and log2(V) of what it owns.
 */
final class GradientMemory {

    private final Placement placement;
    private final List<List<Node>> covers = new ArrayList<>();
    private final TreeSum sum;
    private final int ofLeaves;

    GradientMemory(Placement placement) {
        this.placement = placement;
        this.ofLeaves = ReductionTree.sums(placement.virtualRanks());
        for (int d = 0; folds() && d < placement.layout().dataParallel(); d++) {
            covers.add(ReductionTree.cover(placement.virtualRanks(), placement.blockOf(d)));
        }
        this.sum = folds() ? TreeSum.of(placement.virtualRanks(), covers) : new TreeSum(List.of());
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
        return !folds() ? ofLeaves : ownReplica(group) >= 0 ? 0 : 1;
    }

    /**
     * Working memory of an owner while it sums, in chunks of the longest's length.
     *
     * @param replica whose parts are the owner's own, or -1
     */
    int working(int replica) {
        return folds() ? sum.chunks(replica) : placement.virtualRanks() > 1 ? 1 : 0;
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
