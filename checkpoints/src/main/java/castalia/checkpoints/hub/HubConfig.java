package castalia.checkpoints.hub;

import castalia.checkpoints.CheckpointException;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadConstraints;
import com.fasterxml.jackson.core.util.DefaultIndenter;
import com.fasterxml.jackson.core.util.DefaultPrettyPrinter;
import com.fasterxml.jackson.core.util.Separators;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/**
 * A GPTNeoX {@code config.json}. Read in the form of transformers 4 ({@code rotary_pct},
 * {@code rotary_emb_base}, {@code torch_dtype}) and of 5 ({@code rope_parameters}, {@code dtype},
 * {@code attention_bias}); written with both. What the engine cannot compute is refused by key.
 *
 * @param shape the model, with published model-parallel degree 1
 * @param hiddenAct the activation as the file names it
 * @param bosToken first token of a text, -1 where the file names none
 * @param eosToken token that ends a text, -1 where the file names none
 */
public record HubConfig(ModelShape shape, String hiddenAct, int bosToken, int eosToken) {

    private static final long MAX_BYTES = 1 << 20;

    static final JsonMapper JSON = JsonMapper.builder(JsonFactory.builder()
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxNestingDepth(32)
                    .maxNumberLength(64)
                    .build())
            .build()).build();

    /** The model with the degree m at which it was, or is to be, published. */
    public ModelShape shape(int publishedModelParallel) {
        return new ModelShape(
                shape.layers(), shape.hidden(), shape.heads(), shape.intermediate(),
                shape.vocabulary(), shape.maxPositions(), shape.rotaryDimensions(),
                shape.rotaryBase(), shape.layerNormEpsilon(), shape.parallelResidual(),
                shape.gelu(), publishedModelParallel);
    }

    /** The configuration of a model; tokens -1 for none. */
    public static HubConfig of(ModelShape shape, int bosToken, int eosToken) {
        String act = switch (shape.gelu()) {
            case ERF -> "gelu";
            case TANH -> "gelu_new";
        };
        return new HubConfig(shape, act, bosToken, eosToken);
    }

    /** Reads a file; every complaint names it and the key. */
    public static HubConfig read(Path file) throws IOException {
        if (!Files.isRegularFile(file)) {
            throw new CheckpointException(file + " does not exist");
        }
        if (Files.size(file) > MAX_BYTES) {
            throw new CheckpointException(
                    file + " has " + Files.size(file) + " bytes; a config.json has a few hundred");
        }
        JsonNode root;
        try {
            root = JSON.readTree(Files.readAllBytes(file));
        } catch (JsonProcessingException e) {
            throw new CheckpointException(
                    file + " is not valid JSON: " + e.getOriginalMessage(), e);
        }
        if (root == null || !root.isObject()) {
            throw new CheckpointException(file + " is no JSON object");
        }
        return new Keys(file, root).config();
    }

    /** The file's bytes, in both forms. */
    public byte[] encode(TensorType type) throws IOException {
        String dtype = switch (type) {
            case F32 -> "float32";
            case BF16 -> "bfloat16";
            case F16 -> "float16";
            default -> throw new IllegalArgumentException("weights of type " + type);
        };
        double fraction = rotaryFraction(shape.headDimension(), shape.rotaryDimensions());
        Map<String, @Nullable Object> keys = new TreeMap<>();
        keys.put("architectures", List.of("GPTNeoXForCausalLM"));
        keys.put("attention_bias", true);
        keys.put("attention_dropout", 0.0);
        keys.put("bos_token_id", bosToken < 0 ? null : bosToken);
        keys.put("classifier_dropout", 0.1);
        keys.put("dtype", dtype);
        keys.put("eos_token_id", eosToken < 0 ? null : eosToken);
        keys.put("hidden_act", hiddenAct);
        keys.put("hidden_dropout", 0.0);
        keys.put("hidden_size", shape.hidden());
        keys.put("initializer_range", 0.02);
        keys.put("intermediate_size", shape.intermediate());
        keys.put("layer_norm_eps", shape.layerNormEpsilon());
        keys.put("max_position_embeddings", shape.maxPositions());
        keys.put("model_type", "gpt_neox");
        keys.put("num_attention_heads", shape.heads());
        keys.put("num_hidden_layers", shape.layers());
        keys.put("rope_parameters", new TreeMap<>(Map.of(
                "partial_rotary_factor", fraction,
                "rope_theta", shape.rotaryBase(),
                "rope_type", "default")));
        keys.put("rotary_emb_base", wholeIfWhole(shape.rotaryBase()));
        keys.put("rotary_pct", fraction);
        keys.put("tie_word_embeddings", false);
        keys.put("torch_dtype", dtype);
        keys.put("use_cache", true);
        keys.put("use_parallel_residual", shape.parallelResidual());
        keys.put("vocab_size", shape.vocabulary());
        return pretty(keys);
    }

    /** Two spaces of indent and a final line feed, as Hugging Face's own files have them. */
    static byte[] pretty(Object value) throws IOException {
        DefaultPrettyPrinter printer = new DefaultPrettyPrinter(
                Separators.createDefaultInstance()
                        .withObjectFieldValueSpacing(Separators.Spacing.AFTER))
                .withArrayIndenter(new DefaultIndenter("  ", "\n"))
                .withObjectIndenter(new DefaultIndenter("  ", "\n"));
        return (JSON.writer(printer).writeValueAsString(value) + "\n")
                .getBytes(StandardCharsets.UTF_8);
    }

    private static Object wholeIfWhole(double value) {
        return value == Math.rint(value) && Math.abs(value) < 1e15 ? (Object) (long) value : value;
    }

    /** The fraction from which {@code (int) (headDimension * fraction)} gives the dimensions. */
    static double rotaryFraction(int headDimension, int rotaryDimensions) {
        double fraction = (double) rotaryDimensions / headDimension;
        while ((int) (headDimension * fraction) < rotaryDimensions) {
            fraction = Math.nextUp(fraction);
        }
        return fraction;
    }

    /** The keys of a file, with complaints that name it. */
    private record Keys(Path file, JsonNode root) {

        HubConfig config() throws IOException {
            oneOf("model_type", text(root, "model_type", ""), List.of("gpt_neox"));
            mustBe("tie_word_embeddings", false);
            mustBe("attention_bias", true);
            for (String key : List.of("quantization_config", "rope_scaling")) {
                JsonNode value = root.path(key);
                boolean harmless = value.isMissingNode() || value.isNull()
                        || "default".equals(value.path("rope_type").asText(""));
                if (!harmless) {
                    throw wrong(key, value, "which is not supported");
                }
            }
            JsonNode rope = root.path("rope_parameters");
            if (!rope.isMissingNode() && !rope.isNull() && !rope.isObject()) {
                throw wrong("rope_parameters", rope, "expected an object");
            }
            oneOf("rope_parameters.rope_type", text(rope, "rope_type", "default"),
                    List.of("default"));
            double fraction = number(rope, "partial_rotary_factor",
                    number(root, "rotary_pct", 0.25));
            double base = number(rope, "rope_theta", number(root, "rotary_emb_base", 10000));
            int hidden = whole("hidden_size");
            int heads = whole("num_attention_heads");
            if (!(fraction >= 0) || !(fraction <= 1)) {
                throw new CheckpointException(
                        file + ": the rotary fraction " + fraction + " must lie between 0 and 1");
            }
            String act = text(root, "hidden_act", "gelu");
            int headDimension = heads < 1 ? 0 : hidden / heads;
            try {
                ModelShape shape = new ModelShape(
                        whole("num_hidden_layers"), hidden, heads, whole("intermediate_size"),
                        whole("vocab_size"), whole("max_position_embeddings"),
                        (int) (headDimension * fraction), base,
                        number(root, "layer_norm_eps", 1e-5),
                        flag("use_parallel_residual", true), gelu(act), 1);
                return new HubConfig(shape, act, token("bos_token_id"), token("eos_token_id"));
            } catch (IllegalArgumentException e) {
                throw new CheckpointException(file + ": " + e.getMessage(), e);
            }
        }

        private Gelu gelu(String act) throws IOException {
            return switch (act.toLowerCase(Locale.ROOT)) {
                case "gelu", "gelu_python" -> Gelu.ERF;
                case "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "gelu_python_tanh" -> Gelu.TANH;
                default -> throw new CheckpointException(file + ": hidden_act is '" + act
                        + "'; supported are gelu, gelu_new, gelu_fast and gelu_pytorch_tanh");
            };
        }

        private void oneOf(String key, String value, List<String> allowed) throws IOException {
            if (!allowed.contains(value)) {
                throw new CheckpointException(file + ": " + key + " is '" + value
                        + "'; supported is " + String.join(", ", allowed));
            }
        }

        private void mustBe(String key, boolean value) throws IOException {
            if (flag(key, value) != value) {
                throw new CheckpointException(
                        file + ": " + key + " is " + !value + "; supported is " + value);
            }
        }

        private boolean flag(String key, boolean otherwise) throws IOException {
            JsonNode value = root.path(key);
            if (value.isMissingNode() || value.isNull()) {
                return otherwise;
            }
            if (!value.isBoolean()) {
                throw wrong(key, value, "expected true or false");
            }
            return value.booleanValue();
        }

        private String text(JsonNode node, String key, String otherwise) throws IOException {
            JsonNode value = node.path(key);
            if (value.isMissingNode() || value.isNull()) {
                return otherwise;
            }
            if (!value.isTextual()) {
                throw wrong(key, value, "expected a string");
            }
            return value.textValue();
        }

        private double number(JsonNode node, String key, double otherwise) throws IOException {
            JsonNode value = node.path(key);
            if (value.isMissingNode() || value.isNull()) {
                return otherwise;
            }
            if (!value.isNumber()) {
                throw wrong(key, value, "expected a number");
            }
            return value.doubleValue();
        }

        private int whole(String key) throws IOException {
            JsonNode value = root.path(key);
            if (value.isMissingNode()) {
                throw new CheckpointException(file + ": " + key + " is missing");
            }
            if (!value.isIntegralNumber() || !value.canConvertToInt()) {
                throw wrong(key, value, "expected a whole number");
            }
            return value.intValue();
        }

        private int token(String key) {
            JsonNode value = root.path(key);
            JsonNode first = value.isArray() ? value.path(0) : value;
            return first.canConvertToInt() && first.isIntegralNumber() ? first.intValue() : -1;
        }

        private CheckpointException wrong(String key, JsonNode value, String expected) {
            String shown = value.toString();
            return new CheckpointException(file + ": " + key + " is "
                    + (shown.length() > 80 ? shown.substring(0, 80) + "..." : shown)
                    + "; " + expected);
        }
    }
}
