package castalia.protocol.specification;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.data.Offset.offset;

import castalia.protocol.Samples;
import castalia.protocol.model.ModelShape;
import castalia.protocol.model.Parameter.Role;
import castalia.protocol.model.PythiaModels;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

class InitialisationTest {

    @ParameterizedTest
    @CsvSource({
        "14m, .05590170, .02946278", "31m, .03952847, .02083333", "70m, .02795085, .01473139",
        "160m, .02282177, .00601407", "410m, .01976424, .00260417", "1b, .01397542, .00276214",
        "1.4b, .01397542, .00184142", "2.8b, .0125, .00123526",
    })
    void thePublishedLinesGiveThePublishedDeviations(String name, double matrices, double outputs) {
        assertDeviations(Initialisation.Drawn.published(), name, matrices, outputs);
    }

    @ParameterizedTest
    @CsvSource({"6.9b, .02, .0025", "12b, .02, .00235702"})
    void theDefaultsGiveThoseOfTheTwoLargestModels(String name, double matrices, double outputs) {
        assertDeviations(Initialisation.Drawn.defaults(), name, matrices, outputs);
    }

    private static void assertDeviations(
            Initialisation.Drawn drawn, String name, double matrices, double outputs) {
        ModelShape shape = PythiaModels.named(name).orElseThrow().shape();
        for (Role role : Role.values()) {
            double expected = switch (role) {
                case EMBEDDING, QKV_WEIGHT, UP_WEIGHT, HEAD -> matrices;
                case DENSE_WEIGHT, DOWN_WEIGHT -> outputs;
                case LN1_WEIGHT, LN1_BIAS, LN2_WEIGHT, LN2_BIAS, DENSE_BIAS, DOWN_BIAS, QKV_BIAS,
                        UP_BIAS, FINAL_LN_WEIGHT, FINAL_LN_BIAS -> 0;
            };
            assertThat(drawn.std(role, shape)).as("%s", role).isEqualTo(expected, offset(5e-9));
        }
    }

    @ParameterizedTest
    @EnumSource(Role.class)
    void matricesAreDrawnAndVectorsAreConstant(Role role) {
        assertThat(Initialisation.Drawn.published().std(role, Samples.shape()) == 0)
                .isEqualTo(role.vector());
    }

    @Test
    void impossibleValuesAreRefused() {
        assertThatThrownBy(() -> new Initialisation.Normal(0))
                .hasMessage("init_method_std 0.0 must exceed 0");
        assertThatThrownBy(() -> new Initialisation.ScaledNormal(Double.NaN))
                .hasMessage("init_method_std NaN must exceed 0");
        assertThatThrownBy(() -> new Initialisation.FromFolder("AB".repeat(32)))
                .hasMessageContaining("64 lower-case hexadecimal digits");
        assertThatThrownBy(() -> new Initialisation.FromFolder("ab"))
                .hasMessageContaining("not 'ab'");
    }
}
