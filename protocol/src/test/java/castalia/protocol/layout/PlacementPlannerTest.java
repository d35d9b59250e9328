package castalia.protocol.layout;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.model.PythiaModels;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class PlacementPlannerTest {

    private static final ChunkGrid GRID =
            ChunkGrid.of(FlatLayout.of(PythiaModels.named("160m").orElseThrow().shape(), 1));
    private static final int V = 8;

    private static List<String> nodes(int ranks, int nodes) {
        return IntStream.range(0, ranks).mapToObj(r -> "n" + r % nodes).toList();
    }

    /** Who holds each chunk of a placement when one rank is gone, ranks renumbered. */
    private static List<List<Integer>> without(Placement placement, int dead) {
        List<List<Integer>> holders = new ArrayList<>();
        for (int c = 0; c < placement.chunks(); c++) {
            int chunk = c;
            holders.add(IntStream.range(0, placement.ranks())
                    .filter(r -> r != dead && placement.holds(r, chunk))
                    .mapToObj(r -> r > dead ? r - 1 : r).toList());
        }
        return holders;
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 4, 8})
    void afterADeathEveryChunkIsOwnedByARankThatHoldsIt(int ranks) {
        Placement before = Placement.of(GRID, V, ranks);
        for (int dead = 0; dead < ranks; dead++) {
            List<List<Integer>> holders = without(before, dead);
            Placement after = PlacementPlanner.of(GRID, V, holders, nodes(ranks - 1, 2));
            assertThat(after.ranks()).isEqualTo(ranks - 1);
            for (int c = 0; c < GRID.size(); c++) {
                assertThat(holders.get(c)).contains(after.owner(c));
                if (after.buddy(c) == Placement.NONE) {
                    assertThat(holders.get(c)).hasSize(1);
                } else {
                    assertThat(holders.get(c)).contains(after.buddy(c));
                }
            }
        }
    }

    @Test
    void aBuddyIsOnAnotherNodeWhereverOneHoldsTheChunk() {
        Random random = new Random(7);
        List<String> nodes = nodes(5, 3);
        List<List<Integer>> holders = new ArrayList<>();
        for (int c = 0; c < GRID.size(); c++) {
            List<Integer> ranks = new ArrayList<>(List.of(0, 1, 2, 3, 4));
            Collections.shuffle(ranks, random);
            holders.add(List.copyOf(ranks.subList(0, 1 + random.nextInt(5))));
        }
        Placement placement = PlacementPlanner.of(GRID, V, holders, nodes);
        for (int c = 0; c < GRID.size(); c++) {
            int owner = placement.owner(c);
            int buddy = placement.buddy(c);
            boolean possible = holders.get(c).stream()
                    .anyMatch(r -> !nodes.get(r).equals(nodes.get(owner)));
            if (possible) {
                assertThat(nodes.get(buddy)).isNotEqualTo(nodes.get(owner));
            }
        }
    }

    @Test
    void owningIsSharedWhereEverybodyHoldsEverything() {
        List<List<Integer>> holders =
                Collections.nCopies(GRID.size(), List.of(0, 1, 2, 3));
        Placement placement = PlacementPlanner.of(GRID, V, holders, nodes(4, 1));
        long even = GRID.layout().elements() / 4;
        for (int r = 0; r < 4; r++) {
            assertThat(Math.abs(elements(placement.owned(r)) - even))
                    .isLessThanOrEqualTo(ChunkGrid.LIMIT);
            assertThat(placement.buddied(r)).isNotEmpty();
        }
    }

    private static long elements(int[] chunks) {
        return Arrays.stream(chunks).mapToLong(c -> GRID.chunk(c).length()).sum();
    }

    @Test
    void theSameHoldersGiveTheSamePlacement() {
        List<List<Integer>> holders = without(Placement.of(GRID, V, 4), 2);
        assertThat(PlacementPlanner.of(GRID, V, holders, nodes(3, 2)))
                .isEqualTo(PlacementPlanner.of(GRID, V, holders, nodes(3, 2)))
                .isNotEqualTo(Placement.of(GRID, V, 3));
    }

    @Test
    void aChunkNobodyHoldsIsNamed() {
        List<List<Integer>> holders =
                new ArrayList<>(Collections.nCopies(GRID.size(), List.of(0)));
        holders.set(3, List.of());
        assertThatThrownBy(() -> PlacementPlanner.of(GRID, V, holders, nodes(1, 1)))
                .hasMessage("nobody holds chunk 3");
    }

    @Test
    void everyLonelyChunkAndNoOtherGetsALearnerThatIsNotItsOwner() {
        Placement placement =
                PlacementPlanner.of(GRID, V, without(Placement.of(GRID, V, 4), 1), nodes(3, 3));
        int[] learners = PlacementPlanner.secondCopies(GRID, placement, nodes(3, 3));
        assertThat(placement.alone()).isNotEmpty();
        for (int c = 0; c < GRID.size(); c++) {
            if (placement.buddy(c) == Placement.NONE) {
                assertThat(learners[c]).isBetween(0, 2).isNotEqualTo(placement.owner(c));
            } else {
                assertThat(learners[c]).isEqualTo(Placement.NONE);
            }
        }
        int[] one = PlacementPlanner.secondCopies(GRID, Placement.of(GRID, V, 1), nodes(1, 1));
        assertThat(one).containsOnly(Placement.NONE);
    }

    @Test
    void learnersOfSecondCopiesAreOnOtherNodesIfThereAreAny() {
        int[] owners = new int[GRID.size()];
        int[] buddies = new int[GRID.size()];
        Arrays.fill(buddies, Placement.NONE);
        Placement placement = Placement.of(GRID, V, 3, owners, buddies);
        int[] learners =
                PlacementPlanner.secondCopies(GRID, placement, List.of("a", "a", "b"));
        assertThat(learners).containsOnly(2);
        assertThat(PlacementPlanner.secondCopies(GRID, placement, List.of("a", "a", "a")))
                .contains(1, 2).doesNotContain(0);
    }

    @Test
    void holdersOfAChunkDoNotStayOnOneNodeOfSeveral() {
        List<String> nodes = List.of("a", "a", "b", "b");
        Placement placement = Placement.of(GRID, V, 4); // buddies are the next ranks
        List<List<Integer>> holders = new ArrayList<>();
        int[] learners = PlacementPlanner.secondCopies(GRID, placement, nodes);
        for (int c = 0; c < GRID.size(); c++) {
            List<Integer> of = new ArrayList<>(
                    Arrays.stream(placement.holders(c)).boxed().toList());
            boolean narrow = of.stream().map(nodes::get).distinct().count() == 1;
            assertThat(learners[c] != Placement.NONE).as("chunk %d", c).isEqualTo(narrow);
            if (narrow) {
                assertThat(nodes.get(learners[c])).isNotEqualTo(nodes.get(of.getFirst()));
                of.add(learners[c]);
            }
            holders.add(of);
        }
        assertThat(learners).as("some were narrow").contains(0, 2);
        Placement next = PlacementPlanner.of(GRID, V, holders, nodes);
        for (int c = 0; c < GRID.size(); c++) {
            assertThat(nodes.get(next.buddy(c))).isNotEqualTo(nodes.get(next.owner(c)));
        }
        assertThat(PlacementPlanner.secondCopies(GRID, next, nodes))
                .as("once is enough").containsOnly(Placement.NONE);
    }

    @Test
    void noRankOfASmallNodeLearnsEverythingOfALargeOne() {
        List<String> nodes = List.of("a", "a", "a", "a", "a", "a", "a", "b");
        Placement placement = Placement.of(GRID, V, 8);
        int[] learners = PlacementPlanner.secondCopies(GRID, placement, nodes);
        long held = 0;
        for (int c = 0; c < GRID.size(); c++) {
            held += placement.holds(7, c) || learners[c] == 7 ? GRID.chunk(c).length() : 0;
        }
        long all = GRID.chunks().stream().mapToLong(Chunk::length).sum();
        assertThat(learners).contains(7);
        assertThat(held).isLessThanOrEqualTo(2 * 2 * all / 8);
    }

    @Test
    void aNewcomerLearnsTheLonelyChunksFirst() {
        Placement lonely =
                PlacementPlanner.of(GRID, V, without(Placement.of(GRID, V, 4), 1), nodes(3, 1));
        assertThat(PlacementPlanner.share(GRID, lonely)).containsExactlyElementsOf(
                Arrays.stream(lonely.alone()).boxed().toList());
    }

    @ParameterizedTest
    @ValueSource(ints = {2, 3, 5})
    void elseAFairShareFromEverybody(int ranks) {
        Placement placement = Placement.of(GRID, V, ranks);
        List<Integer> share = PlacementPlanner.share(GRID, placement);
        Set<Integer> from = new HashSet<>();
        share.forEach(c -> from.add(placement.owner(c)));
        assertThat(from).hasSize(ranks);
        assertThat(share).isSorted().doesNotHaveDuplicates();
        long fair = GRID.layout().elements() / (ranks + 1);
        assertThat(elements(share.stream().mapToInt(c -> c).toArray()))
                .isBetween(fair, fair + ChunkGrid.LIMIT);
    }
}
