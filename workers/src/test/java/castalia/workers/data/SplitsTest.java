package castalia.workers.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class SplitsTest {
    /** Expected values computed with GPT-NeoX's own arithmetic in Python. */
    @ParameterizedTest
    @CsvSource({
        "'969, 30, 1', 1000, 969, 999, 1000",
        "'969, 30, 1', 1281, 1242, 1280, 1281",
        "'969,30,1', 10, 10, 10, 10",
        "'1,1,1', 10, 4, 7, 10",
        "'0.5, 0.5', 5, 3, 5, 5",
        "'90/5/5', 37, 33, 35, 37",
        "'1', 12, 12, 12, 12",
        "'1, 1, 0', 3, 1, 3, 3",
        "'95, 5, 0', 134318121, 127602215, 134318121, 134318121",
        "'1,1,1,7', 9, 3, 6, 9",
    })
    void theBoundariesAreThoseOfGptNeox(
            String split, long documents, long valid, long test, long end) {
        assertThat(Splits.parse(split, documents)).isEqualTo(new Splits.Parts(valid, test, end));
    }

    @ParameterizedTest
    @ValueSource(strings = {"", "a,b", "0,0,0", "-1,2,3", "NaN", "1e999,1", "1;2"})
    void whatIsNoSplitIsRefusedByName(String split) {
        assertThatThrownBy(() -> Splits.parse(split, 10))
                .isInstanceOf(DataException.class)
                .hasMessageContaining("split '" + split + "'");
    }

    @Test
    void aSplitWhoseRoundingRunsBackwardsIsRefused() {
        assertThatThrownBy(() -> Splits.parse("0,50,50", 3))
                .isInstanceOf(DataException.class)
                .hasMessageContaining("-1");
    }

    @Test
    void pythiaAsksForTheSamplesThatItsRunsAskedFor() {
        long sequences = Splits.trainSequences(143_000, 1024);
        assertThat(Splits.requested(sequences, 1.0)).isEqualTo(147_164_160);
        assertThat(Splits.validSequences(143_000, 143_000, 10, 1024)).isEqualTo(20_480);
        assertThat(Splits.requested(20_480, 1.0)).isEqualTo(20_583);
    }
}
