package castalia.deploy.configuration;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.schedule.LearningRateSchedule;
import castalia.protocol.schedule.LossScaler;
import castalia.protocol.specification.DataManifest;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.specification.OptimizerSettings;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.Problems;
import castalia.protocol.specification.Problems.Problem;
import castalia.protocol.specification.ProblemsException;
import castalia.protocol.specification.TrainingPlan;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class NeoxYamlTest {

    private static final TokenizerSize SIZE = _ -> 1000;

    static String resource(String name) {
        try (InputStream in = NeoxYamlTest.class.getResourceAsStream("/configuration/" + name)) {
            if (in == null) {
                throw new IllegalStateException("no test resource " + name);
            }
            return new String(in.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new UncheckedIOException(name, e);
        }
    }

    private static TrainingConfiguration parse(String text) {
        return NeoxYaml.parse("test.yml", text, SIZE, new Problems());
    }

    private static List<String> errors(String text) {
        ProblemsException e =
                catchThrowableOfType(ProblemsException.class, () -> parse(text));
        return e.problems().stream().map(Problem::toString).toList();
    }

    /** The smallest configuration with one line more. */
    private static String with(String line) {
        return resource("smallest.yml") + line + "\n";
    }

    /** The smallest configuration with one key of the castalia block more. */
    private static String withCastalia(String entry) {
        return resource("smallest.yml").replace("{vocabulary: 300}", "{vocabulary: 300, " + entry + "}");
    }

    /** The smallest configuration without the line of a key. */
    private static String without(String key) {
        return resource("smallest.yml").replaceAll("(?m)^" + key + ":.*\n", "");
    }

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
                .isEqualTo(new PlacementHints(OptionalInt.empty(), OptionalInt.empty(), 0));
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
                .isEqualTo(new PlacementHints(OptionalInt.of(2), OptionalInt.of(1), 2));
    }

    @Test
    void everythingWrongIsReportedTogetherInTheOrderOfTheLines() {
        assertThat(String.join("\n", errors(resource("wrong.yml"))) + "\n")
                .isEqualTo(resource("wrong.expected.txt"));
    }

    @Test
    void theMessageOfTheExceptionHasOneLinePerProblem() {
        assertThatThrownBy(() -> parse(with("nonsense: 1\nnonsuch: 2"))).hasMessage("""
                test.yml:14: nonsense: is unknown; remove it
                test.yml:15: nonsuch: is unknown; remove it""");
    }

    @ParameterizedTest
    @CsvSource({
        "hidden_sise: 64, hidden-size",
        "warm-up: 0.01, warmup",
        "train-iter: 5, train-iters",
        "lrdecay-iters: 5, lr-decay-iters",
        "launchr: x, launcher",
        "castallia: {}, castalia",
    })
    void anUnknownKeyIsRefusedWithTheNearestKnownOne(String line, String nearest) {
        String key = line.substring(0, line.indexOf(':'));
        assertThat(errors(with(line))).containsExactly(
                "test.yml:14: " + key + ": is unknown; did you mean " + nearest + "?");
    }

    @Test
    void unknownKeysOfInnerBlocksAreRefused() {
        assertThat(errors(withCastalia("virtual_rnks: 2"))).containsExactly(
                "test.yml:13: castalia: virtual_rnks: is not a key of this block; did you mean"
                        + " virtual-ranks?");
        assertThat(errors(with("zero_optimization: {stage: 1, bucket: 3}"))).containsExactly(
                "test.yml:14: zero_optimization: bucket: is not a key of this block; remove it");
        assertThat(errors(with("bf16: {enabled: true, loss_scale: 0}"))).containsExactly(
                "test.yml:14: bf16: loss_scale: is not a key of this block; remove it");
    }

    @Test
    void aFileOfForeignKeysIsRefusedWithoutListingThemAll() {
        StringBuilder text = new StringBuilder(resource("smallest.yml"));
        for (int i = 0; i < 20_000; i++) {
            text.append("foreign-").append(i).append(": 1\n");
        }
        List<String> errors = errors(text.toString());
        assertThat(errors).hasSize(101);
        assertThat(errors.getLast()).isEqualTo("test.yml:114: foreign-100: and 19899 further keys"
                + " are unknown; this does not seem to be a configuration");
    }

    @Test
    void aKeyInTwoSpellingsIsRefusedWithBothLines() {
        assertThat(errors(with("hidden_size: 64"))).containsExactly(
                "test.yml:14: hidden_size: stands in line 3 already; remove one of them");
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "num-layers | num-layers: is missing; add it",
        "seq-length | seq-length: is missing; add it",
        "train-iters | train-iters: is missing; add it",
        "train_micro_batch_size_per_gpu | train-micro-batch-size-per-gpu: is missing; add it",
        "pos-emb | pos-emb: must be rotary: positions enter by rotation; add it",
        "no-weight-tying | no-weight-tying: must be true: the head has its own weights; add it",
        "optimizer | optimizer: must have type Adam and params: lr; add them",
        "lr-decay-style | lr-decay-style: is missing; add cosine or constant (GPT-NeoX's default,"
                + " linear, is not offered)",
    })
    void aMissingKeyIsNamed(String key, String message) {
        assertThat(errors(without(key))).containsExactly("test.yml: " + message);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "pipe-parallel-size: 2 | must be 0 or 1, not 2: layers are not divided into pipeline stages",
        "hidden-dropout: 0.1 | must be 0, not 0.1: dropout is not implemented; the published models"
                + " have none",
        "norm: rmsnorm | must be layernorm, not 'rmsnorm': other norms are not implemented",
        "activation: silu | must be gelu, not 'silu'",
        "use-mup: true | must be false, not true: this variant of the model is not implemented",
        "checkpoint-scale: log | must be linear, not 'log': milestones are multiples of"
                + " checkpoint-factor",
        "keep-last-n-checkpoints: 3 | is a key of GPT-NeoX that is not supported; remove it",
        "batch-size: 3 | is a key of GPT-NeoX that is not supported; use"
                + " train_micro_batch_size_per_gpu",
        "seed: 1.5 | must be a whole number, not 1.5",
        "seed: 99999999999999999999 | must be a whole number, not 99999999999999999999",
        "rotary-pct: .inf | must be a number, not .inf",
        "gpt-j-residual: maybe | must be true or false, not 'maybe'",
        "bf16: true | must be a block of keys, not true",
        "extra-save-iters: [1, x] | must be a list of whole numbers; it contains 'x'",
        "extra-save-iters: 5 | must be a list of whole numbers, not 5",
        "extra-save-iters: [-1] | extra-save-iters contains -1, which is no step",
        "model-parallel-size: 2147483648 | 2147483648 is too large",
        "intermediate-size: [] | must be a whole number, not a list",
        "save: {} | must be text, not a block of keys",
    })
    void aValueThatIsNotOfferedIsRefusedWithTheReason(String line, String message) {
        String key = line.substring(0, line.indexOf(':'));
        assertThat(errors(with(line))).containsExactly("test.yml:14: " + key + ": " + message);
    }

    @Test
    void valuesThatDoNotFitTogetherAreNamedAtTheirKeys() {
        assertThat(errors(withCastalia("virtual-ranks: 3"))).containsExactly(
                "test.yml:13: castalia: virtual-ranks: 3 must divide the global batch of 4"
                        + " sequences");
        assertThat(errors(withCastalia("global-batch: 6"))).containsExactly(
                "test.yml: castalia: virtual-ranks: is missing, and the global batch 6 is no multiple"
                        + " of micro-batch times accumulation steps 4; add castalia: virtual-ranks");
        assertThat(errors(withCastalia("micro-batch: 3"))).containsExactly(
                "test.yml:13: castalia: micro-batch: 3 must divide the 4 sequences of a virtual rank"
                        + " (global batch 4 / 1 virtual ranks)");
        assertThat(errors(withCastalia("tensor-slices: 3"))).containsExactly(
                "test.yml:13: castalia: tensor-slices: tensor slices T = 3 must be a power of two");
        assertThat(errors(withCastalia("global-batch: 8") + "train_batch_size: 16\n"))
                .containsExactly("test.yml:13: castalia: global-batch: 8 differs from"
                        + " train_batch_size 16; remove one of them");
        assertThat(errors(with("gas: 2\ngradient_accumulation_steps: 4"))).containsExactly(
                "test.yml:14: gas: 2 differs from gradient_accumulation_steps 4; remove one of"
                        + " them");
        assertThat(errors(resource("smallest.yml").replace("seq-length: 32", "seq-length: 65")))
                .containsExactly("test.yml:5: seq-length: 65 must lie between 1 and"
                        + " max-position-embeddings 64");
        assertThat(errors(with("min-lr: 0.1"))).containsExactly(
                "test.yml:14: min-lr: lowest learning rate (min_lr) 0.1 must lie between 0 and the"
                        + " learning rate 0.001");
        assertThat(errors(with("attention-config: [[[flash], 3]]"))).containsExactly(
                "test.yml:14: attention-config: describes 3 layers; num-layers is 2");
        assertThat(errors(with("data-path: a\ntrain-data-paths: [b]"))).containsExactly(
                "test.yml:14: data-path: stands beside train-, valid- or test-data-paths; use one or"
                        + " the other");
        assertThat(errors(with("train-data-paths: [a, b]\ntrain-data-weights: [1]")))
                .containsExactly("test.yml:15: train-data-weights: has 1 weights for 2 paths");
    }

    @Test
    void fp16IsRefusedByNameUntilItIsOverridden() {
        String fp16 = "fp16: {fp16: true, enabled: true, loss_scale: 0, loss_scale_window: 1000,"
                + " initial_scale_power: 12, hysteresis: 2, min_loss_scale: 1}";
        String message = "fp16 arrives with dynamic loss scaling in a later version; use precision:"
                + " bf16 or fp32, or castalia: precision: bf16 to override";
        assertThat(errors(with(fp16))).containsExactly("test.yml:14: fp16: " + message);
        assertThat(errors(with("precision: fp16")))
                .containsExactly("test.yml:14: precision: " + message);
        assertThat(errors(withCastalia("precision: fp16")))
                .containsExactly("test.yml:13: castalia: precision: " + message);
        assertThat(parse(withCastalia("precision: bf16") + fp16).plan().precision())
                .isEqualTo(Precision.BF16);
        assertThat(parse(withCastalia("precision: fp32") + fp16).plan().precision())
                .isEqualTo(Precision.FP32);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "bf16: {enabled: true} | BF16",
        "bf16: {enabled: false} | FP32",
        "fp16: {enabled: false} | FP32",
        "fp16: {enabled: true, type: bfloat16} | BF16",
        "precision: bf16 | BF16",
        "precision: bfloat16 | BF16",
        "precision: fp32 | FP32",
    })
    void thePrecisionFollowsTheBlocks(String line, Precision precision) {
        assertThat(parse(with(line)).plan().precision()).isEqualTo(precision);
    }

    @Test
    void contradictingPrecisionsAreRefused() {
        assertThat(errors(with("precision: fp32\nbf16: {enabled: true}"))).containsExactly(
                "test.yml:14: precision: is fp32, but another block of the file enables bf16");
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
    void aTokenizerThatCannotBeReadIsAProblemLikeOthers() {
        String text = without("castalia") + "vocab-file: t.json\nseed: x\n";
        assertThatThrownBy(() -> NeoxYaml.parse(
                        "test.yml",
                        text,
                        file -> {
                            throw new IllegalArgumentException("cannot read " + file.orElse(""));
                        },
                        new Problems()))
                .hasMessage("""
                        test.yml:13: vocab-file: cannot read t.json
                        test.yml:14: seed: must be a whole number, not 'x'""");
        assertThatThrownBy(() -> NeoxYaml.parse(
                        "test.yml", without("castalia"), TokenizerSize.unknown(), new Problems()))
                .hasMessage("test.yml: vocab-file: the size of the vocabulary is not known; add"
                        + " vocab-file (a tokenizer.json) or castalia: vocabulary");
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
    }

    @Test
    void aMissingFileIsNamed(@TempDir Path folder) {
        Path missing = folder.resolve("no.yml");
        assertThatThrownBy(() -> NeoxYaml.read(missing, SIZE, new Problems()))
                .isInstanceOf(ProblemsException.class)
                .hasMessage(missing + ": there is no such file");
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
