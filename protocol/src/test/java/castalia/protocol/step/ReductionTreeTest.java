package castalia.protocol.step;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.step.ReductionTree.Node;
import castalia.protocol.step.VirtualRanks.Block;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ReductionTreeTest {

    private static final int MOST = 40;

    @ParameterizedTest
    @CsvSource({"2, 1", "3, 2", "4, 2", "5, 4", "6, 4", "7, 4", "8, 4", "9, 8", "64, 32", "65, 64"})
    void aNodeIsSplitAtTheLargestPowerOfTwoBelowItsLeaves(int leaves, int left) {
        Node root = ReductionTree.root(leaves);
        assertThat(root.left()).isEqualTo(new Node(0, left));
        assertThat(root.right()).isEqualTo(new Node(left, leaves - left));
        Node elsewhere = new Node(100, leaves);
        assertThat(elsewhere.left()).isEqualTo(new Node(100, left));
        assertThat(elsewhere.right()).isEqualTo(new Node(100 + left, leaves - left));
    }

    /** A leaf with an even number is kept until the next one is added to it. */
    @Test
    void sumsOfLeavesThatComeOneByOneTakeAsManyBuffersAsAreKeptAtOnce() {
        for (int n = 1; n <= MOST; n++) {
            int most = 0;
            for (int leaf = 0; leaf < n; leaf += 2) {
                most = Math.max(most, Integer.bitCount(leaf) + 1);
            }
            assertThat(ReductionTree.sums(n)).as("%s leaves", n).isEqualTo(most);
        }
        assertThat(ReductionTree.sums(64)).isEqualTo(6);
    }

    @Test
    void aLeafHasNoChildren() {
        Node leaf = new Node(3, 1);
        assertThat(leaf.isLeaf()).isTrue();
        assertThatThrownBy(leaf::left).hasMessage("leaf 3 has no children");
        assertThatThrownBy(leaf::right).isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> new Node(0, 0)).hasMessage("node of 0 leaves from 0");
        assertThatThrownBy(() -> ReductionTree.cover(4, new Block(3, 2)))
                .hasMessage("Block[first=3, count=2] does not lie in 4 leaves");
    }

    @Test
    void aCoverConsistsOfNodesOfTheTreeThatTileTheBlock() {
        for (int n = 1; n <= MOST; n++) {
            List<Node> all = nodes(n);
            for (int first = 0; first < n; first++) {
                for (int count = 1; first + count <= n; count++) {
                    int next = first;
                    for (Node node : ReductionTree.cover(n, new Block(first, count))) {
                        assertThat(all).contains(node);
                        assertThat(node.first()).isEqualTo(next);
                        next = node.end();
                    }
                    assertThat(next).isEqualTo(first + count);
                }
            }
        }
    }

    @Test
    void aCoverIsAsSmallAsNodesOfTheTreeAllow() {
        for (int n = 1; n <= MOST; n++) {
            List<Node> all = nodes(n);
            for (int first = 0; first < n; first++) {
                for (int count = 1; first + count <= n; count++) {
                    assertThat(ReductionTree.cover(n, new Block(first, count)))
                            .hasSize(fewest(all, first, first + count));
                }
            }
        }
    }

    /** The fewest nodes that tile [first, end), by dynamic programming over all nodes. */
    private static int fewest(List<Node> all, int first, int end) {
        int[] fewest = new int[end + 1];
        for (int at = end - 1; at >= first; at--) {
            fewest[at] = Integer.MAX_VALUE;
            for (Node node : all) {
                if (node.first() == at && node.end() <= end
                        && fewest[node.end()] != Integer.MAX_VALUE) {
                    fewest[at] = Math.min(fewest[at], 1 + fewest[node.end()]);
                }
            }
        }
        return fewest[first];
    }

    @Test
    void ranksThatFoldTheirCoversAndAnOwnerThatFinishesGiveTheBitsOfTheTree() {
        Random random = new Random(5);
        for (int n = 1; n <= MOST; n++) {
            double[] values = random.doubles(n, -1e10, 1e10).toArray();
            values[random.nextInt(n)] = 1e-7;
            double whole = ReductionTree.sum(values);
            assertThat(whole).isEqualTo(fold(ReductionTree.root(n), values, Map.of()));
            for (int ranks = 1; ranks <= n; ranks++) {
                Map<Integer, Part> parts = new TreeMap<>();
                for (Block block : VirtualRanks.blocks(n, ranks)) {
                    for (Node node : ReductionTree.cover(n, block)) {
                        parts.put(node.first(),
                                new Part(node, fold(node, values, Map.of())));
                    }
                }
                assertThat(fold(ReductionTree.root(n), new double[n], parts))
                        .as("%d leaves on %d ranks", n, ranks)
                        .isEqualTo(whole);
            }
        }
    }

    @Test
    void theOrderOfTheTreeMatters() {
        double[] values = {1, 1e-16, 1e-16, 1e-16, 1e-16};
        double ascending = 0;
        for (double value : values) {
            ascending += value;
        }
        assertThat(ReductionTree.sum(new double[] {1e-16, 1e-16, 1, 1e-16}))
                .isEqualTo((1e-16 + 1e-16) + (1 + 1e-16));
        assertThat(ascending).isEqualTo(1);
        assertThat(ReductionTree.sum(new double[] {})).isZero();
        assertThat(ReductionTree.sum(new double[] {-0.0})).isEqualTo(-0.0);
    }

    private record Part(Node node, double sum) {}

    private static double fold(Node node, double[] values, Map<Integer, Part> parts) {
        Part part = parts.get(node.first());
        if (part != null && part.node().equals(node)) {
            return part.sum();
        }
        return node.isLeaf()
                ? values[node.first()]
                : fold(node.left(), values, parts) + fold(node.right(), values, parts);
    }

    private static List<Node> nodes(int leaves) {
        List<Node> found = new ArrayList<>();
        List<Node> open = new ArrayList<>(List.of(ReductionTree.root(leaves)));
        while (!open.isEmpty()) {
            Node node = open.removeLast();
            found.add(node);
            if (!node.isLeaf()) {
                open.add(node.left());
                open.add(node.right());
            }
        }
        assertThat(found).hasSize(2 * leaves - 1);
        return found;
    }
}
