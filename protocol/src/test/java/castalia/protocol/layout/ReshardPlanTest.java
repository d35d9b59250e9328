package castalia.protocol.layout;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.model.PythiaModels;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;

class ReshardPlanTest {

    private static final int V = 8;
    private static final int T = 8;
    private static final ChunkGrid GRID = ChunkGrid.of(
            FlatLayout.of(PythiaModels.named("70m").orElseThrow().shape(), T));

    /** What each rank holds: per chunk the content, here a name for it; see ReshardStateTest for elements. */
    private static List<Map<Integer, Long>> saved(Placement placement) {
        List<Map<Integer, Long>> ranks = new ArrayList<>();
        for (int r = 0; r < placement.ranks(); r++) {
            ranks.add(new TreeMap<>());
        }
        for (int c = 0; c < placement.chunks(); c++) {
            for (int r : placement.holders(c)) {
                ranks.get(r).put(c, content(c));
            }
        }
        return ranks;
    }

    private static long content(int chunk) {
        return (chunk + 1) * 0x9E3779B97F4A7C15L;
    }

    private static List<List<Integer>> holders(Placement placement) {
        return IntStream.range(0, placement.chunks())
                .mapToObj(c -> IntStream.of(placement.holders(c)).boxed().toList()).toList();
    }

    @Test
    @Tag("default")
    void everyLayoutBecomesEveryOther() {
        List<ParallelLayout> layouts = ReshardStateTest.layouts();
        assertThat(layouts).hasSize(96);
        for (ParallelLayout from : layouts) {
            Placement before = Placement.of(GRID, V, from);
            List<List<Integer>> holders = holders(before);
            for (ParallelLayout to : layouts) {
                Placement target = Placement.of(
                        GRID, V, to, Math.max(from.ranks(), to.ranks()));
                List<String> nodes = Collections.nCopies(target.ranks(), "node");
                change(from + " to " + to, before, target,
                        ReshardPlan.of(GRID, target, holders, nodes));
            }
        }
    }

    private static void change(
            String what, Placement before, Placement target, ReshardPlan plan) {
        List<Map<Integer, Long>> ranks = saved(before);
        while (ranks.size() < target.ranks()) {
            ranks.add(new TreeMap<>());
        }
        assertThat(plan.missing()).as(what).isEmpty();
        for (ReshardPlan.Move move : plan.moves()) {
            for (int c = move.first(); c < move.end(); c++) {
                Long sent = ranks.get(move.from()).get(c);
                assertThat(sent).as("%s: %s", what, move).isNotNull();
                assertThat(ranks.get(move.to()).put(c, content(c)))
                        .as("%s: %s is there already", what, move).isNull();
            }
        }
        for (int c = 0; c < target.chunks(); c++) {
            for (int r : target.holders(c)) {
                if (!Long.valueOf(content(c)).equals(ranks.get(r).get(c))) {
                    assertThat(ranks.get(r).get(c)).as("%s: chunk %d of rank %d", what, c, r)
                            .isEqualTo(content(c));
                }
            }
        }
    }

    @Test
    void nothingMovesWhereNothingChanges() {
        for (ParallelLayout layout : ReshardStateTest.layouts()) {
            Placement placement = Placement.of(GRID, V, layout);
            assertThat(ReshardPlan.of(GRID, placement, holders(placement),
                    Collections.nCopies(placement.ranks(), "node")).moves()).isEmpty();
        }
    }

    @Test
    void whatNobodyHoldsIsReadFromFiles() {
        Placement target = Placement.of(GRID, V, 2);
        List<List<Integer>> holders = new ArrayList<>(holders(target));
        holders.set(3, List.of());
        ReshardPlan plan = ReshardPlan.of(GRID, target, holders, List.of("a", "b"));
        assertThat(plan.missing()).containsExactly(3);
        assertThat(plan.moves()).isEmpty();
    }

    @Test
    void aHolderOnTheReceiversNodeSendsAndNeighboursTravelTogether() {
        Placement target = Placement.of(new ParallelLayout(4, 1, 0, 0), V, T, 4,
                Placement.Holdings.of(GRID, new int[GRID.size()]));
        List<List<Integer>> holders = Collections.nCopies(GRID.size(), List.of(0, 2));
        ReshardPlan plan =
                ReshardPlan.of(GRID, target, holders, List.of("a", "a", "b", "b"));
        assertThat(plan.moves()).containsExactly(
                new ReshardPlan.Move(0, GRID.size(), 0, 1),
                new ReshardPlan.Move(0, GRID.size(), 2, 3));
        assertThat(plan.elements(GRID)).isEqualTo(2 * GRID.layout().elements());
    }
}
