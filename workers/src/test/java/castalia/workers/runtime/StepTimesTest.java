package castalia.workers.runtime;

import static org.assertj.core.api.Assertions.assertThat;

import java.time.Duration;
import org.junit.jupiter.api.Test;

class StepTimesTest {

    private static final Duration LEAST = Duration.ofMillis(1500);

    private final StepTimes times = new StepTimes(LEAST);

    private void took(long millis, int steps) {
        for (int i = 0; i < steps; i++) {
            times.took(Duration.ofMillis(millis).toNanos());
        }
    }

    @Test
    void patienceIsFourTimesTheMedianOfTheLastStepsButNotTooShort() {
        took(10, 16);
        assertThat(times.patience()).isEqualTo(LEAST);
        took(60_000, 7);
        assertThat(times.patience()).isEqualTo(LEAST);
        took(1000, 16);
        assertThat(times.patience()).isEqualTo(Duration.ofSeconds(4));
    }

    @Test
    void withoutAnyStepPatienceIsLongWhateverTheGeneration() {
        assertThat(times.patience()).isEqualTo(Duration.ofSeconds(60));
        times.newGeneration();
        assertThat(times.patience()).isEqualTo(Duration.ofSeconds(60));
    }

    @Test
    void theFirstStepOfAGenerationIsGivenFourTimesAsLong() {
        took(1000, 3);
        times.newGeneration();
        assertThat(times.patience()).isEqualTo(Duration.ofSeconds(16));
        took(1000, 1);
        assertThat(times.patience()).isEqualTo(Duration.ofSeconds(4));
    }

    @Test
    void aSuspicionDoublesPatienceAndACompletedStepTakesOneDoublingBack() {
        took(1000, 3);
        times.suspected();
        times.suspected();
        assertThat(times.patience()).isEqualTo(Duration.ofSeconds(16));
        took(1000, 1);
        assertThat(times.patience()).isEqualTo(Duration.ofSeconds(8));
        took(1000, 5);
        assertThat(times.patience()).isEqualTo(Duration.ofSeconds(4));
    }

    @Test
    void stepsThatBecomeMuchLongerAreSuspectedAFewTimesOnly() {
        took(10, 16);
        Duration step = Duration.ofSeconds(40);
        int suspicions = 0;
        while (times.patience().compareTo(step) < 0) {
            times.suspected();
            times.newGeneration();
            suspicions++;
            assertThat(suspicions).isLessThan(10);
        }
        assertThat(suspicions).isPositive();
    }

    @Test
    void doublingsHaveAnEnd() {
        took(10, 1);
        for (int i = 0; i < 100; i++) {
            times.suspected();
        }
        assertThat(times.patience()).isEqualTo(LEAST.multipliedBy(64));
    }
}
