package castalia.protocol.schedule;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.Fixtures;
import castalia.protocol.step.ScalarState;
import com.fasterxml.jackson.databind.JsonNode;
import org.junit.jupiter.api.Test;

class LossScalerTest {

    @Test
    void theTraceOfTheOriginalClassIsReproduced() {
        int aborts = 0;
        for (JsonNode recorded : Fixtures.json("loss-scale-trace.json").get("cases")) {
            JsonNode cfg = recorded.get("cfg");
            LossScaler scaler = new LossScaler.Dynamic(
                    cfg.get("init_scale").asDouble(),
                    cfg.get("scale_window").asLong(),
                    cfg.get("min_scale").asDouble(),
                    cfg.get("delayed_shift").asInt());
            ScalarState state = scaler.initial();
            for (int i = 0; i < recorded.get("trace").size(); i++) {
                JsonNode row = recorded.get("trace").get(i);
                assertThat(state.lossScale()).as("scale used, row %d", i)
                        .isEqualTo(row.get(0).asDouble());
                boolean overflow = recorded.get("overflow").get(i).asBoolean();
                switch (scaler.after(state, overflow)) {
                    case LossScaler.Updated(ScalarState next) -> {
                        assertThat(next).as("row %d", i).isEqualTo(new ScalarState(
                                i + 1,
                                state.appliedUpdates() + (overflow ? 0 : 1),
                                row.get(1).asDouble(),
                                row.get(3).asLong(),
                                row.get(4).asLong(),
                                row.get(2).asInt()));
                        state = next;
                    }
                    case LossScaler.Abort(long step, double scale) -> {
                        assertThat(row.get(1).asText()).isEqualTo("EXC");
                        assertThat(step).isEqualTo(i);
                        assertThat(scale).isEqualTo(1);
                        aborts++;
                    }
                }
            }
        }
        assertThat(aborts).isEqualTo(1);
    }

    @Test
    void thePublishedSettingsDoubleFirstAfterAThousandSteps() {
        LossScaler scaler = LossScaler.Dynamic.published();
        ScalarState state = scaler.initial();
        for (int i = 0; i < 2001; i++) {
            double before = state.lossScale();
            state = updated(scaler.after(state, false));
            boolean doubles = i == 999 || i == 1999;
            assertThat(state.lossScale()).as("iteration %d", i)
                    .isEqualTo(doubles ? 2 * before : before);
        }
        assertThat(state.lossScale()).isEqualTo(16384);
    }

    @Test
    void aFixedScaleStaysThroughOverflowsAndUpdates() {
        LossScaler scaler = new LossScaler.Fixed(128);
        ScalarState state = updated(scaler.after(scaler.initial(), true));
        for (int i = 0; i < 2000; i++) {
            state = updated(scaler.after(state, i % 3 == 0));
        }
        assertThat(state.lossScale()).isEqualTo(128);
        assertThat(state.step()).isEqualTo(2001);
        assertThat(state.appliedUpdates()).isEqualTo(1333);
        assertThatThrownBy(() -> new LossScaler.Fixed(0))
                .hasMessage("loss_scale 0.0 must be finite and exceed 0");
    }

    @Test
    void withoutScalingASkippedStepIsANewVersionWithTheSameUpdates() {
        LossScaler scaler = new LossScaler.None();
        ScalarState state = updated(scaler.after(scaler.initial(), false));
        assertThat(state).isEqualTo(new ScalarState(1, 1, 1, 0, -1, 1));
        assertThat(updated(scaler.after(state, true)))
                .isEqualTo(new ScalarState(2, 1, 1, 0, -1, 1));
    }

    @Test
    void theLargestScaleIsKeptRatherThanInfinity() {
        LossScaler scaler = new LossScaler.Dynamic(0x1p1023, 1, 1, 1);
        assertThat(updated(scaler.after(scaler.initial(), false)).lossScale()).isEqualTo(0x1p1023);
    }

    @Test
    void settingsThatCannotWorkAreRefused() {
        assertThatThrownBy(() -> new LossScaler.Dynamic(1, 1000, 2, 2))
                .hasMessageContaining("loss scale 1.0").hasMessageContaining("min_loss_scale 2.0");
        assertThatThrownBy(() -> new LossScaler.Dynamic(4, 0, 1, 2))
                .hasMessage("loss_scale_window 0 must be at least 1");
        assertThatThrownBy(() -> new LossScaler.Dynamic(4, 4, 1, 0))
                .hasMessage("hysteresis 0 must be at least 1");
    }

    private static ScalarState updated(LossScaler.Result result) {
        return switch (result) {
            case LossScaler.Updated(ScalarState state) -> state;
            case LossScaler.Abort abort -> throw new AssertionError(abort);
        };
    }
}
