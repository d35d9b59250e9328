package castalia.protocol.step;

import castalia.protocol.step.ReductionTree.Node;
import java.util.ArrayList;
import java.util.List;

/**
 * How the sum over virtual ranks is finished from the nodes that replicas folded: in steps that each sum
 * a small subtree at once, and then add results of earlier steps to it. What is added to what is the
 * tree's; only the two terms of one addition may be swapped, which changes no bit.
 *
 * <p>Everybody who knows the placement knows the steps: who has several parts of a step sends them in its
 * order.
 *
 * @param steps in order; each leaves one result on a stack, after its additions
 */
public record TreeSum(List<Step> steps) {

    /** Most parts of a step: what fits in a core's cache, a piece of each. */
    public static final int MOST_PARTS = 4;

    public TreeSum {
        steps = List.copyOf(steps);
    }

    /**
     * A node that a replica folded.
     *
     * @param position its place in the replica's cover
     * @param node of the tree over virtual ranks
     */
    public record Part(int replica, int position, Node node) {}

    /**
     * Sums parts by the canonical tree over their number, then adds results from the top of the stack.
     *
     * @param parts one to {@link #MOST_PARTS}
     * @param additions results of earlier steps that are added to it, one after the other
     */
    public record Step(List<Part> parts, int additions) {

        public Step {
            parts = List.copyOf(parts);
        }

        /** Whether the step is a part of another replica's that is only added to the result before it. */
        public boolean isAdded(int replica) {
            return parts.size() == 1 && additions > 0 && parts.getFirst().replica() != replica;
        }

        /** How many parts are not of a replica. */
        public int received(int replica) {
            return (int) parts.stream().filter(part -> part.replica() != replica).count();
        }

        /** The first part of a replica, or -1. */
        public int own(int replica) {
            for (int i = 0; i < parts.size(); i++) {
                if (parts.get(i).replica() == replica) {
                    return i;
                }
            }
            return -1;
        }
    }

    /** A subtree whose parts are in the order in which they are taken. */
    private record Subtree(List<Part> parts, List<Step> steps) {

        boolean isOneStep() {
            return steps.isEmpty();
        }

        List<Step> stepsAdding(int additions) {
            if (isOneStep()) {
                return List.of(new Step(parts, additions));
            }
            List<Step> all = new ArrayList<>(steps);
            Step last = all.removeLast();
            all.add(new Step(last.parts(), last.additions() + additions));
            return all;
        }
    }

    /**
     * The sum over {@code virtualRanks}.
     *
     * @param covers by replica the nodes it folds, see {@link ReductionTree#cover}
     */
    public static TreeSum of(int virtualRanks, List<List<Node>> covers) {
        return new TreeSum(subtree(ReductionTree.root(virtualRanks), covers).stepsAdding(0));
    }

    private static Subtree subtree(Node node, List<List<Node>> covers) {
        for (int replica = 0; replica < covers.size(); replica++) {
            int position = covers.get(replica).indexOf(node);
            if (position >= 0) {
                return new Subtree(List.of(new Part(replica, position, node)), List.of());
            }
        }
        Subtree left = subtree(node.left(), covers);
        Subtree right = subtree(node.right(), covers);
        boolean swap = right.parts.size() > left.parts.size(); // fewer results are kept then
        Subtree first = swap ? right : left;
        Subtree second = swap ? left : right;
        List<Part> parts = new ArrayList<>(first.parts);
        parts.addAll(second.parts);
        if (first.isOneStep() && second.isOneStep() && isCanonical(first.parts.size(), second.parts.size())) {
            return new Subtree(parts, List.of());
        }
        List<Step> steps = new ArrayList<>(first.stepsAdding(0));
        steps.addAll(second.stepsAdding(1));
        return new Subtree(parts, steps);
    }

    /** Whether the canonical tree over both numbers of parts is cut between them. */
    private static boolean isCanonical(int first, int second) {
        return first + second <= MOST_PARTS && new Node(0, first + second).left().count() == first;
    }

    /**
     * Working memory of who sums a chunk, in chunks: the parts of others that a step takes and the results
     * that are kept at once. A result lies where one of the replica's own parts does if there is one under
     * it; where the replica has none, one of them has memory of its own, that of the chunk's sum.
     *
     * @param replica whose parts may be summed into, or -1
     */
    public int chunks(int replica) {
        int most = 0;
        List<Boolean> own = new ArrayList<>(); // of the results on the stack
        for (Step step : steps) {
            own.add(step.own(replica) >= 0 || step.isAdded(replica));
            most = Math.max(most, (int) own.stream().filter(each -> !each).count());
            for (int i = 0; i < step.additions(); i++) {
                boolean top = own.removeLast() && !(i == 0 && step.isAdded(replica));
                own.add(own.removeLast() || top);
            }
        }
        return received(replica) + most - (replica < 0 ? 1 : 0);
    }

    /** Most parts that are not of a replica in one step. */
    public int received(int replica) {
        return steps.stream().mapToInt(step -> step.received(replica)).max().orElse(0);
    }
}
