package castalia.deploy.configuration;

import static castalia.deploy.configuration.Texts.SIZE;
import static castalia.deploy.configuration.Texts.errors;
import static castalia.deploy.configuration.Texts.parse;
import static castalia.deploy.configuration.Texts.resource;
import static castalia.deploy.configuration.Texts.with;
import static castalia.deploy.configuration.Texts.withCastalia;
import static castalia.deploy.configuration.Texts.without;
import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.layout.LayoutRequest;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.schedule.LearningRateSchedule;
import castalia.protocol.schedule.LossScaler;
import castalia.protocol.specification.DataManifest;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.specification.OptimizerSettings;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.Problems.Problem;
import castalia.protocol.specification.Problems;
import castalia.protocol.specification.TrainingPlan;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class NeoxYamlTest {

    @Test
    void theSmallestFileGivesTheDefaults() {
        Problems problems = new Problems();
        TrainingConfiguration c =
                NeoxYaml.parse("s.yml", resource("smallest.yml"), SIZE, problems);
        assertThat(c.plan()).isEqualTo(new TrainingPlan(
                new ModelShape(2, 64, 4, 256, 384, 64, 16, 10_000, 1e-5, false, Gelu.ERF, 1),
                1, 1, 4, 4, 32,
                Precision.FP32,
                new OptimizerSettings(0.9, 0.999, 1e-8, 0.1, 1),
                new LearningRateSchedule.NeoxV1(0.001, 0, 1, 100),
                new LossScaler.None(),
                100,
                1234,
                Initialisation.Drawn.defaults()));
        assertThat(c.data()).isEqualTo(new DataSource.Unspecified());
        assertThat(c.tokenizer()).isEmpty();
        assertThat(c.save()).isEmpty();
        assertThat(c.load()).isEmpty();
        assertThat(c.milestones().steps()).containsExactly(100L);
        assertThat(c.evalInterval()).isEqualTo(1000);
        assertThat(c.evalIterations()).isEqualTo(100);
        assertThat(c.logInterval()).isEqualTo(100);
        assertThat(c.recomputation()).isEqualTo(Recomputation.NONE);
        assertThat(c.placement())
                .isEqualTo(new PlacementHints(OptionalInt.empty(), OptionalInt.empty(),
                        LayoutRequest.NOTHING, LayoutRequest.NOTHING));
        assertThat(problems.warnings()).map(Problem::toString).containsExactly(
                "s.yml: weight-decay: is not given; 0.1 is used, as GPT-NeoX does today"
                        + " (v1.0: 0.01)",
                "s.yml: gradient-clipping: is not given; 1.0 is used, as GPT-NeoX does today"
                        + " (v1.0: 0, no clipping)",
                "s.yml: castalia: global-batch: is not given, nor is train_batch_size; 4"
                        + " sequences, those of one GPU, are used. The published Pythia runs used"
                        + " 1024");
    }

    @Test
    void aFileThatSaysEverythingIsHonouredInEverything() {
        Problems problems = new Problems();
        TrainingConfiguration c =
                NeoxYaml.parse("e.yml", resource("everything.yml"), SIZE, problems);
        assertThat(problems.warnings()).isEmpty();
        assertThat(c.plan()).isEqualTo(new TrainingPlan(
                new ModelShape(3, 96, 6, 400, 1024, 64, 8, 5000, 1e-6, true, Gelu.ERF, 4),
                2, 3, 48, 2, 48,
                Precision.FP32,
                new OptimizerSettings(0.8, 0.9, 1e-7, 0.2, 0.5),
                new LearningRateSchedule.NeoxCurrent(0.002, 0.0002, 10, 200),
                new LossScaler.None(),
                300,
                99,
                new Initialisation.Drawn(
                        new Initialisation.SmallInit(), new Initialisation.Normal(0.01))));
        assertThat(c.data()).isEqualTo(new DataSource.Files(
                List.of(
                        new DataSource.Weighted("data/a", 1),
                        new DataSource.Weighted("data/b", 2.5)),
                List.of(new DataSource.Weighted("data/v", 1)),
                List.of(new DataSource.Weighted("data/t", 1))));
        assertThat(c.tokenizer()).contains("tokenizer.json");
        assertThat(c.save()).contains("out/checkpoints");
        assertThat(c.load()).contains("in/checkpoints");
        assertThat(c.milestones().steps()).containsExactly(0L, 1L, 7L, 100L, 200L, 300L);
        assertThat(c.evalInterval()).isEqualTo(50);
        assertThat(c.evalIterations()).isEqualTo(3);
        assertThat(c.logInterval()).isEqualTo(5);
        assertThat(c.recomputation()).isEqualTo(Recomputation.NONE);
        assertThat(c.placement())
                .isEqualTo(new PlacementHints(OptionalInt.of(2), OptionalInt.of(1),
                        new LayoutRequest(OptionalInt.of(3), OptionalInt.of(2), OptionalInt.of(3),
                                OptionalInt.of(0)),
                        new LayoutRequest(OptionalInt.empty(), OptionalInt.of(2), OptionalInt.of(2),
                                OptionalInt.empty())));
    }

    @Test
    void theLossScalingOfThePublishedRunsIsRead() {
        String fp16 = "fp16: {fp16: true, enabled: true, loss_scale: 0, loss_scale_window: 1000,"
                + " initial_scale_power: 12, hysteresis: 2, min_loss_scale: 1}";
        assertThat(parse(with(fp16)).plan().precision()).isEqualTo(Precision.FP16);
        assertThat(parse(with(fp16)).plan().lossScaler())
                .isEqualTo(LossScaler.Dynamic.published());
        for (String precision : List.of("bf16", "fp32")) {
            TrainingPlan plan = parse(withCastalia("precision: " + precision) + fp16).plan();
            assertThat(plan.precision()).hasToString(precision.toUpperCase(Locale.ROOT));
            assertThat(plan.lossScaler()).isEqualTo(new LossScaler.None());
        }
    }

    @Test
    void lossScalingHasDeepSpeedsDefaults() {
        LossScaler scaler = new LossScaler.Dynamic(0x1p32, 1000, 1, 2);
        for (String text : List.of(with("fp16: {enabled: true}"), with("precision: fp16"),
                withCastalia("precision: fp16"))) {
            assertThat(parse(text).plan().precision()).isEqualTo(Precision.FP16);
            assertThat(parse(text).plan().lossScaler()).isEqualTo(scaler);
        }
        assertThat(parse(with("fp16: {enabled: true, loss_scale: 0, loss_scale_window: 5,"
                        + " initial_scale_power: 3, hysteresis: 4, min_loss_scale: 0.5}"))
                .plan().lossScaler()).isEqualTo(new LossScaler.Dynamic(8, 5, 0.5, 4));
        assertThat(parse(with("fp16: {enabled: true, auto_cast: true, loss_scale: 128}"))
                .plan().lossScaler()).isEqualTo(new LossScaler.Fixed(128));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "loss_scale: -1 | fp16: loss_scale: loss_scale -1.0 must be finite and exceed 0",
        "loss_scale_window: 0 | fp16: loss_scale_window: loss_scale_window 0 must be at least 1",
        "hysteresis: 0 | fp16: hysteresis: hysteresis 0 must be at least 1",
        "initial_scale_power: 128 | fp16: initial_scale_power: 128 must lie between 0 and 127",
        "min_loss_scale: 8192 | fp16: min_loss_scale: loss scale 4096.0 must be finite and at"
                + " least min_loss_scale 8192.0, which must exceed 0",
        "consecutive_hysteresis: true | fp16: consecutive_hysteresis: is not supported: an overflow"
                + " uses up hysteresis until the scale grows, as in the published runs; set it to"
                + " false",
        "loss-scal: 3 | fp16: loss-scal: is not a key of this block; did you mean loss-scale?",
    })
    void wrongLossScalingIsRefusedByName(String entry, String message) {
        String power = entry.contains("power") ? "" : "initial_scale_power: 12, ";
        assertThat(errors(with("fp16: {enabled: true, " + power + entry + "}")))
                .containsExactly("test.yml:14: " + message);
    }

    @Test
    void precisionsThatContradictEachOtherAreRefused() {
        assertThat(errors(with("fp16: {enabled: true}\nbf16: {enabled: true}"))).hasSize(1)
                .first().asString().contains("fp16: is enabled, and so is bf16");
        assertThat(errors(with("fp16: {enabled: true}\nprecision: bf16"))).hasSize(1)
                .first().asString().contains("precision: is bf16, but another block");
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "bf16: {enabled: true} | BF16",
        "bf16: {enabled: false} | FP32",
        "fp16: {enabled: false} | FP32",
        "fp16: {enabled: true, type: bfloat16} | BF16",
        "fp16: {enabled: true} | FP16",
        "precision: fp16 | FP16",
        "precision: bf16 | BF16",
        "precision: bfloat16 | BF16",
        "precision: fp32 | FP32",
    })
    void thePrecisionFollowsTheBlocks(String line, Precision precision) {
        assertThat(parse(with(line)).plan().precision()).isEqualTo(precision);
    }

    @ParameterizedTest
    @CsvSource({
        "300, 1, 128, 384",
        "384, 1, 128, 384",
        "50277, 1, 128, 50304",
        "50277, 2, 128, 50432",
        "50277, 4, 128, 50688",
        "77, 1, 1, 77",
    })
    void theVocabularyIsPaddedAsPublished(int tokens, int parallel, int divisor, int padded) {
        String text = without("castalia")
                + "model-parallel-size: " + parallel + "\n"
                + "make-vocab-size-divisible-by: " + divisor + "\n";
        TrainingConfiguration c =
                NeoxYaml.parse("test.yml", text, _ -> tokens, new Problems());
        assertThat(c.plan().model().vocabulary()).isEqualTo(padded);
        assertThat(c.plan().model().publishedModelParallel()).isEqualTo(parallel);
        assertThat(c.plan().tensorSlices()).isEqualTo(1);
    }

    @Test
    void theBatchFollowsFromWhatIsGiven() {
        TrainingPlan plan = parse(with("train_batch_size: 32\ngas: 2")).plan();
        assertThat(plan.globalBatch()).isEqualTo(32);
        assertThat(plan.virtualRanks()).isEqualTo(4);
        assertThat(plan.microBatchesPerVirtualRank()).isEqualTo(2);
        plan = parse(withCastalia("global-batch: 1024, micro-batch: 2")).plan();
        assertThat(plan.globalBatch()).isEqualTo(1024);
        assertThat(plan.virtualRanks()).isEqualTo(256);
        assertThat(plan.microBatch()).isEqualTo(2);
    }

    @Test
    void geluFollowsFusionUnlessItIsNamed() {
        assertThat(parse(with("bias-gelu-fusion: true")).plan().model().gelu())
                .isEqualTo(Gelu.TANH);
        assertThat(parse(with("bias-gelu-fusion: false")).plan().model().gelu())
                .isEqualTo(Gelu.ERF);
        assertThat(parse(withCastalia("gelu: tanh")).plan().model().gelu()).isEqualTo(Gelu.TANH);
    }

    @Test
    void theScheduleFollowsTheStyleUnlessItIsNamed() {
        assertThat(parse(withCastalia("schedule: neox-current")).plan().schedule())
                .isEqualTo(new LearningRateSchedule.NeoxCurrent(0.001, 0, 1, 100));
        String constant = resource("smallest.yml")
                .replace("lr-decay-style: cosine", "lr-decay-style: constant");
        assertThat(parse(constant).plan().schedule())
                .isEqualTo(new LearningRateSchedule.Constant(0.001, 1));
        assertThat(parse(without("lr-decay-style").replace(
                        "{vocabulary: 300}", "{vocabulary: 300, schedule: constant}"))
                .plan().schedule()).isEqualTo(new LearningRateSchedule.Constant(0.001, 1));
    }

    @Test
    void aSingleDataPathKeepsItsSplit() {
        assertThat(parse(with("data-path: corpus")).data())
                .isEqualTo(new DataSource.Split("corpus", "969, 30, 1"));
        assertThat(parse(with("data-path: corpus\nsplit: \"9,1,0\"")).data())
                .isEqualTo(new DataSource.Split("corpus", "9,1,0"));
        assertThat(parse(withCastalia("synthetic-data: true")).data())
                .isEqualTo(new DataSource.Synthetic());
    }

    @Test
    void theOrderAndTheTrustInTimesOfDataAreChosen() {
        assertThat(parse(withCastalia("data-order: preshuffled")
                        + "\ntrain-data-paths: [a]\nvalid-data-paths: [b]").data())
                .isEqualTo(new DataSource.Preshuffled("a", Optional.of("b")));
        assertThat(parse(resource("smallest.yml")).trustsDataTimes()).isTrue();
        assertThat(parse(withCastalia("data-hash: always")).trustsDataTimes()).isFalse();
    }

    @Test
    void theSpecificationIsThePlanWithDataAndNumericVersion() {
        DataManifest data = DataManifest.ofKind("synthetic");
        TrainingConfiguration c = parse(resource("smallest.yml"));
        assertThat(c.specification(data, "v").plan()).isEqualTo(c.plan());
        assertThat(c.specification(data, "v").data()).isEqualTo(data);
    }

    @Test
    void settingsThatChangeNoBitAreNoPartOfThePlan() {
        TrainingPlan plan = parse(resource("smallest.yml")).plan();
        assertThat(parse(withCastalia("ranks: 4, threads: 2, recomputation: block")
                        + "checkpoint-factor: 7\nlog-interval: 3\nzero_optimization: {stage: 3}\n")
                .plan()).isEqualTo(plan);
        assertThat(parse(withCastalia("data-parallel: 1, tensor-parallel: 1, zero: 2, buddies: 2"))
                .plan()).isEqualTo(plan);
    }

    @Test
    void aFileIsReadWithItsNameInMessages(@TempDir Path folder) throws IOException {
        Path file = folder.resolve("small.yml");
        Files.writeString(file, resource("smallest.yml"));
        assertThat(NeoxYaml.read(file, SIZE, new Problems()).plan())
                .isEqualTo(parse(resource("smallest.yml")).plan());
        Files.writeString(file, with("nonsense: 1"));
        assertThatThrownBy(() -> NeoxYaml.read(file, SIZE, new Problems()))
                .hasMessage(file + ":14: nonsense: is unknown; remove it");
        Files.write(file, new byte[] {'a', ':', ' ', (byte) 0xff});
        assertThatThrownBy(() -> NeoxYaml.read(file, SIZE, new Problems()))
                .hasMessage(file + ": is not UTF-8 text");
        Files.write(file, new byte[YamlTree.LONGEST + 1]);
        assertThatThrownBy(() -> NeoxYaml.read(file, SIZE, new Problems()))
                .hasMessage(file + ": is longer than 1048576 bytes");
    }

    @Test
    void theTokenizerSizeIsAskedForTheNamedFile() {
        String text = without("castalia") + "vocab-file: dir/t.json\n";
        TokenizerSize asking = file -> {
            assertThat(file).isEqualTo(Optional.of("dir/t.json"));
            return 10;
        };
        assertThat(NeoxYaml.parse("t.yml", text, asking, new Problems()).plan().model()
                .vocabulary()).isEqualTo(128);
    }
}
