package castalia.protocol.step;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.HexFormat;
import org.junit.jupiter.api.Test;

class ScalarStateTest {

    @Test
    void theCanonicalBytesAreSixLittleEndianNumbers() {
        assertThat(HexFormat.of().formatHex(new ScalarState(258, 3, 1.5, 4, -1, 2).bytes()))
                .isEqualTo("0201000000000000" + "0300000000000000" + "000000000000f83f"
                        + "0400000000000000" + "ffffffffffffffff" + "0200000000000000");
    }

    @Test
    void everyComponentChangesTheBytes() {
        ScalarState state = new ScalarState(9, 8, 2, 7, 5, 2);
        ScalarState[] others = {
            new ScalarState(10, 8, 2, 7, 5, 2), new ScalarState(9, 7, 2, 7, 5, 2),
            new ScalarState(9, 8, 4, 7, 5, 2), new ScalarState(9, 8, 2, 8, 5, 2),
            new ScalarState(9, 8, 2, 7, 6, 2), new ScalarState(9, 8, 2, 7, 5, 1),
        };
        for (ScalarState other : others) {
            assertThat(other.bytes()).isNotEqualTo(state.bytes());
        }
    }

    @Test
    void aStepIsAppliedOrSkipped() {
        assertThat(ScalarState.initial().applied().skipped().applied())
                .isEqualTo(new ScalarState(3, 2, 1, 0, -1, 1));
    }

    @Test
    void impossibleStatesAreRefused() {
        assertThatThrownBy(() -> new ScalarState(1, 2, 1, 0, -1, 1))
                .hasMessage("step 1 with 2 applied updates");
        assertThatThrownBy(() -> new ScalarState(1, 1, 0, 0, -1, 1)).hasMessage("loss scale 0.0");
        assertThatThrownBy(() -> new ScalarState(1, 1, Double.NaN, 0, -1, 1))
                .hasMessage("loss scale NaN");
        assertThatThrownBy(() -> new ScalarState(1, 1, 1, 3, 4, 1))
                .hasMessage("scaler iteration 3 with last overflow 4 and hysteresis 1");
        assertThatThrownBy(() -> new ScalarState(1, 1, 1, 3, -1, 0))
                .hasMessageContaining("hysteresis 0");
    }

    @Test
    void digestsAddUpModulo64BitsWhateverTheOrder() {
        StateDigest a = new StateDigest(Long.MAX_VALUE, -5);
        StateDigest b = new StateDigest(2, 7);
        assertThat(a.plus(b)).isEqualTo(b.plus(a))
                .isEqualTo(new StateDigest(Long.MIN_VALUE + 1, 2));
        assertThat(a.plus(StateDigest.ZERO)).isEqualTo(a);
        assertThat(new StateDigest(1, -1).hex()).isEqualTo("0000000000000001ffffffffffffffff");
    }
}
