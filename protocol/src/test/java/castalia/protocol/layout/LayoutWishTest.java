package castalia.protocol.layout;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class LayoutWishTest {

    @ParameterizedTest
    @CsvSource({
        "0,1, 5,8, 5,1", "0,1, 9,8, 8,1", "0,4, 9,8, 2,4", "0,4, 3,8, 1,2", "2,2, 9,8, 2,2",
        "2,2, 3,8, 1,2", "3,1, 2,8, 2,1", "4,8, 1,8, 1,1"
    })
    void takesTheNearestThatTheWorkersCanHave(
            int d, int t, int workers, int virtualRanks, int replicas, int ranks) {
        assertThat(new LayoutWish(d, t, 2, 1).fit(workers, virtualRanks))
                .isEqualTo(new ParallelLayout(replicas, ranks, 2, 1));
    }

    @Test
    void itsTextSaysItAll() {
        LayoutWish wish = new LayoutWish(12, 4, 3, 2);
        assertThat(LayoutWish.parse(wish.text())).isEqualTo(wish);
        assertThatThrownBy(() -> LayoutWish.parse("zero 1")).hasMessageContaining("four lines");
        assertThatThrownBy(() -> LayoutWish.parse(wish.text().replace("zero 3", "zero 4")))
                .hasMessageContaining("ZeRO stage 4");
    }

    @Test
    void whatTheSpecificationForbidsIsRefused() {
        LayoutWish wish = new LayoutWish(8, 4, 1, 1);
        assertThat(wish.fits(8, 4)).isTrue();
        assertThat(wish.fits(7, 4)).isFalse();
        assertThat(wish.fits(8, 2)).isFalse();
        assertThatThrownBy(() -> wish.require(7, 4)).hasMessageContaining("use 1 to 7");
        assertThatThrownBy(() -> wish.require(8, 2)).hasMessageContaining("a power of two up to 2");
    }
}
