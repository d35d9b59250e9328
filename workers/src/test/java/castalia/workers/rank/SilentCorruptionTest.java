package castalia.workers.rank;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.specification.TrainingPlan;
import castalia.workers.state.HeldChunks;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A bit of the state flips in one rank's memory while the run goes on. */
@Tag("default")
@Timeout(value = 2, unit = TimeUnit.MINUTES)
class SilentCorruptionTest {

    private static final TrainingPlan PLAN = TinyRun.eightSlices().build();

    private enum Tensor {
        WEIGHT, FIRST_MOMENT, SECOND_MOMENT;

        MemorySegment of(HeldChunks held, int chunk) {
            return switch (this) {
                case WEIGHT -> held.weight(chunk).segment();
                case FIRST_MOMENT -> held.firstMoment(chunk).segment();
                case SECOND_MOMENT -> held.secondMoment(chunk).segment();
            };
        }
    }

    @ParameterizedTest
    @CsvSource({
        "WEIGHT, true, 2, 2, 2", "WEIGHT, false, 2, 2, 2", "FIRST_MOMENT, false, 2, 2, 2",
        "SECOND_MOMENT, true, 2, 2, 2", "WEIGHT, false, 1, 2, 2", "WEIGHT, true, 3, 2, 1",
        "WEIGHT, false, 3, 1, 0", "WEIGHT, true, 2, 2, 3"
    })
    void ownerAndBuddyDisagreeWithinAStep(
            Tensor tensor, boolean ownersBit, int dataParallel, int tensorParallel, int zero) {
        ParallelLayout layout = new ParallelLayout(dataParallel, tensorParallel, zero, 1);
        try (RankGroup group = new RankGroup(RankSettings.of(PLAN, Recomputation.NONE), layout,
                TinyRun.devices(1), TinyRun.DEADLINE)) {
            StateTransfer.initialise(group, Initialisation.Drawn.published());
            TinyRun.trace(group, 3);
            int chunk = group.placement().chunks() / 2;
            int victim = ownersBit
                    ? group.placement().owner(chunk) : group.placement().buddy(chunk);
            group.onRank(victim, rank -> {
                MemorySegment bits = tensor.of(rank.held(), chunk);
                bits.setAtIndex(ValueLayout.JAVA_INT, 3,
                        bits.getAtIndex(ValueLayout.JAVA_INT, 3) ^ 1 << 20);
                return rank;
            });
            // the vote of this step speaks of the state before it, which was right when it was made
            TinyRun.trace(group, 1);
            CastaliaException found = catchThrowableOfType(CastaliaException.class,
                    () -> TinyRun.trace(group, 1));
            assertThat(found.code()).isEqualTo(ErrorCode.NUMERIC_DIVERGED);
            assertThat(found).hasMessageStartingWith("step 4: ranks [")
                    .hasMessageContaining("different states of chunk " + chunk + ":")
                    .hasMessageContaining("" + victim);
            for (int r = 0; r < layout.ranks(); r++) {
                assertThat(group.rank(r).scalars().step()).as("nobody goes on").isEqualTo(4);
            }
        }
    }
}
