package castalia.workers.rank;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.kernels.Device;
import castalia.kernels.reference.ReferenceDevice;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.LocalSpace;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.step.ReductionTree;
import castalia.protocol.step.ReductionTree.Node;
import castalia.protocol.step.VirtualRanks;
import castalia.workers.model.FlatViews;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class GradientFoldTest {

    private static final ChunkGrid GRID = ChunkGrid.of(FlatLayout.of(
            new ModelShape(1, 4, 2, 8, 6, 4, 2, 10000, 1e-5, true, Gelu.ERF, 1), 1));
    private static final LocalSpace SPACE = LocalSpace.whole(GRID);
    private static final int ELEMENTS = Math.toIntExact(GRID.layout().elements());

    /** A gradient whose sums depend on their order. */
    private static float[] leaf(int virtualRank) {
        float[] values = new float[ELEMENTS];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) Math.sin(1 + virtualRank * 31.7 + i) * (1 << (virtualRank % 7));
        }
        return values;
    }

    private static float[] sum(Node node) {
        if (node.count() == 1) {
            return leaf(node.first());
        }
        int half = Integer.highestOneBit(node.count() - 1);
        float[] left = sum(new Node(node.first(), half));
        float[] right = sum(new Node(node.first() + half, node.count() - half));
        for (int i = 0; i < left.length; i++) {
            left[i] += right[i];
        }
        return left;
    }

    private static int depth(int leaves) {
        return leaves == 1 ? 0 : 1 + depth(Integer.highestOneBit(leaves - 1));
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 5, 7, 8, 12, 16})
    void everyNodeOfTheCoverIsFoldedInTheOrderOfTheTreeWithFewBuffers(int virtualRanks) {
        try (Device device = new ReferenceDevice()) {
            for (int ranks = 1; ranks <= virtualRanks; ranks++) {
                for (VirtualRanks.Block block : VirtualRanks.blocks(virtualRanks, ranks)) {
                    List<Node> cover = ReductionTree.cover(virtualRanks, block);
                    try (FoldBuffers memory = new FoldBuffers(GRID, device::arena)) {
                        check(new GradientFold(cover, device.kernels(), SPACE,
                                memory.take(SPACE, ReductionTree.buffers(cover))), cover, block);
                        long buffers = memory.allocatedBytes() / (4L * ELEMENTS);
                        int deepest = cover.stream().mapToInt(n -> depth(n.count())).max().orElse(0);
                        assertThat(buffers)
                                .as("block %s of %d", block, virtualRanks)
                                .isEqualTo(ReductionTree.buffers(cover))
                                .isLessThanOrEqualTo(deepest + 1 + cover.size() - 1);
                    }
                }
            }
        }
    }

    private static void check(GradientFold fold, List<Node> cover, VirtualRanks.Block block) {
        for (int step = 0; step < 2; step++) {
            List<Integer> order = new ArrayList<>();
            Set<Integer> finished = new HashSet<>();
            FlatViews[] folded = fold.fold((virtualRank, into, layerDone) -> {
                order.add(virtualRank);
                into.flat().segment().copyFrom(MemorySegment.ofArray(leaf(virtualRank)));
                layerDone.accept(2);
            }, (chunk, of) -> {
                assertThat(finished.add(chunk)).isTrue();
                for (FlatViews one : of) {
                    assertThat(one.chunk(chunk).elements()).isPositive();
                }
            }, step == 0);
            assertThat(finished).hasSize(GRID.size());
            List<Integer> ascending = new ArrayList<>();
            for (int v = block.first(); v < block.end(); v++) {
                ascending.add(v);
            }
            assertThat(order).isEqualTo(ascending);
            assertThat(folded).hasSameSizeAs(cover);
            for (int i = 0; i < folded.length; i++) {
                assertThat(folded[i].flat().segment().toArray(ValueLayout.JAVA_FLOAT))
                        .isEqualTo(sum(cover.get(i)));
            }
        }
    }

    @Test
    void sixteenVirtualRanksOfOneRankTakeFiveBuffers() {
        assertThat(ReductionTree.buffers(List.of(ReductionTree.root(16)))).isEqualTo(5);
        assertThat(ReductionTree.buffers(List.of(ReductionTree.root(1)))).isEqualTo(1);
        assertThat(ReductionTree.buffers(List.of(new Node(1, 1), new Node(2, 2)))).isEqualTo(3);
    }

    @Test
    void buffersAreKeptWhileTheirNumberGrowsAndShrinks() {
        try (Device device = new ReferenceDevice();
                FoldBuffers memory = new FoldBuffers(GRID, device::arena)) {
            List<FlatViews> three = memory.take(SPACE, 3);
            assertThat(memory.take(SPACE, 2)).isEqualTo(three.subList(0, 2));
            assertThat(memory.allocatedBytes()).isEqualTo(8L * ELEMENTS);
            assertThat(memory.take(SPACE, 4).subList(0, 2)).isEqualTo(three.subList(0, 2));
            assertThat(memory.allocatedBytes()).isEqualTo(16L * ELEMENTS);
        }
    }
}
