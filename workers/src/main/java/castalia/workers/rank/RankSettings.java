package castalia.workers.rank;

import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.specification.TrainingPlan;
import java.util.function.LongToDoubleFunction;

/**
 * What a rank executes: the plan, its chunk grid, and what does not change a bit.
 *
 * @param plan the training plan
 * @param grid the chunk grid of the plan's layout
 * @param recomputation what the backward pass computes again
 * @param learningRate learning rate of the update after n applied updates
 */
public record RankSettings(
        TrainingPlan plan,
        ChunkGrid grid,
        Recomputation recomputation,
        LongToDoubleFunction learningRate) {

    /** The settings of a plan, with its own schedule. */
    public static RankSettings of(TrainingPlan plan, Recomputation recomputation) {
        ChunkGrid grid = ChunkGrid.of(FlatLayout.of(plan.model(), plan.tensorSlices()));
        return new RankSettings(plan, grid, recomputation, plan.schedule()::at);
    }

    /** The same with other learning rates, as a comparison with a recorded run needs. */
    public RankSettings with(LongToDoubleFunction rates) {
        return new RankSettings(plan, grid, recomputation, rates);
    }
}
