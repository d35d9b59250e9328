package castalia.workers.rank;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.planner.PlacementMemory;
import castalia.protocol.planner.RankMemory;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.planner.Workload;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** What arenas allocated is what the planner says of every rank, to the byte. */
@Tag("default")
@Timeout(value = 2, unit = TimeUnit.MINUTES)
class LayoutMemoryTest {

    /** Many small chunks and few tokens: nearly all memory is state. */
    private static final TrainingPlan STATE = TinyRun.plan(
                    new ModelShape(10, 64, 4, 256, 256, 4, 4, 10000, 1e-5, true, Gelu.ERF, 1))
            .tensorSlices(4).virtualRanks(8).globalBatch(8).precision(Precision.BF16).build();

    /** Few parameters and more tokens than the head sweeps at once: most memory is activations. */
    private static TrainingPlan activations(int slices, boolean parallel, Precision precision) {
        return TinyRun.in(TinyRun.plan(
                        new ModelShape(3, 32, 8, 96, 104, 300, 4, 10000, 1e-5, parallel, Gelu.TANH, 1))
                .tensorSlices(slices).virtualRanks(3).globalBatch(6).microBatch(2).build(),
                precision);
    }

    private static void requireAsPlanned(
            TrainingPlan plan, ParallelLayout layout, Recomputation recomputation) {
        Workload work = Workload.of(plan, recomputation);
        try (RankGroup group = new RankGroup(RankSettings.of(plan, recomputation), layout,
                TinyRun.devices(1), TinyRun.DEADLINE)) {
            StateTransfer.initialise(group, Initialisation.Drawn.published());
            TinyRun.trace(group, 1);
            List<RankMemory> planned = PlacementMemory.of(work, group.placement(), 0);
            for (int r = 0; r < layout.ranks(); r++) {
                assertThat(group.rank(r).allocatedBytes())
                        .as("rank %d of %s: %s", r, layout, planned.get(r))
                        .isEqualTo(planned.get(r).arenas());
            }
        }
    }

    @ParameterizedTest
    @CsvSource({
        "1, 1, 0, 0", "2, 1, 0, 0", "3, 1, 0, 0", "2, 1, 1, 0", "3, 1, 1, 1", "4, 1, 1, 2",
        "7, 1, 1, 1", "3, 1, 2, 2", "4, 1, 2, 0", "2, 1, 2, 1", "2, 2, 0, 0", "2, 2, 1, 1",
        "1, 2, 1, 1", "3, 2, 1, 2", "1, 4, 1, 2", "2, 2, 2, 0", "1, 4, 2, 1",
        "1, 1, 3, 0", "2, 1, 3, 0", "4, 1, 3, 1", "3, 1, 3, 2", "2, 2, 3, 0", "2, 4, 3, 1"
    })
    void stateIsWhatTheLayoutSays(int dataParallel, int tensorParallel, int zero, int buddies) {
        requireAsPlanned(STATE, new ParallelLayout(dataParallel, tensorParallel, zero, buddies),
                Recomputation.BLOCK);
    }

    @ParameterizedTest
    @CsvSource({
        "1, 1, true, FP32, NONE", "1, 1, true, BF16, BLOCK", "1, 1, false, FP16, NONE",
        "4, 1, true, FP32, BLOCK", "4, 1, false, BF16, NONE", "4, 2, true, BF16, NONE",
        "4, 2, false, FP32, BLOCK", "4, 4, true, FP16, NONE", "8, 4, true, FP32, NONE",
        "1, 1, true, BF16, ATTENTION", "4, 2, false, FP32, ATTENTION"
    })
    void activationsAreWhatTheSpecificationSays(
            int slices, int tensorParallel, boolean parallel, Precision precision,
            Recomputation recomputation) {
        requireAsPlanned(activations(slices, parallel, precision),
                new ParallelLayout(2, tensorParallel, 1, 1), recomputation);
    }

    /** Virtual ranks of several micro-batches are summed in a buffer of all that a rank uses. */
    @ParameterizedTest
    @CsvSource({"2, 1", "1, 2"})
    void severalMicroBatchesTakeAWholeGradient(int dataParallel, int tensorParallel) {
        requireAsPlanned(STATE.toBuilder().globalBatch(16).build(),
                new ParallelLayout(dataParallel, tensorParallel, 3, 0), Recomputation.NONE);
    }

    /** After failures chunks stay where they are, with ranks that do not compute too. */
    @ParameterizedTest
    @EnumSource(names = {"BF16", "FP32"})
    void anyPlacementIsPlanned(Precision precision) {
        TrainingPlan plan = TinyRun.in(STATE, precision);
        Workload work = Workload.of(plan, Recomputation.NONE);
        try (Workers workers = new Workers(plan, 4)) {
            for (ParallelLayout layout : List.of(new ParallelLayout(2, 1, 1, 1),
                    new ParallelLayout(1, 2, 2, 1), new ParallelLayout(3, 1, 0, 0),
                    new ParallelLayout(3, 1, 3, 1), new ParallelLayout(1, 2, 3, 1))) {
                workers.begin(4, (_, transport) -> transport);
                workers.onAll(rank -> rank.loaded(rank.initialScalars()));
                Placement placement = heldInTurn(workers, plan, layout);
                workers.reshape(placement);
                workers.step();
                List<RankMemory> planned = PlacementMemory.of(work, placement, 0);
                for (int r = 0; r < placement.ranks(); r++) {
                    assertThat(workers.members().get(r).allocatedBytes())
                            .as("rank %d of %s: %s", r, layout, planned.get(r))
                            .isEqualTo(planned.get(r).arenas());
                }
            }
        }
    }

    private static Placement heldInTurn(
            Workers workers, TrainingPlan plan, ParallelLayout layout) {
        int[] owners = new int[workers.chunks()];
        int[] buddies = new int[workers.chunks()];
        for (int c = 0; c < owners.length; c++) {
            owners[c] = 3 - c % 4;
            buddies[c] = c % 3 == 0 ? Placement.NONE : (owners[c] + 1) % 4;
        }
        return Placement.of(layout, plan.virtualRanks(), plan.tensorSlices(), 4,
                Placement.Holdings.of(workers.grid(), owners, buddies));
    }

    @Test
    void earlyFramesAreBounded() {
        Workload work = Workload.of(STATE, Recomputation.NONE);
        Placement placement = Placement.of(work.grid(), 8, new ParallelLayout(4, 1, 1, 1));
        long votes = PlacementMemory.of(work, placement, 0).getFirst().transport();
        assertThat(PlacementMemory.of(work, placement, 5000)).allSatisfy(rank ->
                assertThat(rank.transport()).isEqualTo(votes + 5000));
    }
}
