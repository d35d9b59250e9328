package castalia.protocol.layout;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.Samples;
import castalia.protocol.model.PythiaModels;
import castalia.protocol.step.VirtualRanks;
import java.util.Arrays;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class PlacementTest {

    private static final ChunkGrid GRID =
            ChunkGrid.of(FlatLayout.of(PythiaModels.named("160m").orElseThrow().shape(), 1));

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 5, 7, 8, 16, 31, 64})
    void everyChunkHasOneOwnerAndAnotherRankAsBuddy(int ranks) {
        Placement placement = Placement.of(GRID, 64, ranks);
        int[] owned = new int[GRID.size()];
        int[] buddied = new int[GRID.size()];
        for (int rank = 0; rank < ranks; rank++) {
            for (int chunk : placement.owned(rank)) {
                owned[chunk]++;
                assertThat(placement.owner(chunk)).isEqualTo(rank);
                assertThat(placement.holds(rank, chunk)).isTrue();
            }
            for (int chunk : placement.buddied(rank)) {
                buddied[chunk]++;
                assertThat(placement.buddy(chunk)).isEqualTo(rank);
                assertThat(placement.owner(chunk)).isNotEqualTo(rank);
                assertThat(placement.holds(rank, chunk)).isTrue();
            }
        }
        assertThat(owned).containsOnly(1);
        assertThat(buddied).containsOnly(ranks > 1 ? 1 : 0);
        for (int chunk = 0; chunk < GRID.size(); chunk++) {
            int c = chunk;
            assertThat(IntStream.range(0, ranks).filter(r -> placement.holds(r, c)).count())
                    .isEqualTo(ranks > 1 ? 2 : 1);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 4, 8, 16})
    void shardsAreContiguousAndBalancedWithinAChunkAtEachEnd(int ranks) {
        Placement placement = Placement.of(GRID, 64, ranks);
        long even = GRID.layout().elements() / ranks;
        for (int rank = 0; rank < ranks; rank++) {
            int[] owned = placement.owned(rank);
            assertThat(owned[owned.length - 1] - owned[0] + 1).isEqualTo(owned.length);
            long elements = Arrays.stream(owned).mapToLong(c -> GRID.chunk(c).length()).sum();
            assertThat(Math.abs(elements - even)).isLessThanOrEqualTo(ChunkGrid.LIMIT);
        }
    }

    @Test
    void withoutAnotherRankThereIsNoBuddy() {
        Placement placement = Placement.of(GRID, 4, 1);
        assertThat(placement.buddy(0)).isEqualTo(Placement.NONE);
        assertThat(placement.buddied(0)).isEmpty();
        assertThat(placement.ranks()).isEqualTo(1);
    }

    @Test
    void moreRanksThanChunksLeaveSomeWithoutButNoneWithoutVirtualRanks() {
        ChunkGrid small = ChunkGrid.of(FlatLayout.of(Samples.shape(), 1));
        int ranks = 64;
        Placement placement = Placement.of(small, ranks, ranks);
        assertThat(small.size()).isLessThan(ranks);
        for (int rank = 0; rank < ranks; rank++) {
            assertThat(placement.block(rank)).isEqualTo(new VirtualRanks.Block(rank, 1));
        }
        assertThat(IntStream.range(0, ranks).map(r -> placement.owned(r).length).sum())
                .isEqualTo(small.size());
    }

    @Test
    void moreRanksThanVirtualRanksAreRefused() {
        assertThatThrownBy(() -> Placement.of(GRID, 4, 5))
                .hasMessage("cannot place 4 virtual ranks on 5 ranks: use 1 to 4");
        assertThatThrownBy(() -> Placement.of(GRID, 4, 0))
                .hasMessage("cannot place 4 virtual ranks on 0 ranks: use 1 to 4");
    }

    @Test
    void aGivenPlacementIsKeptAsItIs() {
        int[] owners = {2, 0, 1, 1};
        int[] buddies = {0, Placement.NONE, 2, 0};
        Placement placement = Placement.of(4, 3, owners, buddies);
        assertThat(placement).isEqualTo(Placement.of(4, 3, owners, buddies))
                .hasSameHashCodeAs(Placement.of(4, 3, owners, buddies))
                .isNotEqualTo(Placement.of(4, 3, owners, new int[] {0, 1, 2, 0}));
        assertThat(placement.alone()).containsExactly(1);
        assertThat(placement.owned(1)).containsExactly(2, 3);
        assertThat(placement.buddied(0)).containsExactly(0, 3);
        assertThat(placement.held(0)).containsExactly(0, 1, 3);
        assertThat(placement.virtualRanks()).isEqualTo(4);
        owners[0] = 1;
        buddies[0] = 1;
        assertThat(placement.owner(0)).isEqualTo(2);
        assertThat(placement.buddy(0)).isZero();
    }

    @Test
    void aPlacementThatCannotBeIsRefusedWithItsChunk() {
        assertThatThrownBy(() -> Placement.of(4, 2, new int[] {0, 2}, new int[] {1, 0}))
                .hasMessage("chunk 1 with owner 2 and buddy 0 of 2 ranks");
        assertThatThrownBy(() -> Placement.of(4, 2, new int[] {-1}, new int[] {0}))
                .hasMessageContaining("chunk 0 with owner -1");
        assertThatThrownBy(() -> Placement.of(4, 2, new int[] {0}, new int[] {2}))
                .hasMessageContaining("buddy 2");
        assertThatThrownBy(() -> Placement.of(4, 2, new int[] {0}, new int[] {-2}))
                .hasMessageContaining("buddy -2");
        assertThatThrownBy(() -> Placement.of(4, 2, new int[] {1}, new int[] {1}))
                .hasMessageContaining("owner 1 and buddy 1");
        assertThatThrownBy(() -> Placement.of(4, 2, new int[] {1}, new int[0]))
                .hasMessage("1 owners and 0 buddies");
        assertThatThrownBy(() -> Placement.of(2, 3, new int[] {1}, new int[] {0}))
                .hasMessageContaining("2 virtual ranks on 3 ranks");
    }
}
