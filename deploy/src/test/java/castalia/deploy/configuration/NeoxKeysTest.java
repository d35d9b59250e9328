package castalia.deploy.configuration;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.specification.Problems;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class NeoxKeysTest {

    static List<String> harmless() {
        return NeoxKeys.accepted().stream()
                .filter(key -> NeoxKeys.harmless(key).isPresent())
                .toList();
    }

    @Test
    void aKeyStandsInOneTableOnlyAndInCanonicalSpelling() {
        for (String key : NeoxKeys.all()) {
            int tables = (NeoxKeys.harmless(key).isPresent() ? 1 : 0)
                    + (NeoxKeys.fixed(key).isPresent() ? 1 : 0)
                    + (NeoxKeys.refused(key) ? 1 : 0);
            assertThat(tables).as(key).isEqualTo(1);
            assertThat(Settings.canonical(key)).isEqualTo(key);
        }
    }

    @Test
    void aKeyThatIsReadStandsInNoTable() throws Exception {
        Findings findings = new Findings("f");
        Settings top = new Settings(findings, "",
                YamlTree.parse(Texts.resource("everything.yml")));
        Settings castalia = top.section("castalia").orElseThrow();
        ModelReader models = new ModelReader(findings, top, castalia);
        new PlanReader(findings, top, castalia).plan(models.shape(_ -> 10), models);
        assertThat(top.asked()).hasSizeGreaterThan(25);
        assertThat(NeoxKeys.all()).doesNotContainAnyElementsOf(top.asked());
    }

    @ParameterizedTest
    @MethodSource("harmless")
    void aHarmlessKeyMayHaveAnyValueAndChangesNothing(String key) {
        String text = Texts.resource("smallest.yml");
        TrainingConfiguration plain = NeoxYaml.parse("f", text, _ -> 10, new Problems());
        for (String value : List.of("1", "true", "text", "[1, 2]", "{a: b}", "null")) {
            assertThat(NeoxYaml.parse(
                            "f", text + key + ": " + value + "\n", _ -> 10, new Problems()))
                    .isEqualTo(plain);
        }
        assertThat(NeoxKeys.harmless(key)).hasValueSatisfying(r -> assertThat(r).isNotBlank());
    }
}
