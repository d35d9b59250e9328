package castalia.workers.rank;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.withinPercentage;

import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import castalia.workers.model.Recomputation;
import java.util.concurrent.TimeUnit;
import java.util.function.IntPredicate;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What arenas allocated, against what a layout's ranks should need. */
@Tag("default")
@Timeout(value = 2, unit = TimeUnit.MINUTES)
class LayoutMemoryTest {

    private static final int VIRTUAL_RANKS = 8;

    /** Many small chunks and few tokens: nearly all memory is state. */
    private static final TrainingPlan PLAN = TinyRun.plan(
                    new ModelShape(10, 64, 4, 256, 256, 4, 4, 10000, 1e-5, true, Gelu.ERF, 1))
            .tensorSlices(2).virtualRanks(VIRTUAL_RANKS).globalBatch(VIRTUAL_RANKS)
            .precision(Precision.BF16).build();

    /** Bytes that a rank's state takes, one term per kind of memory. */
    private static long formula(RankGroup group, int rank) {
        Placement placement = group.placement();
        ParallelLayout layout = placement.layout();
        long used = elements(group, c -> placement.uses(rank, c));
        long owned = elements(group, c -> placement.owner(c) == rank);
        long held = elements(group, c -> placement.holds(rank, c));
        long state = 3 * 4 * held;
        long weights = 2 * (used + elements(group,
                c -> placement.owner(c) == rank && !placement.uses(rank, c)));
        long received = 4 * (held - owned);
        int block = VIRTUAL_RANKS / layout.dataParallel();
        long gradients = layout.zero() < 2
                ? 4 * used * (1 + log2(block))
                        + (rank < layout.tensorParallel() ? 0 : 4 * owned)
                : 4 * used + 4 * owned * (1 + log2(VIRTUAL_RANKS));
        return state + weights + received + gradients;
    }

    private static int log2(int n) {
        return Integer.numberOfTrailingZeros(n);
    }

    private static long elements(RankGroup group, IntPredicate chunks) {
        return group.settings().grid().chunks().stream()
                .filter(c -> chunks.test(c.index())).mapToLong(Chunk::length).sum();
    }

    @ParameterizedTest
    @CsvSource({
        "1, 1, 0, 0", "2, 1, 0, 0", "2, 1, 1, 0", "4, 1, 1, 1", "4, 1, 1, 2", "4, 1, 2, 0",
        "2, 1, 2, 1", "2, 2, 1, 1", "2, 2, 2, 0"
    })
    void everyRankAllocatesWhatItsLayoutSays(
            int dataParallel, int tensorParallel, int zero, int buddies) {
        ParallelLayout layout = new ParallelLayout(dataParallel, tensorParallel, zero, buddies);
        try (RankGroup group = new RankGroup(RankSettings.of(PLAN, Recomputation.BLOCK), layout,
                TinyRun.devices(1), TinyRun.DEADLINE)) {
            StateTransfer.initialise(group, Initialisation.Drawn.published());
            TinyRun.trace(group, 1);
            for (int r = 0; r < layout.ranks(); r++) {
                assertThat(group.rank(r).allocatedBytes()).as("rank %d of %s", r, layout)
                        .isCloseTo(formula(group, r), withinPercentage(5));
            }
        }
    }
}
