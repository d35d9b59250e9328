package castalia.protocol.step;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.step.ReductionTree.Node;
import castalia.protocol.step.TreeSum.Part;
import castalia.protocol.step.TreeSum.Step;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

class TreeSumTest {

    private static final int MOST = 24;

    private static List<List<Node>> covers(int virtualRanks, int replicas) {
        return VirtualRanks.blocks(virtualRanks, replicas).stream()
                .map(block -> ReductionTree.cover(virtualRanks, block)).toList();
    }

    /** An addition whose terms have no order, as the bits of its result do not depend on that. */
    private static String plus(String x, String y) {
        return x.compareTo(y) < 0 ? "(" + x + "+" + y + ")" : "(" + y + "+" + x + ")";
    }

    private static String canonical(Node node, List<List<Node>> covers) {
        return covers.stream().anyMatch(cover -> cover.contains(node))
                ? node.toString()
                : plus(canonical(node.left(), covers), canonical(node.right(), covers));
    }

    /** What a kernel does with some partial sums. */
    private static String kernel(List<String> terms) {
        if (terms.size() == 1) {
            return terms.getFirst();
        }
        int left = new Node(0, terms.size()).left().count();
        return plus(kernel(terms.subList(0, left)), kernel(terms.subList(left, terms.size())));
    }

    private static String evaluate(TreeSum sum) {
        Deque<String> stack = new ArrayDeque<>();
        for (Step step : sum.steps()) {
            String result = kernel(step.parts().stream().map(p -> p.node().toString()).toList());
            for (int i = 0; i < step.additions(); i++) {
                result = plus(stack.pop(), result);
            }
            stack.push(result);
        }
        assertThat(stack).hasSize(1);
        return stack.pop();
    }

    @Test
    void theStepsAddWhatTheTreeAdds() {
        for (int v = 1; v <= MOST; v++) {
            for (int d = 1; d <= v; d++) {
                List<List<Node>> covers = covers(v, d);
                assertThat(evaluate(TreeSum.of(v, covers))).as("%s virtual ranks, %s replicas", v, d)
                        .isEqualTo(canonical(ReductionTree.root(v), covers));
            }
        }
    }

    @Test
    void everyPartIsTakenOnceAndAFewAtATime() {
        for (int v = 1; v <= MOST; v++) {
            for (int d = 1; d <= v; d++) {
                List<List<Node>> covers = covers(v, d);
                TreeSum sum = TreeSum.of(v, covers);
                List<Part> all = sum.steps().stream().flatMap(s -> s.parts().stream()).toList();
                assertThat(new HashSet<>(all)).hasSameSizeAs(all)
                        .hasSize(covers.stream().mapToInt(List::size).sum());
                for (Part part : all) {
                    assertThat(covers.get(part.replica()).get(part.position())).isEqualTo(part.node());
                }
                for (Step step : sum.steps()) {
                    assertThat(step.parts()).hasSizeBetween(1, TreeSum.MOST_PARTS);
                }
            }
        }
    }

    @Test
    void upToFourEqualReplicasTakeOneStepAndSixtyFourSixteen() {
        for (int d = 1; d <= 4; d++) {
            assertThat(TreeSum.of(d, covers(d, d)).steps()).hasSize(1);
        }
        assertThat(TreeSum.of(64, covers(64, 64)).steps()).hasSize(16)
                .allSatisfy(step -> assertThat(step.parts()).hasSize(4));
        assertThat(TreeSum.of(5, covers(5, 5)).steps().stream().map(Step::additions)).containsExactly(0, 1);
    }

    /** Counts what an owner keeps by doing what it does, with a name for each place. */
    @Test
    void workingMemoryIsWhatPartsAndResultsTake() {
        for (int v = 1; v <= MOST; v++) {
            for (int d = 1; d <= v; d++) {
                TreeSum sum = TreeSum.of(v, covers(v, d));
                for (int own = -1; own < d; own++) {
                    int replica = own;
                    int received = sum.steps().stream().mapToInt(s -> (int) s.parts().stream()
                            .filter(p -> p.replica() != replica).count()).max().orElse(0);
                    int results = results(sum, replica) - (replica < 0 ? 1 : 0);
                    assertThat(sum.chunks(replica)).as("%s, %s, %s", v, d, replica)
                            .isEqualTo(received + results);
                    assertThat(results).isLessThanOrEqualTo(
                            ReductionTree.buffers(new Node(0, sum.steps().size())));
                }
            }
        }
        assertThat(TreeSum.of(64, covers(64, 64)).chunks(0)).isEqualTo(8);
        assertThat(TreeSum.of(64, covers(64, 64)).chunks(63)).isEqualTo(8);
    }

    private static int results(TreeSum sum, int replica) {
        List<Set<Part>> stack = new ArrayList<>(); // the parts under each result
        int most = 0;
        for (Step step : sum.steps()) {
            Set<Part> result = new HashSet<>(step.parts());
            boolean onlyAdded = step.parts().size() == 1 && step.additions() > 0;
            int kept = (int) stack.stream().filter(under -> !hasOwn(under, replica)).count();
            most = Math.max(most, kept + (onlyAdded || hasOwn(result, replica) ? 0 : 1));
            for (int i = 0; i < step.additions(); i++) {
                result.addAll(stack.removeLast());
            }
            stack.add(result);
        }
        return most;
    }

    private static boolean hasOwn(Set<Part> parts, int replica) {
        return parts.stream().anyMatch(part -> part.replica() == replica);
    }
}
