package castalia.deploy.configuration;

import castalia.deploy.configuration.YamlValue.Mapping;
import castalia.deploy.configuration.YamlValue.Scalar;
import castalia.deploy.configuration.YamlValue.Sequence;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.specification.Initialisation;
import java.util.List;
import java.util.Optional;

/** Reads the shape of the model and its initial weights. */
final class ModelReader {

    private static final double DEFAULT_STD = 0.02;
    private static final int LARGEST = 1 << 24;

    private final Findings findings;
    private final Settings top;
    private final Settings castalia;

    ModelReader(Findings findings, Settings top, Settings castalia) {
        this.findings = findings;
        this.top = top;
        this.castalia = castalia;
    }

    /** The shape; empty, with errors recorded, if there is none. */
    Optional<ModelShape> shape(TokenizerSize tokenizerSize) {
        int before = findings.errors();
        int layers = top.requiredInteger("num-layers");
        int hidden = top.requiredInteger("hidden-size");
        int heads = top.requiredInteger("num-attention-heads");
        int positions = top.requiredInteger("max-position-embeddings");
        int modelParallel = top.integer("model-parallel-size", 1);
        int published = castalia.integer("published-model-parallel", Math.max(1, modelParallel));
        double fraction = top.number("rotary-pct", 1);
        double base = top.number("rotary-emb-base", 10_000);
        double epsilon = top.number("layernorm-epsilon", 1e-5);
        boolean parallel = top.flag("gpt-j-residual", false);
        Gelu gelu = gelu();
        requirePresent("no-weight-tying", "true", "the head has its own weights");
        requirePresent("pos-emb", "rotary", "positions enter by rotation");
        if (fraction < 0 || fraction > 1) {
            top.error("rotary-pct", fraction + " must lie between 0 and 1");
        }
        boolean positive = layers > 0 && hidden > 0 && heads > 0;
        if (positive) {
            attention(layers);
            heads(layers, hidden, heads);
        }
        int vocabulary = vocabulary(published, tokenizerSize);
        int intermediate = top.integer("intermediate-size", Math.clamp(4L * hidden, 1, LARGEST));
        if (findings.errors() > before) {
            return Optional.empty();
        }
        int rotary = positive ? rotaryDimensions(hidden / heads, fraction) : 0;
        try {
            return Optional.of(new ModelShape(
                    layers, hidden, heads, intermediate, vocabulary, positions, rotary, base,
                    epsilon, parallel, gelu, published));
        } catch (IllegalArgumentException e) {
            findings.error(Findings.NO_LINE, "model", String.valueOf(e.getMessage()));
            return Optional.empty();
        }
    }

    private void heads(int layers, int hidden, int heads) {
        if (hidden % heads != 0) {
            boolean swapped = hidden % layers == 0 && hidden / layers % 2 == 0;
            top.error("num-attention-heads", heads + " does not divide hidden-size " + hidden
                    + (swapped ? "; are num-layers and num-attention-heads swapped?" : ""));
        }
    }

    private static int rotaryDimensions(int headDimension, double fraction) {
        return (int) (headDimension * fraction);
    }

    private Gelu gelu() {
        top.word("activation", "gelu", List.of("gelu"));
        boolean fused = top.flag("bias-gelu-fusion", false);
        String form = castalia.word("gelu", fused ? "tanh" : "erf", List.of("tanh", "erf"));
        return form.equals("tanh") ? Gelu.TANH : Gelu.ERF;
    }

    /** Keys whose default in GPT-NeoX is something Castalia does not offer. */
    private void requirePresent(String key, String value, String reason) {
        Optional<YamlValue> given = top.value(key);
        boolean fits = given.isPresent()
                && given.get() instanceof Scalar scalar
                && scalar.text().equalsIgnoreCase(value);
        if (!fits) {
            top.error(key, "must be " + value + ": " + reason
                    + given.map(v -> ", not " + v.words()).orElse("; add it"));
        }
    }

