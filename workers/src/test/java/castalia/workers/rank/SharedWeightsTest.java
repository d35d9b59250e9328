package castalia.workers.rank;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.kernels.Buffer;
import castalia.kernels.DigestSum;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.StateDigest;
import castalia.workers.model.FlatViews;
import castalia.workers.state.HeldChunks;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** In fp32 the weights that a rank computes with are the master weights of the chunks it holds. */
@Timeout(value = 1, unit = TimeUnit.MINUTES)
class SharedWeightsTest {

    private static final TrainingPlan PLAN = TinyRun.plan(TinyRun.shape()).build();

    private static Workers began(TrainingPlan plan, ParallelLayout layout) {
        Workers workers = new Workers(plan, layout.ranks());
        workers.begin(layout, (_, transport) -> transport);
        workers.onAll(rank -> rank.loaded(rank.initialScalars()));
        workers.step();
        return workers;
    }

    private static StateDigest digest(Workers workers, TrainingRank rank, int chunk) {
        HeldChunks held = rank.held();
        Chunk place = workers.grid().chunk(chunk);
        DigestSum sum = new DigestSum();
        rank.kernels().digest(held.weight(chunk), held.firstMoment(chunk),
                held.secondMoment(chunk), place.offset(), place.length(), sum);
        return new StateDigest(sum.a, sum.b);
    }

    private static boolean same(Buffer one, Buffer other) {
        return one.segment().address() == other.segment().address();
    }

    @ParameterizedTest
    @CsvSource({
        "FP32, 1, 1, 0, true", "FP32, 2, 1, 1, true", "FP32, 2, 2, 1, true", "FP32, 2, 1, 3, false",
        "BF16, 1, 1, 0, false", "FP16, 2, 1, 1, false"
    })
    void whatIsHeldAndComputedWithIsThereOnce(
            Precision precision, int dataParallel, int tensorParallel, int zero, boolean once) {
        TrainingPlan plan = TinyRun.in(TinyRun.eightSlices().build(), precision);
        try (Workers workers = began(
                plan, new ParallelLayout(dataParallel, tensorParallel, zero, 0))) {
            for (TrainingRank rank : workers.members()) {
                FlatViews views = rank.compute();
                int shared = 0;
                for (int chunk : rank.held().chunks()) {
                    boolean placed = rank.held().placed(chunk);
                    assertThat(placed).as("chunk %d", chunk)
                            .isEqualTo(once && views.space().contains(chunk));
                    assertThat(placed).isEqualTo(views.space().contains(chunk)
                            && same(rank.held().weight(chunk), views.chunk(chunk)));
                    shared += placed ? 1 : 0;
                }
                assertThat(shared > 0).isEqualTo(once);
            }
        }
    }

    /** Others give newer weights of it, which go to where it is computed with. */
    @Test
    void aChunkOfAFormerPlacementKeepsItsVersion() {
        try (Workers workers = began(PLAN, new ParallelLayout(2, 1, 0, 0))) {
            Placement owners = Placement.of(
                    workers.grid(), PLAN.virtualRanks(), new ParallelLayout(2, 1, 1, 0));
            workers.install(workers.members(), owners, (_, transport) -> transport);
            workers.onAll(TrainingRank::gather);
            workers.step();
            for (TrainingRank rank : workers.members()) {
                int former = 0;
                for (int chunk : rank.held().chunks()) {
                    boolean now = owners.holds(rank.rank(), chunk);
                    assertThat(rank.held().placed(chunk)).as("chunk %d", chunk).isEqualTo(now);
                    assertThat(rank.held().version(chunk)).isEqualTo(now ? 2 : 1);
                    assertThat(digest(workers, rank, chunk)).isEqualTo(rank.held().digest(chunk));
                    former += now ? 0 : 1;
                }
                assertThat(former).isPositive();
                assertThat(rank.compute().flat().elements()).isPositive(); // waits for all of them
                assertThat(rank.weightsVersion()).isEqualTo(2);
            }
        }
    }

    /** Of other slices, then of none, then of all again: the flat buffer goes, the chunks stay. */
    @Test
    void masterWeightsOutliveTheBufferTheyLieIn() {
        TrainingPlan plan = TinyRun.eightSlices().build();
        try (Workers workers = began(plan, new ParallelLayout(2, 1, 1, 0))) {
            StateDigest before = workers.digest();
            for (ParallelLayout layout : new ParallelLayout[] {
                new ParallelLayout(1, 2, 1, 0), new ParallelLayout(2, 1, 3, 0),
                new ParallelLayout(2, 1, 0, 0)}) {
                workers.reshape(Placement.of(workers.grid(), plan.virtualRanks(), layout));
                assertThat(workers.digest()).isEqualTo(before);
                for (TrainingRank rank : workers.members()) {
                    for (int chunk : rank.held().chunks()) {
                        assertThat(digest(workers, rank, chunk)).isEqualTo(rank.held().digest(chunk));
                    }
                    assertThat(rank.weightsVersion()).isEqualTo(1);
                }
            }
        }
    }

    /** What it computed with is no whole version any more, wherever those chunks go. */
    @Test
    void whoLearnsAfterItLeftHasNoCompleteWeights() {
        try (Workers workers = began(PLAN, new ParallelLayout(2, 1, 0, 0));
                Arena arena = Arena.ofConfined()) {
            TrainingRank rank = workers.worker(0);
            TrainingRank owner = workers.worker(1);
            workers.onAll(TrainingRank::settle);
            rank.leave();
            assertThat(rank.weightsVersion()).isEqualTo(1);
            int chunk = rank.held().chunks()[1];
            try (ChunkLearner learner = new ChunkLearner(rank, workers.grid(), Set.of(chunk))) {
                learner.base(chunk, owner.scalars(), owner.held().digest(chunk),
                        copy(owner.held().weight(chunk), arena),
                        copy(owner.held().firstMoment(chunk), arena),
                        copy(owner.held().secondMoment(chunk), arena));
            }
            assertThat(rank.weightsVersion()).isEqualTo(TrainingRank.INCOMPLETE);
            rank.held().drop(chunk);
            assertThat(rank.weightsVersion()).isEqualTo(TrainingRank.INCOMPLETE);
        }
    }

    private static MemorySegment copy(Buffer of, Arena arena) {
        return arena.allocate(of.segment().byteSize(), Long.BYTES).copyFrom(of.segment());
    }

    /** A chunk that is set to another version takes the weights with it, until it is set back. */
    @Test
    void aChunkOfAnotherVersionMakesTheWeightsIncomplete() {
        try (Workers workers = began(PLAN, new ParallelLayout(1, 1, 0, 0))) {
            TrainingRank rank = workers.worker(0);
            int chunk = IntStream.of(rank.held().chunks()).max().orElseThrow();
            rank.held().invalidate(chunk);
            assertThat(rank.weightsVersion()).isEqualTo(TrainingRank.INCOMPLETE);
            rank.held().loaded(chunk, 1);
            assertThat(rank.weightsVersion()).isEqualTo(1);
            rank.held().invalidate(chunk);
            rank.state().displace();
            rank.held().loaded(chunk, 1);
            assertThat(rank.weightsVersion()).isEqualTo(TrainingRank.INCOMPLETE);
        }
    }
}
