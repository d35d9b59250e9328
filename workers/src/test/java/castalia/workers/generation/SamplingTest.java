package castalia.workers.generation;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.within;

import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class SamplingTest {

    private static final float[] LOGITS = {0.5f, 2, -1, 1.5f, 9};

    private static int[] counts(Sampling sampling, int allowed, int draws) {
        int[] counts = new int[LOGITS.length];
        for (int i = 0; i < draws; i++) {
            counts[sampling.choose(LOGITS, allowed, i)]++;
        }
        return counts;
    }

    @Test
    void greedyTakesTheLargestLogitAndTheFirstOfEqualOnes() {
        Sampling greedy = Sampling.greedy();
        assertThat(greedy.choose(LOGITS, 5, 0)).isEqualTo(4);
        assertThat(greedy.choose(LOGITS, 4, 0)).as("only four are allowed").isEqualTo(1);
        assertThat(greedy.choose(new float[] {1, 3, 3}, 3, 7)).isEqualTo(1);
        assertThat(greedy.choose(new float[] {-5, -2, -9}, 3, 7)).isEqualTo(1);
    }

    @ParameterizedTest
    @ValueSource(doubles = {0.5, 1, 2})
    void drawsFollowTheSoftmaxAtTheTemperature(double temperature) {
        int draws = 20_000;
        int[] counts = counts(new Sampling(temperature, 0, 11), 4, draws);
        double total = 0;
        for (int i = 0; i < 4; i++) {
            total += Math.exp(LOGITS[i] / temperature);
        }
        for (int i = 0; i < 4; i++) {
            double expected = Math.exp(LOGITS[i] / temperature) / total;
            assertThat((double) counts[i] / draws).as("token %d", i)
                    .isCloseTo(expected, within(5 * Math.sqrt(expected / draws)));
        }
        assertThat(counts[4]).as("not allowed").isZero();
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "2, 2", "3, 3", "4, 4", "5, 4", "100, 4", "0, 4"})
    void onlyTheKMostLikelyAreDrawn(int k, int different) {
        int[] counts = counts(new Sampling(10, k, 3), 4, 2000);
        assertThat(Arrays.stream(counts).filter(c -> c > 0).count()).isEqualTo(different);
        assertThat(counts[1]).as("the most likely").isPositive();
        if (k == 2) {
            assertThat(counts[3]).isPositive();
        }
    }

    @Test
    void aSeedAndAPositionAlwaysGiveTheSameToken() {
        Sampling sampling = new Sampling(1, 0, 42);
        int[] first = new int[100];
        int[] again = new int[100];
        int[] other = new int[100];
        for (int i = 0; i < 100; i++) {
            first[i] = sampling.choose(LOGITS, 4, i);
            again[i] = new Sampling(1, 0, 42).choose(LOGITS, 4, i);
            other[i] = new Sampling(1, 0, 43).choose(LOGITS, 4, i);
        }
        assertThat(again).isEqualTo(first);
        assertThat(other).isNotEqualTo(first);
    }

    @Test
    void extremeTemperaturesStayDraws() {
        assertThat(counts(new Sampling(Double.MIN_VALUE, 0, 1), 5, 50)[4]).isEqualTo(50);
        assertThat(counts(new Sampling(1e300, 0, 1), 5, 2000)).doesNotContain(0);
    }

    @Test
    void impossibleSettingsAreRefusedWithTheirValue() {
        assertThatThrownBy(() -> new Sampling(-0.1, 0, 0))
                .isInstanceOf(IllegalArgumentException.class).hasMessageContaining("-0.1");
        assertThatThrownBy(() -> new Sampling(Double.NaN, 0, 0))
                .isInstanceOf(IllegalArgumentException.class).hasMessageContaining("NaN");
        assertThatThrownBy(() -> new Sampling(Double.POSITIVE_INFINITY, 0, 0))
                .isInstanceOf(IllegalArgumentException.class).hasMessageContaining("Infinity");
        assertThatThrownBy(() -> new Sampling(1, -1, 0))
                .isInstanceOf(IllegalArgumentException.class).hasMessageContaining("-1");
    }
}
