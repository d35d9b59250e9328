package castalia.deploy.configuration;

import static org.assertj.core.api.Assertions.assertThat;

import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class NearestKeyTest {

    @ParameterizedTest
    @CsvSource({
        "seed, seed, 0",
        "sede, seed, 1",
        "sed, seed, 1",
        "seeed, seed, 1",
        "need, seed, 1",
        "warm-up, warmup, 1",
        "'', seed, 4",
    })
    void editsAreInsertionsDeletionsReplacementsAndSwaps(String a, String b, int edits) {
        assertThat(NearestKey.edits(a, b)).isEqualTo(edits);
        assertThat(NearestKey.edits(b, a)).isEqualTo(edits);
    }

    @Test
    void theKeyWithTheFewestEditsIsNamed() {
        List<String> known = List.of("num-layers", "num-workers", "num-nodes");
        assertThat(NearestKey.of("num-layer", known)).contains("num-layers");
        assertThat(NearestKey.of("num-worker", known)).contains("num-workers");
    }

    @Test
    void aKeyThatIsLikeNoneHasNoHint() {
        assertThat(NearestKey.of("zzzz", List.of("seed", "save"))).isEmpty();
        assertThat(NearestKey.of("x", List.of())).isEmpty();
    }
}
