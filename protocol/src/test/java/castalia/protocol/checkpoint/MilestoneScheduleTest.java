package castalia.protocol.checkpoint;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.List;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

class MilestoneScheduleTest {

    @Test
    void thePublishedRunsHave154Milestones() {
        List<Long> steps = MilestoneSchedule.published().steps();
        assertThat(steps).hasSize(154).isSorted();
        assertThat(steps.subList(0, 13)).containsExactly(
                0L, 1L, 2L, 4L, 8L, 16L, 32L, 64L, 128L, 256L, 512L, 1000L, 2000L);
        assertThat(steps.getLast()).isEqualTo(143_000);
    }

    @Test
    void aStepIsDueIfAndOnlyIfItIsListed() {
        for (MilestoneSchedule schedule : List.of(
                MilestoneSchedule.published(),
                MilestoneSchedule.of(10, 3, List.of(0L, 10L, 11L, 99L)),
                MilestoneSchedule.of(9, 3, List.of()),
                MilestoneSchedule.of(1, 1, List.of()),
                MilestoneSchedule.of(20, 0, List.of(7L)),
                MilestoneSchedule.of(5, 100, List.of(5L)))) {
            List<Long> due = LongStream.range(-2, schedule.trainSteps() + 200)
                    .filter(schedule::due)
                    .boxed()
                    .toList();
            assertThat(schedule.steps()).isEqualTo(due);
        }
    }

    @Test
    void theStartIsAMilestoneOnlyIfItIsNamedAndTheEndAlwaysIs() {
        assertThat(MilestoneSchedule.of(10, 3, List.of()).steps())
                .containsExactly(3L, 6L, 9L, 10L);
        assertThat(MilestoneSchedule.of(10, 3, List.of(0L, 50L)).steps())
                .containsExactly(0L, 3L, 6L, 9L, 10L);
    }

    @Test
    void manyMilestonesAreAnsweredButNotListed() {
        MilestoneSchedule schedule = MilestoneSchedule.of(1L << 39, 1, List.of());
        assertThat(schedule.due(123_456_789_012L)).isTrue();
        assertThatThrownBy(schedule::steps).hasMessageContaining("too many to list");
    }

    @Test
    void impossibleSettingsAreRefused() {
        assertThatThrownBy(() -> MilestoneSchedule.of(0, 1, List.of()))
                .hasMessage("train-iters 0 must be at least 1");
        assertThatThrownBy(() -> MilestoneSchedule.of(1, -1, List.of()))
                .hasMessage("checkpoint-factor -1 must be at least 0 (0: none)");
        assertThatThrownBy(() -> MilestoneSchedule.of(1, 1, List.of(-3L)))
                .hasMessage("extra-save-iters contains -3, which is no step");
    }

    @Test
    void theExtraStepsCannotBeChangedFromOutside() {
        MilestoneSchedule schedule = MilestoneSchedule.of(10, 0, List.of(2L));
        schedule.extra().add(3L);
        assertThat(schedule.due(3)).isFalse();
    }
}
