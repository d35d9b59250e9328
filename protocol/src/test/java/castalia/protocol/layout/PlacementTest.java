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
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class PlacementTest {

    private static final ChunkGrid GRID =
            ChunkGrid.of(FlatLayout.of(PythiaModels.named("160m").orElseThrow().shape(), 1));

    /** Of chunks that every slice uses, data parallelism alone. */
    private static Placement given(int virtualRanks, int ranks, int[] owners, int[] buddies) {
        int[] slices = new int[owners.length];
        Arrays.fill(slices, -1);
        return Placement.of(ParallelLayout.of(ranks), virtualRanks, 1, ranks,
                new Placement.Holdings(owners, new int[][] {buddies}, slices));
    }

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
                .hasMessage("data parallel degree 0 and tensor parallel degree 1 must be at least 1,"
                        + " their product at most 65534");
    }

    @Test
    void aGivenPlacementIsKeptAsItIs() {
        int[] owners = {2, 0, 1, 1};
        int[] buddies = {0, Placement.NONE, 2, 0};
        Placement placement = given(4, 3, owners, buddies);
        assertThat(placement).isEqualTo(given(4, 3, owners, buddies))
                .hasSameHashCodeAs(given(4, 3, owners, buddies))
                .isNotEqualTo(given(4, 3, owners, new int[] {0, 1, 2, 0}));
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
        assertThatThrownBy(() -> given(4, 2, new int[] {0, 2}, new int[] {1, 0}))
                .hasMessage("chunk 1 of slice -1 with owner 2 and buddies [0] of 2 ranks");
        assertThatThrownBy(() -> given(4, 2, new int[] {-1}, new int[] {0}))
                .hasMessageContaining("chunk 0 of slice -1 with owner -1");
        assertThatThrownBy(() -> given(4, 2, new int[] {0}, new int[] {2}))
                .hasMessageContaining("buddies [2]");
        assertThatThrownBy(() -> given(4, 2, new int[] {0}, new int[] {-2}))
                .hasMessageContaining("buddies [-2]");
        assertThatThrownBy(() -> given(4, 2, new int[] {1}, new int[] {1}))
                .hasMessageContaining("owner 1 and buddies [1]");
        assertThatThrownBy(() -> given(4, 2, new int[] {1}, new int[0]))
                .hasMessageContaining("1 owners of 1 chunks, buddies [0]");
        assertThatThrownBy(() -> given(2, 3, new int[] {1}, new int[] {0}))
                .hasMessageContaining("2 virtual ranks on 3 ranks");
    }

    private static final ChunkGrid SLICED =
            ChunkGrid.of(FlatLayout.of(PythiaModels.named("160m").orElseThrow().shape(), 4));

    @ParameterizedTest
    @CsvSource({"1,1,1,1", "1,4,1,1", "2,2,0,0", "3,2,1,2", "4,4,2,1", "3,4,3,0", "8,1,0,1"})
    void everyLayoutHasAnOwnerAndItsBuddiesForEveryChunk(int d, int t, int zero, int buddies) {
        ParallelLayout layout = new ParallelLayout(d, t, zero, buddies);
        Placement placement = Placement.of(SLICED, 8, layout);
        for (Chunk chunk : SLICED.chunks()) {
            int c = chunk.index();
            int[] holders = placement.holders(c);
            assertThat(holders).doesNotHaveDuplicates().hasSize(zero > 0
                    ? Math.min(buddies + 1, d * t)
                    : Math.max(Math.min(buddies + 1, d * t), chunk.slice() < 0 ? d * t : d));
            assertThat(placement.uses(holders[0], c)).isTrue();
            for (int replica = 0; replica < d; replica++) {
                int source = placement.source(replica, c);
                assertThat(placement.uses(source, c)).isTrue();
                assertThat(placement.replica(source)).isEqualTo(replica);
            }
            assertThat(placement.source(placement.replica(holders[0]), c)).isEqualTo(holders[0]);
            for (int rank = 0; rank < d * t; rank++) {
                assertThat(placement.uses(rank, c))
                        .isEqualTo(placement.slices(rank).uses(chunk));
            }
        }
        long even = SLICED.layout().elements() / (d * t);
        for (int rank = 0; rank < d * t; rank++) {
            long owned = Arrays.stream(placement.owned(rank))
                    .mapToLong(c -> SLICED.chunk(c).length()).sum();
            assertThat(Math.abs(owned - even)).isLessThanOrEqualTo(3L * ChunkGrid.LIMIT);
        }
    }

    @Test
    void ranksBeyondTheLayoutOnlyHold() {
        int[] owners = new int[SLICED.size()];
        Arrays.fill(owners, 4);
        Placement placement = Placement.of(new ParallelLayout(2, 2, 2, 0), 8, 4, 5,
                Placement.Holdings.of(SLICED, owners));
        assertThat(placement.computes(4)).isFalse();
        assertThat(placement.block(4).count()).isZero();
        assertThat(placement.slices(4)).isEqualTo(SliceBlock.NONE);
        assertThat(placement.held(4)).hasSize(SLICED.size());
        assertThat(placement.held(0)).isEmpty();
    }

    @Test
    void aLayoutThatDoesNotFitIsRefusedWithWhatWould() {
        assertThatThrownBy(() -> Placement.of(SLICED, 8, new ParallelLayout(1, 8, 1, 1)))
                .hasMessage("tensor parallel degree 8 must divide the run's 4 tensor slices: use a"
                        + " power of two up to 4");
        assertThatThrownBy(() -> new ParallelLayout(1, 3, 1, 1)).hasMessageContaining("power of two");
        assertThatThrownBy(() -> new ParallelLayout(1, 1, 4, 1)).hasMessageContaining("ZeRO stage 4");
        assertThatThrownBy(() -> new ParallelLayout(1, 1, 1, 3)).hasMessageContaining("buddies");
        assertThatThrownBy(() -> new ParallelLayout(0, 1, 1, 1)).hasMessageContaining("at least 1");
    }
}
