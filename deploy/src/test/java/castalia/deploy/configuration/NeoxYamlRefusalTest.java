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

import castalia.protocol.specification.Problems;
import castalia.protocol.specification.ProblemsException;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class NeoxYamlRefusalTest {

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
        "pipe-parallel-size: 2 | must be 0 or 1, not 2: layers are not divided into pipeline"
                + " stages",
        "hidden-dropout: 0.1 | must be 0, not 0.1: dropout is not offered; the published models"
                + " have none",
        "norm: rmsnorm | must be layernorm, not 'rmsnorm': other norms are not offered",
        "activation: silu | must be gelu, not 'silu'",
        "use-mup: true | must be false, not true: this variant of the model is not offered",
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
        "precision: 16 | must be text, not 16",
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
                "test.yml: castalia: virtual-ranks: is missing, and the global batch 6 is no"
                        + " multiple of micro-batch times accumulation steps 4; add castalia:"
                        + " virtual-ranks");
        assertThat(errors(withCastalia("micro-batch: 3"))).containsExactly(
                "test.yml:13: castalia: micro-batch: 3 must divide the 4 sequences of a virtual"
                        + " rank (global batch 4 / 1 virtual ranks)");
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
                "test.yml:14: min-lr: lowest learning rate (min_lr) 0.1 must lie between 0 and"
                        + " the learning rate 0.001");
        assertThat(errors(with("attention-config: [[[flash], 3]]"))).containsExactly(
                "test.yml:14: attention-config: describes 3 layers; num-layers is 2");
        assertThat(errors(with("data-path: a\ntrain-data-paths: [b]"))).containsExactly(
                "test.yml:14: data-path: stands beside train-, valid- or test-data-paths; use one"
                        + " or the other");
        assertThat(errors(with("train-data-paths: [a, b]\ntrain-data-weights: [1]")))
                .containsExactly("test.yml:15: train-data-weights: has 1 weights for 2 paths");
    }

    @Test
    void contradictingPrecisionsAreRefused() {
        assertThat(errors(with("precision: fp32\nbf16: {enabled: true}"))).containsExactly(
                "test.yml:14: precision: is fp32, but another block of the file enables bf16");
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
    void aMissingFileIsNamed(@TempDir Path folder) {
        Path missing = folder.resolve("no.yml");
        assertThatThrownBy(() -> NeoxYaml.read(missing, SIZE, new Problems()))
                .isInstanceOf(ProblemsException.class)
                .hasMessage(missing + ": there is no such file");
    }
}
