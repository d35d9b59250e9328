package castalia.workers.exchange;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.step.StateDigest;
import castalia.protocol.step.Vote;
import castalia.protocol.step.Vote.HeldChunk;
import castalia.protocol.step.Vote.LossSum;
import castalia.workers.rank.TinyRun;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

@Timeout(value = 1, unit = TimeUnit.MINUTES)
class VoteExchangeTest {

    private static final int VIRTUAL_RANKS = 5;
    private static final ChunkGrid GRID = ChunkGrid.of(FlatLayout.of(TinyRun.shape(), 1));

    private static Vote vote(Placement placement, int rank, long step) {
        RandomGenerator random = RandomGenerator.of("L64X128MixRandom");
        List<HeldChunk> chunks = new ArrayList<>();
        for (int c = 0; c < GRID.size(); c++) {
            if (placement.holds(rank, c)) {
                double squares = c == 0 ? Double.NaN
                        : c == 1 ? Double.POSITIVE_INFINITY : random.nextDouble() * 1e-300;
                chunks.add(new HeldChunk(
                        c, new StateDigest(random.nextLong(), random.nextLong()), squares));
            }
        }
        List<LossSum> losses = new ArrayList<>();
        for (int v = placement.block(rank).first(); v < placement.block(rank).end(); v++) {
            losses.add(new LossSum(v, random.nextGaussian()));
        }
        return new Vote(rank, step, chunks, losses);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3, 5})
    void everyRankGetsEveryVoteAsItWasGiven(int ranks) {
        Placement placement = Placement.of(GRID, VIRTUAL_RANKS, ranks);
        LocalTransport[] transports = LocalTransport.connect(ranks, TinyRun.DEADLINE);
        ExecutorService threads = Executors.newFixedThreadPool(ranks);
        try {
            for (long step : new long[] {0, 1, Long.MAX_VALUE}) {
                List<Vote> given = new ArrayList<>();
                List<CompletableFuture<List<Vote>>> taken = new ArrayList<>();
                for (int r = 0; r < ranks; r++) {
                    Vote own = vote(placement, r, step);
                    Transport transport = transports[r];
                    given.add(own);
                    taken.add(CompletableFuture.supplyAsync(
                            () -> exchange(transport, placement, own), threads));
                }
                for (CompletableFuture<List<Vote>> one : taken) {
                    assertThat(one.join()).isEqualTo(given);
                }
            }
        } finally {
            threads.shutdownNow();
        }
    }

    private static List<Vote> exchange(Transport transport, Placement placement, Vote own) {
        try (VoteExchange exchange = new VoteExchange(transport, placement, GRID.size())) {
            List<Vote> votes = exchange.exchange(1, own);
            transport.drain();
            return votes;
        }
    }

    @Test
    void aVoteWithoutAChunkOrALossIsRefusedBeforeItIsSent() {
        Placement placement = Placement.of(GRID, VIRTUAL_RANKS, 2);
        LocalTransport[] transports = LocalTransport.connect(2, TinyRun.DEADLINE);
        Vote whole = vote(placement, 1, 3);
        try (VoteExchange exchange = new VoteExchange(transports[1], placement, GRID.size())) {
            Vote fewerChunks = new Vote(1, 3,
                    whole.chunks().subList(1, whole.chunks().size()), whole.losses());
            assertThatThrownBy(() -> exchange.exchange(1, fewerChunks))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("rank 1")
                    .hasMessageContaining(fewerChunks.chunks().size() + " chunks");
            Vote fewerLosses = new Vote(1, 3, whole.chunks(), List.of());
            assertThatThrownBy(() -> exchange.exchange(1, fewerLosses))
                    .isInstanceOf(IllegalArgumentException.class)
                    .hasMessageContaining("0 losses");
            assertThat(transports[1].sentBytes()).isZero();
        }
    }
}
