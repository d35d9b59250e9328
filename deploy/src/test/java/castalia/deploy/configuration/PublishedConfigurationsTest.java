package castalia.deploy.configuration;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.checkpoint.MilestoneSchedule;
import castalia.protocol.model.PythiaModels;
import castalia.protocol.schedule.LearningRateSchedule;
import castalia.protocol.schedule.LossScaler;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.Problems;
import castalia.protocol.specification.ProblemsException;
import castalia.protocol.specification.TrainingPlan;
import castalia.testing.NotRun;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** The 28 published configurations, read in place where they are present. */
class PublishedConfigurationsTest {

    private static final TokenizerSize TOKENIZER = _ -> 50_277;

    private static final String OVERRIDE = """
            , "castalia": {"global-batch": 1024}
            }
            """;

    private static Map<String, String> files(String folder, String test) {
        Path data = Path.of(System.getProperty("castalia.root", "..")).toAbsolutePath()
                .resolveSibling("shared").resolve("data").resolve(folder).normalize();
        NotRun.unless(Files.isDirectory(data), "PublishedConfigurationsTest." + test,
                "../shared/data is absent");
        Map<String, String> texts = new TreeMap<>();
        try (Stream<Path> paths = Files.list(data)) {
            for (Path path : paths.filter(p -> p.toString().endsWith(".yml")).toList()) {
                texts.put(path.getFileName().toString(), Files.readString(path));
            }
        } catch (IOException e) {
            throw new AssertionError(e);
        }
        return texts;
    }

    private static String text(Map<String, String> files, String name) {
        return Optional.ofNullable(files.get(name)).orElseThrow();
    }

    private static String problems(String name, String text) {
        try {
            NeoxYaml.parse(name, text, TOKENIZER, new Problems());
            return "none";
        } catch (ProblemsException e) {
            return e.report().replaceAll("(?m)^\\S+?:[0-9]+: ", "");
        }
    }

    /** The same file with a castalia block before its last brace. */
    private static String overridden(String text) {
        String body = text.stripTrailing();
        assertThat(body).endsWith("}");
        body = body.substring(0, body.length() - 1).stripTrailing();
        return (body.endsWith(",") ? body.substring(0, body.length() - 1) : body) + OVERRIDE;
    }

    @Test
    void theBrokenOnesAreNamedAndTheOthersRunAsTheyAre() {
        Map<String, String> files =
                files("pythia-configs", "theBrokenOnesAreNamedAndTheOthersRunAsTheyAre");
        assertThat(files).hasSize(18);
        files.forEach((name, text) -> {
            String expected = switch (name) {
                case "pythia-12b.yml" -> "is not YAML (column 4): expected ',' or '}', but got"
                        + " <scalar>; is a comma missing at the end of line 19?";
                case "pythia-12b-deduped.yml" -> "num-attention-heads: 36 does not divide"
                        + " hidden-size 5120; are num-layers and num-attention-heads swapped?\n"
                        + "attention-config: describes 36 layers; num-layers is 40";
                default -> "none";
            };
            assertThat(problems(name, text)).as(name).isEqualTo(expected);
        });
    }

    @Test
    void theLinesOfTheBrokenOnesAreNamed() {
        Map<String, String> files = files("pythia-configs", "theLinesOfTheBrokenOnesAreNamed");
        assertThatThrownBy(() -> NeoxYaml.parse(
                        "12b", text(files, "pythia-12b.yml"), TOKENIZER, new Problems()))
                .hasMessageStartingWith("12b:21: ");
        assertThatThrownBy(() -> NeoxYaml.parse(
                        "12b", text(files, "pythia-12b-deduped.yml"), TOKENIZER, new Problems()))
                .hasMessageStartingWith("12b:9: num-attention-heads: 36");
    }

    @Test
    void theExamplesOfGptNeoxRunAsTheyAre() {
        Map<String, String> files = files(
                "neox-pythia-configs", "theExamplesOfGptNeoxRunAsTheyAre");
        assertThat(files).hasSize(10);
        files.forEach((name, text) -> assertThat(problems(name, text))
                .as(name)
                .isEqualTo("none"));
    }

    @Test
    void withTheGlobalBatchTheyGiveThePublishedModelsAndRuns() {
        String test = "withTheGlobalBatchTheyGiveThePublishedModelsAndRuns";
        Map<String, String> files = files("pythia-configs", test);
        files.keySet().removeAll(List.of("pythia-12b.yml", "pythia-12b-deduped.yml"));
        files("neox-pythia-configs", test).forEach((name, text) -> {
            String size = name.toLowerCase(Locale.ROOT).replaceFirst("(\\d)-(\\d)", "$1.$2");
            files.put("pythia-" + size + " of GPT-NeoX", text);
        });
        assertThat(files).hasSize(26);
        files.forEach((name, text) -> {
            TrainingConfiguration c =
                    NeoxYaml.parse(name, overridden(text), TOKENIZER, new Problems());
            PythiaModels.Preset preset = PythiaModels.named(
                            name.replaceFirst("(-deduped)?\\.yml.*", ""))
                    .orElseThrow();
            TrainingPlan plan = c.plan();
            assertThat(plan.model()).as(name).isEqualTo(preset.shape());
            assertThat(plan.schedule()).as(name).isEqualTo(new LearningRateSchedule.NeoxV1(
                    preset.peakRate(), preset.lowestRate(), 1430, 143_000));
            boolean brain = name.equals("pythia-1b.yml of GPT-NeoX");
            assertThat(plan.precision()).as(name)
                    .isEqualTo(brain ? Precision.BF16 : Precision.FP16);
            assertThat(plan.lossScaler()).as(name).isEqualTo(
                    brain ? new LossScaler.None() : LossScaler.Dynamic.published());
            assertThat(plan.globalBatch()).isEqualTo(1024);
            assertThat(plan.tokensPerStep()).isEqualTo(2_097_152);
            assertThat(plan.virtualRanks() * plan.microBatchesPerVirtualRank() * plan.microBatch())
                    .isEqualTo(1024);
            assertThat(plan.trainSteps()).isEqualTo(143_000);
            assertThat(c.milestones()).isEqualTo(MilestoneSchedule.published());
        });
    }

    @Test
    void theSecondBlockOfThePublished12bDiffersOnlyByTheFaultsFoundInIt() {
        String test = "theSecondBlockOfThePublished12bDiffersOnlyByTheFaultsFoundInIt";
        String broken = text(files("pythia-configs", test), "pythia-12b.yml");
        String repaired = broken.replace("[[[\"flash\"], 36]]", "[[[\"flash\"], 36]],");
        assertThat(problems("pythia-12b.yml", repaired)).isEqualTo("none");
        TrainingConfiguration c = NeoxYaml.parse(
                "pythia-12b.yml", overridden(repaired), TOKENIZER, new Problems());
        assertThat(c.plan().model())
                .isEqualTo(PythiaModels.named("12b").orElseThrow().shape());
    }
}
