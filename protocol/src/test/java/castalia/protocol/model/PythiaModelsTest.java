package castalia.protocol.model;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.data.Offset.offset;

import castalia.protocol.model.Parameter.Role;
import castalia.protocol.model.Parameter.Split;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class PythiaModelsTest {

    private static ModelShape shape(String name) {
        return PythiaModels.named(name).orElseThrow().shape();
    }

    @ParameterizedTest
    @CsvSource({
        "14m, 6, 128, 4, 32, 8, 512, 50304, 14067712, 1189888, 10240",
        "31m, 6, 256, 8, 32, 8, 1024, 50304, 30494720, 4739072, 20480",
        "70m, 6, 512, 8, 64, 16, 2048, 50304, 70426624, 18915328, 40960",
        "160m, 12, 768, 12, 64, 16, 3072, 50304, 162322944, 85056000, 121344",
        "410m, 24, 1024, 16, 64, 16, 4096, 50304, 405334016, 302311424, 321536",
        "1b, 16, 2048, 8, 256, 64, 8192, 50304, 1011781632, 805736448, 430080",
        "1.4b, 24, 2048, 16, 128, 32, 8192, 50304, 1414647808, 1208602624, 643072",
        "2.8b, 32, 2560, 32, 80, 20, 10240, 50304, 2775208960, 2517652480, 1070080",
        "6.9b, 32, 4096, 32, 128, 32, 16384, 50432, 6857302016, 6444163072, 1712128",
        "12b, 36, 5120, 40, 128, 32, 20480, 50688, 11846072320, 11327027200, 2406400",
    })
    void theCountsArePublishedOnes(
            String name, int layers, int hidden, int heads, int headDimension, int rotary,
            int intermediate, int vocabulary, long total, long nonEmbedding, long noDecay) {
        ModelShape shape = shape(name);
        assertThat(shape.layers()).isEqualTo(layers);
        assertThat(shape.hidden()).isEqualTo(hidden);
        assertThat(shape.heads()).isEqualTo(heads);
        assertThat(shape.headDimension()).isEqualTo(headDimension);
        assertThat(shape.rotaryDimensions()).isEqualTo(rotary);
        assertThat(shape.intermediate()).isEqualTo(intermediate);
        assertThat(shape.vocabulary()).isEqualTo(vocabulary);
        assertThat(shape.parameters()).isEqualTo(total);
        List<Parameter> all = NeoxParameters.of(shape);
        assertThat(all.stream()
                        .filter(p -> p.role() != Role.EMBEDDING && p.role() != Role.HEAD)
                        .mapToLong(Parameter::elements).sum())
                .isEqualTo(nonEmbedding);
        assertThat(all.stream().filter(p -> !p.role().decay())
                        .mapToLong(Parameter::elements).sum())
                .isEqualTo(noDecay);
        long h = hidden;
        assertThat(shape.parameters())
                .isEqualTo(layers * (12 * h * h + 13 * h) + 2 * h + 2 * h * vocabulary);
    }

    @Test
    void theVocabularyIsPaddedTo128TimesTheModelParallelDegree() {
        for (PythiaModels.Preset preset : PythiaModels.all()) {
            int multiple = 128 * preset.shape().publishedModelParallel();
            assertThat(preset.shape().vocabulary())
                    .isEqualTo((50_277 + multiple - 1) / multiple * multiple);
            assertThat(preset.lowestRate()).isEqualTo(preset.peakRate() / 10, offset(1e-18));
            assertThat(preset.shape().gelu()).isEqualTo(Gelu.TANH);
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {"70m", "70M", "pythia-70m", "Pythia-70M"})
    void aModelIsFoundByEitherName(String name) {
        assertThat(PythiaModels.named(name)).hasValueSatisfying(
                preset -> assertThat(preset.fullName()).isEqualTo("pythia-70m"));
    }

    @Test
    void anUnknownNameFindsNothing() {
        assertThat(PythiaModels.named("70")).isEmpty();
        assertThat(PythiaModels.named("gpt-70m")).isEmpty();
    }

    @Test
    void aModelHasFourTensorsAndTwelvePerLayerWithDistinctNames() {
        assertThat(NeoxParameters.of(shape("70m"))).hasSize(76);
        assertThat(NeoxParameters.of(shape("160m"))).hasSize(148);
        assertThat(NeoxParameters.of(shape("12b"))).hasSize(436);
        Set<String> names = new HashSet<>();
        for (Parameter p : NeoxParameters.of(shape("70m"))) {
            assertThat(names.add(p.name())).as(p.name()).isTrue();
        }
    }

    @Test
    void matricesDecayAndVectorsDoNot() {
        for (Parameter p : NeoxParameters.of(shape("70m"))) {
            boolean vector = p.columns() == 1;
            assertThat(p.role().vector()).as(p.name()).isEqualTo(vector);
            assertThat(p.role().decay()).as(p.name()).isEqualTo(!vector);
            boolean norm = p.name().contains("layernorm") || p.name().contains("layer_norm");
            assertThat(p.name().endsWith(".bias") || norm).as(p.name()).isEqualTo(vector);
        }
    }

    @Test
    void rowParallelTensorsAreCutByColumnsAndTheirBiasesAreNotCut() {
        for (Parameter p : NeoxParameters.of(shape("70m"))) {
            Split expected = switch (p.role()) {
                case DENSE_WEIGHT, DOWN_WEIGHT -> Split.COLUMNS;
                case EMBEDDING, QKV_WEIGHT, UP_WEIGHT, QKV_BIAS, UP_BIAS, HEAD -> Split.ROWS;
                case LN1_WEIGHT, LN1_BIAS, LN2_WEIGHT, LN2_BIAS, DENSE_BIAS, DOWN_BIAS,
                        FINAL_LN_WEIGHT, FINAL_LN_BIAS -> Split.NONE;
            };
            assertThat(p.role().split()).as(p.name()).isEqualTo(expected);
        }
    }

    @Test
    void aShapeThatCannotBeIsRefusedWithItsValues() {
        assertThatThrownBy(() -> new ModelShape(
                        1, 5120, 36, 4, 4, 4, 0, 10_000, 1e-5, true, Gelu.ERF, 1))
                .hasMessage("hidden-size 5120 is not a multiple of num-attention-heads 36");
        assertThatThrownBy(() -> new ModelShape(
                        1, 8, 2, 4, 4, 4, 3, 10_000, 1e-5, true, Gelu.ERF, 1))
                .hasMessageContaining("rotary dimensions 3");
        assertThatThrownBy(() -> new ModelShape(
                        1, 8, 2, 4, 4, 4, 6, 10_000, 1e-5, true, Gelu.ERF, 1))
                .hasMessageContaining("between 0 and the head dimension 4");
        assertThatThrownBy(() -> new ModelShape(
                        0, 8, 2, 4, 4, 4, 2, 10_000, 1e-5, true, Gelu.ERF, 1))
                .hasMessage("layers is 0; it must lie between 1 and 4096");
        assertThatThrownBy(() -> new ModelShape(
                        4096, 1 << 24, 1, 1 << 24, 1 << 24, 4, 0, 10_000, 1e-5, true, Gelu.ERF, 1))
                .hasMessage("the model would have more than 6918091977594503168 parameters;"
                        + " at most 274877906944 are possible");
        assertThatThrownBy(() -> new ModelShape(
                        1, 8, 2, 4, 4, 4, 2, Double.NaN, 1e-5, true, Gelu.ERF, 1))
                .hasMessageContaining("rotary base NaN");
        assertThatThrownBy(() -> new ModelShape(
                        1, 8, 2, 4, 4, 4, 2, 10_000, 0, true, Gelu.ERF, 1))
                .hasMessageContaining("layer norm epsilon 0.0");
        assertThatThrownBy(() -> new ModelShape(
                        1, 8, 2, 4, 4, 4, 2, 10_000, 1e-5, true, Gelu.ERF, 3))
                .hasMessageContaining("published model-parallel degree 3");
    }
}
