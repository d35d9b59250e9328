package castalia.deploy.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.model.PythiaModels;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.schedule.LearningRateSchedule;
import castalia.protocol.specification.TrainingPlan;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

class MachineMemoryTest {

    /** Every copy of weights, moments and one gradient takes 20 bytes a parameter: 1.3 GiB. */
    private static final TrainingPlan PLAN = TrainingPlan.builder(
                    PythiaModels.named("70m").orElseThrow().shape(),
                    new LearningRateSchedule.Constant(1e-3, 0))
            .virtualRanks(4).globalBatch(4).sequence(64).build();

    @Test
    void aLayoutThatDoesNotFitIsRefusedWithOnesThatDo() {
        ParallelLayout layout = new ParallelLayout(4, 1, 0, 0);
        assertThatThrownBy(() ->
                MachineMemory.require(PLAN, Recomputation.BLOCK, layout, 0, 4L << 30))
                .isInstanceOfSatisfying(CastaliaException.class, e ->
                        assertThat(e.code()).isEqualTo(ErrorCode.OUT_OF_MEMORY))
                .hasMessageContaining("4x1 ZeRO 0 buddies 0 needs ")
                .hasMessageContaining("more than the 1.0 GiB of each rank's share; what fits: ")
                .hasMessageContaining("./castalia layouts");
        assertThatCode(() ->
                MachineMemory.require(PLAN, Recomputation.BLOCK, layout, 0, 8L << 30))
                .doesNotThrowAnyException();
    }

    @Test
    void framesThatComeEarlyCountForProcesses() {
        ParallelLayout layout = new ParallelLayout(2, 1, 1, 0);
        long enough = LongStream.iterate(1L << 30, bytes -> bytes + (16L << 20))
                .filter(bytes -> fits(layout, 0, bytes)).findFirst().orElseThrow();
        assertThat(fits(layout, 1L << 30, enough + (3L << 30))).isTrue();
        assertThatThrownBy(() ->
                MachineMemory.require(PLAN, Recomputation.BLOCK, layout, 1L << 30, enough))
                .hasMessageContaining("2x1 ZeRO 1 buddies 0 needs ");
    }

    private static boolean fits(ParallelLayout layout, long earlyBytes, long bytes) {
        try {
            MachineMemory.require(PLAN, Recomputation.BLOCK, layout, earlyBytes, bytes);
            return true;
        } catch (CastaliaException e) {
            assertThat(e.code()).isEqualTo(ErrorCode.OUT_OF_MEMORY);
            return false;
        }
    }

    @Test
    void theLessMemoryTheMoreIsComputedAgain() {
        TrainingPlan plan = PLAN.toBuilder().sequence(2048).build();
        List<Recomputation> chosen = IntStream.iterate(256, part -> part - 1).limit(256)
                .mapToObj(part -> MachineMemory.fitting(plan, new Hosting(
                        1, 1, Recomputation.NONE, false, part * (16L << 20)), 0))
                .distinct().toList();
        assertThat(chosen).containsExactly(
                Recomputation.NONE, Recomputation.ATTENTION, Recomputation.BLOCK);
    }

    @Test
    void ranksThatShareTheMemoryAndFramesThatComeEarlyLeaveLessToKeep() {
        TrainingPlan plan = PLAN.toBuilder().sequence(2048).build();
        long enough = LongStream.iterate(1L << 30, bytes -> bytes + (16L << 20))
                .filter(bytes -> MachineMemory.fitting(plan, new Hosting(
                        1, 1, Recomputation.NONE, false, bytes), 0) == Recomputation.NONE)
                .findFirst().orElseThrow();
        Hosting alone = new Hosting(1, 1, Recomputation.NONE, false, enough);
        assertThat(MachineMemory.fitting(plan, alone.on(2), 0)).isEqualTo(Recomputation.BLOCK);
        assertThat(MachineMemory.fitting(plan, alone, 1L << 30)).isNotEqualTo(Recomputation.NONE);
    }

    @Test
    void moreRanksThanCanRunAndAMachineWithoutMemoryAreRefusedByName() {
        assertThatThrownBy(() -> MachineMemory.require(PLAN, Recomputation.BLOCK,
                new ParallelLayout(1 << 15, 1, 1, 0), 0, 4L << 30))
                .isInstanceOfSatisfying(CastaliaException.class, e ->
                        assertThat(e.code()).isEqualTo(ErrorCode.CONFIG_INVALID))
                .hasMessageContaining("32768 ranks; at most 16384 can run");
        assertThatThrownBy(() -> MachineMemory.require(
                PLAN, Recomputation.BLOCK, new ParallelLayout(4, 1, 1, 0), 0, 0))
                .isInstanceOfSatisfying(CastaliaException.class, e ->
                        assertThat(e.code()).isEqualTo(ErrorCode.OUT_OF_MEMORY))
                .hasMessageContaining("has no memory left");
    }

    @Test
    void thisMachineHasMemory() {
        assertThat(MachineMemory.usableBytes()).isBetween(64L << 20, 1L << 50);
    }
}