    private int vocabulary(int modelParallel, TokenizerSize tokenizerSize) {
        int divisor = top.integer("make-vocab-size-divisible-by", 128);
        Optional<String> file = top.text("vocab-file");
        int tokens;
        if (castalia.has("vocabulary")) {
            tokens = castalia.integer("vocabulary", 1);
        } else {
            try {
                tokens = tokenizerSize.of(file);
            } catch (IllegalArgumentException e) {
                top.error("vocab-file", String.valueOf(e.getMessage()));
                return 1;
            }
        }
        long multiple = (long) divisor * modelParallel;
        if (tokens < 1 || tokens > LARGEST) {
            castalia.error("vocabulary", tokens + " must lie between 1 and " + LARGEST);
            return 1;
        }
        if (multiple < 1 || multiple > LARGEST) {
            top.error("make-vocab-size-divisible-by", divisor + " times model-parallel-size "
                    + modelParallel + " must lie between 1 and " + LARGEST);
            return 1;
        }
        return (int) ((tokens + multiple - 1) / multiple * multiple);
    }

    /** Attention may be "global" or "flash": one operation under two names. */
    private void attention(int layers) {
        Optional<YamlValue> value = top.value("attention-config");
        if (value.isEmpty()) {
            return;
        }
        Optional<Long> covered = value.get() instanceof Sequence items
                ? covered(items, layers)
                : Optional.empty();
        if (covered.isEmpty()) {
            top.error("attention-config",
                    "must be a list such as [[[\"flash\"], " + layers
                            + "]] of the types global and flash");
        } else if (covered.get() != layers) {
            top.error("attention-config",
                    "describes " + covered.get() + " layers; num-layers is " + layers);
        }
    }

    private static Optional<Long> covered(Sequence config, int layers) {
        if (config.items().stream().allMatch(ModelReader::plain)) {
            return Optional.of((long) config.items().size());
        }
        long covered = 0;
        for (YamlValue item : config.items()) {
            Optional<Long> group = item instanceof Sequence pair && pair.items().size() == 2
                    ? group(pair.items().getFirst(), pair.items().getLast(), layers)
                    : Optional.empty();
            if (group.isEmpty()) {
                return Optional.empty();
            }
            covered += group.get();
        }
        return Optional.of(covered);
    }

    /** The layers that a list of types and the number of its repetitions describe. */
    private static Optional<Long> group(YamlValue types, YamlValue repetitions, int layers) {
        if (!(types instanceof Sequence list)
                || !(repetitions instanceof Scalar count)
                || list.items().isEmpty()
                || !list.items().stream().allMatch(ModelReader::plain)) {
            return Optional.empty();
        }
        if (count.text().equals("all")) {
            return Optional.of((long) layers);
        }
        return count.text().matches("[0-9]{1,6}")
                ? Optional.of(Long.parseLong(count.text()) * list.items().size())
                : Optional.empty();
    }

    private static boolean plain(YamlValue value) {
        return switch (value) {
            case Scalar scalar -> scalar.text().equals("flash") || scalar.text().equals("global");
            case Sequence _, Mapping _ -> false;
        };
    }

    /** The initial weights; published defaults where the file has no such lines. */
    Initialisation initialisation() {
        double std = top.number("init-method-std", DEFAULT_STD);
        if (!(std > 0)) {
            top.error("init-method-std", std + " must exceed 0");
            std = DEFAULT_STD;
        }
        return new Initialisation.Drawn(
                rule("init-method", "normal", std),
                rule("output-layer-init-method", "scaled_normal", std));
    }

    private Initialisation.Rule rule(String key, String fallback, double std) {
        List<String> known = List.of("small_init", "wang_init", "normal", "scaled_normal");
        return switch (top.word(key, fallback, known)) {
            case "small_init" -> new Initialisation.SmallInit();
            case "wang_init" -> new Initialisation.WangInit();
            case "normal" -> new Initialisation.Normal(std);
            default -> new Initialisation.ScaledNormal(std);
        };
    }
}
