package castalia.protocol.layout;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class LayoutRequestTest {

    private static final LayoutWish BEFORE = new LayoutWish(3, 2, 1, 2);

    /** Parts below zero are not named. */
    private static LayoutRequest request(int d, int t, int zero, int buddies) {
        return new LayoutRequest(some(d), some(t), some(zero), some(buddies));
    }

    private static OptionalInt some(int value) {
        return value == -1 ? OptionalInt.empty() : OptionalInt.of(value);
    }

    @Test
    void whatIsNotNamedStays() {
        assertThat(LayoutRequest.NOTHING.isEmpty()).isTrue();
        assertThat(LayoutRequest.NOTHING.over(BEFORE, 4, 4)).isEqualTo(BEFORE);
        assertThat(request(4, -1, -1, -1).over(BEFORE, 4, 4)).isEqualTo(new LayoutWish(4, 2, 1, 2));
        assertThat(request(-1, -1, 3, -1).over(BEFORE, 4, 4)).isEqualTo(new LayoutWish(3, 2, 3, 2));
        assertThat(request(-1, 2, -1, 0).over(BEFORE, 4, 4)).isEqualTo(new LayoutWish(3, 2, 1, 0));
    }

    @Test
    void anotherTensorDegreeAloneTakesAsManyReplicasAsThereAreWorkersFor() {
        assertThat(request(-1, 4, -1, -1).over(BEFORE, 4, 4)).isEqualTo(new LayoutWish(0, 4, 1, 2));
        assertThat(request(0, 2, -1, -1).over(BEFORE, 4, 4)).isEqualTo(new LayoutWish(0, 2, 1, 2));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "5, -1, -1, -1 | data parallel degree 5 must lie between 1 and the run's 4 virtual ranks",
        "-2, -1, -1, -1 | data parallel degree -2 must lie between 1 and the run's 4 virtual ranks",
        "-1, 3, -1, -1 | tensor parallel degree 3 does not divide the run's tensor slices, which are 8:"
                + " use 1, 2, 4 or 8",
        "-1, 16, -1, -1 | tensor parallel degree 16 does not divide the run's tensor slices, which are"
                + " 8: use 1, 2, 4 or 8",
        "-1, 0, -1, -1 | tensor parallel degree 0 does not divide the run's tensor slices, which are 8:"
                + " use 1, 2, 4 or 8",
        "-1, -1, 4, -1 | ZeRO stage 4 is none of 0, 1, 2, 3",
        "-1, -1, -1, 3 | 3 buddies: choose 0, 1 or 2",
        "5, -1, 9, -1 | data parallel degree 5 must lie between 1 and the run's 4 virtual ranks; ZeRO"
                + " stage 9 is none of 0, 1, 2, 3"})
    void whatNoLayoutCanHaveIsRefusedWithWhatWouldFit(String parts, String message) {
        String[] p = parts.split(", ", -1);
        LayoutRequest request = request(Integer.parseInt(p[0].strip()), Integer.parseInt(p[1]),
                Integer.parseInt(p[2]), Integer.parseInt(p[3].strip()));
        assertThatThrownBy(() -> request.over(BEFORE, 4, 8)).hasMessage(message);
    }

    @Test
    void aRunWithoutSlicesIsNotSplit() {
        assertThatThrownBy(() -> request(-1, 2, -1, -1).over(LayoutWish.USUAL, 4, 1))
                .hasMessage("tensor parallel degree 2 does not divide the run's tensor slices, which are"
                        + " 1: use 1");
    }

    @Test
    void aWishIsMetByWhatItNames() {
        assertThat(BEFORE.metBy(new ParallelLayout(3, 2, 1, 2))).isTrue();
        assertThat(BEFORE.metBy(new ParallelLayout(2, 2, 1, 2))).isFalse();
        assertThat(BEFORE.metBy(new ParallelLayout(3, 1, 1, 2))).isFalse();
        assertThat(BEFORE.metBy(new ParallelLayout(3, 2, 2, 2))).isFalse();
        assertThat(BEFORE.metBy(new ParallelLayout(3, 2, 1, 1))).isFalse();
        assertThat(LayoutWish.USUAL.metBy(ParallelLayout.of(7))).isTrue();
        assertThat(BEFORE.words()).isEqualTo("3x2 ZeRO 1 buddies 2");
        assertThat(LayoutWish.USUAL.words()).isEqualTo("Dx1 ZeRO 1");
    }
}
