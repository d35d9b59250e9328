package castalia.protocol.planner;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.withinPercentage;

import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.model.PythiaModels;
import castalia.protocol.schedule.LearningRateSchedule;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import java.util.Comparator;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class LayoutPlannerTest {

    private static final long GIB = 1L << 30;

    /** Parameters of Pythia-6.9B as published, and of them the vectors that no slice cuts. */
    private static final long PARAMETERS = 6_857_302_016L;
    private static final long UNCUT = 32 * 6 * 4096 + 2 * 4096;

    /** As published: 1024 sequences of 2048, micro-batches of 8, two model-parallel ranks. */
    private static Workload published() {
        return Workload.of(TrainingPlan.builder(
                        PythiaModels.named("6.9b").orElseThrow().shape(),
                        new LearningRateSchedule.Constant(1e-4, 0))
                .tensorSlices(2).virtualRanks(64).globalBatch(1024).microBatch(8).sequence(2048)
                .precision(Precision.BF16).build(), Recomputation.BLOCK);
    }

    private static Devices devices(int count, long memory) {
        return new Devices(count, 8, memory, false, 0, 100e12, 300e9, 25e9);
    }

    private static TrainingPlan small(int virtualRanks) {
        return TrainingPlan.builder(PythiaModels.named("14m").orElseThrow().shape(),
                        new LearningRateSchedule.Constant(1e-4, 0))
                .virtualRanks(virtualRanks).globalBatch(virtualRanks).sequence(16).build();
    }

    /** 64 replicas of two ranks, each with one virtual rank. */
    @Test
    void memoryOfThePublishedLayoutIsAsByHand() {
        double used = (PARAMETERS - UNCUT) / 2.0 + UNCUT;
        double owned = PARAMETERS / 128.0;
        RankMemory memory = new LayoutPlanner(published(), devices(128, 80 * GIB))
                .estimate(new ParallelLayout(64, 2, 1, 0)).memory();
        assertThat(memory.weights()).isCloseTo((long) (2 * used), withinPercentage(1));
        assertThat(memory.windows()).isZero();
        assertThat(memory.owned()).isCloseTo((long) (12 * owned), withinPercentage(4));
        assertThat(memory.further()).isZero();
        // the fp32 gradient of one virtual rank, and of the chunk that is summed four parts and results
        assertThat(memory.gradients())
                .isCloseTo((long) (4 * used + 8 * (4 << 20)), withinPercentage(1));
        // residual stream of 33 blocks, one block's activations (its gradients lie among them, but those
        // that are exchanged), 256 rows of logits, scratch
        double rows = 8 * 2048;
        double stream = (33 + 3) * 2 * rows * 4096;
        double block = rows * (2 * (2 * 4096 + (4 * 4096 + 2 * 16384) / 2.0) + 4 * 16);
        double scratch = rows * 4096 * (3 * 4 + 2 * 4 / 2.0 + 2 * 2);
        double head = 256 * (50432 / 2.0) * (4 + 2);
        assertThat(memory.activations())
                .isCloseTo((long) (stream + block + scratch + head), withinPercentage(2));
    }

    @Test
    void stagesDivideWhatTheTableSays() {
        LayoutPlanner planner = new LayoutPlanner(published(), devices(64, 80 * GIB));
        double used = PARAMETERS;
        RankMemory none = planner.estimate(new ParallelLayout(64, 1, 0, 0)).memory();
        assertThat(none.owned() + none.further())
                .isCloseTo((long) (12 * used), withinPercentage(1));
        RankMemory two = planner.estimate(new ParallelLayout(64, 1, 2, 2)).memory();
        assertThat(two.owned()).isCloseTo((long) (12 * used / 64), withinPercentage(4));
        assertThat(two.further()).isCloseTo((long) (2 * 12 * used / 64), withinPercentage(4));
        // a virtual rank's gradient, log2(64) sums of what is owned, finished ones of two others, a chunk
        assertThat(two.gradients()).isCloseTo(
                (long) (4 * used + (6 + 2) * 4 * used / 64 + (4 << 20)), withinPercentage(1));
        RankMemory few = planner.estimate(new ParallelLayout(4, 1, 1, 1)).memory();
        // 16 virtual ranks each: log2(16)+1 full buffers, the buddy's finished gradients, three chunks
        assertThat(few.gradients()).isCloseTo(
                (long) (5 * 4 * used + 4 * used / 4 + 3 * (4 << 20)), withinPercentage(1));
        RankMemory three = planner.estimate(new ParallelLayout(64, 1, 3, 1)).memory();
        assertThat(three.weights()).isCloseTo((long) (2 * used / 64), withinPercentage(4));
        long block = 12L * 4096 * 4096 + 13L * 4096;
        // two blocks, and embedding or head
        assertThat(three.windows())
                .isCloseTo(2 * (2 * block + 50432L * 4096), withinPercentage(1));
    }

    @Test
    void trafficOfThePublishedLayoutIsAsByHand() {
        Workload work = published();
        List<RankTraffic> all = PlacementTraffic.of(work,
                Placement.of(work.grid(), 64, new ParallelLayout(64, 2, 1, 1)), 8);
        double used = (PARAMETERS - UNCUT) / 2.0 + UNCUT;
        double owned = PARAMETERS / 128.0;
        RankTraffic some = all.get(77);
        assertThat(some.sent().partials())
                .isCloseTo((long) (4 * (used - owned)), withinPercentage(1));
        assertThat(some.received().partials())
                .isCloseTo((long) (4 * 63 * owned), withinPercentage(4));
        assertThat(some.sent().finished()).isCloseTo((long) (4 * owned), withinPercentage(4));
        // the buddy has them already
        assertThat(some.sent().weights()).isCloseTo((long) (2 * 62 * owned), withinPercentage(4));
        assertThat(some.received().weights())
                .isCloseTo((long) (2 * (used - 2 * owned)), withinPercentage(1));
        // per layer three sums: half the rows' fp32 partials and half the rounded rows, each way
        double rows = 8 * 2048;
        double sum = rows / 2 * 4096 * (4 + 2);
        double pass = 32 * 3 * sum + sum + rows / 2 * 4096 * 4;
        assertThat(some.sent().slices()).isCloseTo((long) (2 * pass), withinPercentage(1));
        assertThat(some.received().slices()).isEqualTo(some.sent().slices());
        // its replica shares a node; of 64 replicas 4 do
        assertThat(some.sentAcross().slices()).isZero();
        assertThat(some.receivedAcross().partials())
                .isCloseTo((long) (4 * 60 * owned), withinPercentage(4));
        long sent = all.stream().mapToLong(r -> r.sent().total()).sum();
        assertThat(all.stream().mapToLong(r -> r.received().total()).sum()).isEqualTo(sent);
    }

    @Test
    void timeIsOperationsAndWhatIsWaitedFor() {
        Workload work = published();
        LayoutPlanner planner = new LayoutPlanner(work, devices(128, 80 * GIB));
        StepTime time = planner.estimate(new ParallelLayout(64, 2, 1, 0)).time();
        // 16 sequences on two devices; attention and recomputation come on top of 6 P tokens
        double least = 6.0 * (PARAMETERS - 50432L * 4096) * 16 * 2048 / 2 / 100e12;
        assertThat(time.compute()).isBetween(least * 1.2, least * 1.5);
        assertThat(time.total()).isEqualTo(time.compute() + time.exposed());
        assertThat(time.exposed()).isBetween(0.0, time.communication());
        StepTime slow = new LayoutPlanner(work,
                new Devices(128, 8, 80 * GIB, false, 0, 100e12, 300e9, 2.5e9))
                .estimate(new ParallelLayout(64, 2, 1, 0)).time();
        assertThat(slow.compute()).isEqualTo(time.compute());
        assertThat(slow.exposed()).isGreaterThan(5 * time.exposed());
    }

    @Test
    void anOfferHoldsWhatFitsTheFastestFirstAndTheRestByWhatItLacks() {
        LayoutPlanner planner = new LayoutPlanner(published(), devices(16, 60 * GIB));
        LayoutPlanner.Offer offer = planner.offer();
        assertThat(offer.fitting()).isNotEmpty()
                .isSortedAccordingTo(Comparator.comparingDouble(e -> e.time().total()))
                .allSatisfy(e -> assertThat(e.memory().total()).isLessThanOrEqualTo(60 * GIB))
                .allSatisfy(e -> assertThat(planner.fits(e.layout())).isTrue());
        assertThat(offer.tooLarge()).isNotEmpty()
                .isSortedAccordingTo(Comparator.comparingLong(LayoutEstimate::excessBytes))
                .allSatisfy(e -> assertThat(e.memory().total())
                        .isEqualTo(60 * GIB + e.excessBytes()))
                .allSatisfy(e -> assertThat(planner.fits(e.layout())).isFalse());
        assertThat(offer.fitting().size() + offer.tooLarge().size())
                .isEqualTo(planner.candidates().size());
    }

    @Test
    void whatDoesNotFitIsRefusedWithWhatWould() {
        LayoutPlanner planner = new LayoutPlanner(published(), devices(64, 60 * GIB));
        assertThat(planner.refusal(new ParallelLayout(64, 1, 0, 0)).orElseThrow())
                .contains("64x1 ZeRO 0 buddies 0 needs ", "more than the 60.0 GiB of a device",
                        "what fits: ");
        assertThat(planner.refusal(new ParallelLayout(64, 2, 1, 1)).orElseThrow())
                .contains("needs 128 devices and there are 64", "what fits: ");
        assertThat(planner.refusal(new ParallelLayout(8, 4, 1, 1)).orElseThrow())
                .contains("must divide the run's 2 tensor slices", "what fits: ");
        assertThat(planner.refusal(new ParallelLayout(65, 1, 1, 1)).orElseThrow())
                .contains("use 1 to 64", "what fits: ");
        LayoutPlanner none = new LayoutPlanner(published(), devices(2, GIB));
        assertThat(none.refusal(new ParallelLayout(1, 2, 1, 0)).orElseThrow())
                .contains("no layout fits; the smallest, ");
    }

    @Test
    void everyUsefulLayoutIsLookedAt() {
        LayoutPlanner planner =
                new LayoutPlanner(Workload.of(small(8), Recomputation.NONE), devices(7, GIB));
        assertThat(planner.candidates()).doesNotHaveDuplicates()
                .extracting(ParallelLayout::dataParallel).containsOnly(1, 2, 3, 4, 7);
        assertThat(planner.candidates()).contains(new ParallelLayout(4, 1, 2, 2))
                .allSatisfy(layout -> assertThat(layout.ranks()).isLessThanOrEqualTo(7));
        assertThat(new LayoutPlanner(Workload.of(small(8), Recomputation.NONE), devices(1, GIB)).candidates())
                .containsExactly(new ParallelLayout(1, 1, 0, 0));
    }

    @ParameterizedTest
    @CsvSource({
        "1024, 8, 64, 64", "1024, 32, 32, 32", "1024, 16, 48, 64", "1024, 1, 24, 32",
        "96, 1, 32, 32", "96, 1, 24, 24", "10, 1, 4, 5", "8, 2, 100, 4", "7, 1, 2, 7", "1, 1, 1, 1"
    })
    void virtualRanksDivideTheBatchAmongTheReplicas(
            int globalBatch, int microBatch, int replicas, int expected) {
        assertThat(LayoutPlanner.virtualRanks(globalBatch, microBatch, replicas))
                .isEqualTo(expected);
    }

    @Test
    void ranksOfOneMachineShareItsMemory() {
        Devices shared = new Devices(4, 4, 4 * GIB, true, 0, 1e12, 1e9, 1e9);
        LayoutPlanner planner = new LayoutPlanner(Workload.of(small(8), Recomputation.NONE), shared);
        for (int ranks : new int[] {1, 2, 4}) {
            LayoutEstimate estimate = planner.estimate(new ParallelLayout(ranks, 1, 1, 0));
            assertThat(estimate.memory().total() - estimate.excessBytes())
                    .isEqualTo(4 * GIB / ranks);
        }
        assertThat(new LayoutPlanner(Workload.of(small(8), Recomputation.NONE),
                new Devices(4, 4, GIB / 2, true, 0, 1e12, 1e9, 1e9))
                .refusal(new ParallelLayout(4, 1, 0, 0)).orElseThrow())
                .contains("more than the 128.0 MiB of each rank's share");
    }

    @Test
    void bytesAreWrittenForPeople() {
        assertThat(LayoutPlanner.text(512)).isEqualTo("512 bytes");
        assertThat(LayoutPlanner.text(3 * GIB / 2)).isEqualTo("1.5 GiB");
        assertThat(LayoutPlanner.text(80 * GIB)).isEqualTo("80.0 GiB");
    }
}
