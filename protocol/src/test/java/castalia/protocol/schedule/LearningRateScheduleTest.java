package castalia.protocol.schedule;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.Fixtures;
import com.fasterxml.jackson.databind.JsonNode;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LearningRateScheduleTest {

    private interface Maker {
        LearningRateSchedule make(double peak, double floor, double warmup, long decay);
    }

    @Test
    void neoxV1GivesTheBitsOfTheOriginalCode() {
        assertThat(matches("learning-rates-neox-v1.0.json", LearningRateSchedule.NeoxV1::new))
                .isEqualTo(5 * 22);
    }

    @Test
    void neoxCurrentGivesTheBitsOfTheOriginalCode() {
        assertThat(matches(
                        "learning-rates-neox-current.json", LearningRateSchedule.NeoxCurrent::new))
                .isEqualTo(5 * 22);
    }

    private static int matches(String fixture, Maker maker) {
        JsonNode file = Fixtures.json(fixture);
        int compared = 0;
        for (Map.Entry<String, JsonNode> model : file.get("lr").properties()) {
            JsonNode facts = model.getValue();
            LearningRateSchedule schedule = maker.make(
                    facts.get("lr").asDouble(),
                    facts.get("min_lr").asDouble(),
                    facts.get("warmup_iter").asDouble(),
                    file.get("decay_iters").asLong());
            for (Map.Entry<String, JsonNode> value : facts.get("values").properties()) {
                double expected = Double.parseDouble(hexDouble(value.getValue().asText()));
                double actual = schedule.at(Long.parseLong(value.getKey()));
                assertThat(Double.toHexString(actual))
                        .as("%s after %s updates", model.getKey(), value.getKey())
                        .isEqualTo(Double.toHexString(expected));
                compared++;
            }
        }
        return compared;
    }

    private static String hexDouble(String text) {
        return text.substring(0, text.indexOf(' '));
    }

    @Test
    void theFirstUpdateOfV1HasRateZeroAndTheFloorIsReachedAt115139() {
        LearningRateSchedule v1 = new LearningRateSchedule.NeoxV1(1e-3, 1e-4, 1430, 143_000);
        assertThat(v1.at(0)).isZero();
        assertThat(v1.at(1430)).isEqualTo(1e-3);
        assertThat(v1.at(115_138)).isGreaterThan(1e-4);
        assertThat(v1.at(115_139)).isEqualTo(1e-4);
        assertThat(v1.at(10_000_000)).isEqualTo(1e-4);
    }

    @Test
    void neoxCurrentStaysAtTheFloorAfterTheDecay() {
        LearningRateSchedule current =
                new LearningRateSchedule.NeoxCurrent(1e-3, 1e-4, 1430, 143_000);
        assertThat(current.at(0)).isEqualTo(current.at(1)).isPositive();
        assertThat(current.at(143_001)).isEqualTo(1e-4);
    }

    @Test
    void withoutWarmUpTheFirstRateIsThePeak() {
        assertThat(new LearningRateSchedule.NeoxV1(1e-3, 0, 0, 100).at(0)).isEqualTo(1e-3);
        assertThat(new LearningRateSchedule.NeoxCurrent(1e-3, 0, 0, 100).at(0)).isEqualTo(1e-3);
        assertThat(new LearningRateSchedule.Constant(1e-3, 0).at(0)).isEqualTo(1e-3);
    }

    @Test
    void theConstantScheduleWarmsUpAndStays() {
        LearningRateSchedule constant = new LearningRateSchedule.Constant(0.5, 4);
        assertThat(new double[] {
                    constant.at(0), constant.at(1), constant.at(2), constant.at(3), constant.at(4)
                })
                .containsExactly(0.125, 0.125, 0.25, 0.375, 0.5);
        assertThat(constant.at(Long.MAX_VALUE)).isEqualTo(0.5);
    }

    @ParameterizedTest
    @ValueSource(doubles = {0, -1, Double.NaN, Double.POSITIVE_INFINITY})
    void aPeakThatIsNoPositiveNumberIsRefused(double peak) {
        assertThatThrownBy(() -> new LearningRateSchedule.NeoxV1(peak, 0, 0, 10))
                .hasMessageContaining("learning rate " + peak);
        assertThatThrownBy(() -> new LearningRateSchedule.Constant(peak, 0))
                .hasMessageContaining("learning rate " + peak);
    }

    @Test
    void aFloorAboveThePeakIsRefused() {
        assertThatThrownBy(() -> new LearningRateSchedule.NeoxCurrent(1e-4, 1e-3, 0, 10))
                .hasMessage("lowest learning rate (min_lr) 0.001 must lie between 0 and the"
                        + " learning rate 1.0E-4");
    }

    @Test
    void aWarmUpThatFillsTheDecayIsRefused() {
        assertThatThrownBy(() -> new LearningRateSchedule.NeoxV1(1e-3, 0, 10, 10))
                .hasMessageContaining("shorter than the decay of 10");
        assertThatThrownBy(() -> new LearningRateSchedule.NeoxV1(1e-3, 0, Double.NaN, 10))
                .hasMessageContaining("warm-up of NaN");
    }

    @Test
    void aNegativeCountIsRefused() {
        LearningRateSchedule constant = new LearningRateSchedule.Constant(1, 0);
        assertThatThrownBy(() -> constant.at(-1)).isInstanceOf(IllegalArgumentException.class);
    }

    @Test
    void negativeZeroAndZeroAreOneFloor() {
        assertThat(new LearningRateSchedule.NeoxV1(1, -0.0, 0, 2))
                .isEqualTo(new LearningRateSchedule.NeoxV1(1, 0.0, 0, 2));
    }
}
