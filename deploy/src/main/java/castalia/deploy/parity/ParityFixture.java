package castalia.deploy.parity;

import castalia.checkpoints.hub.HubConfig;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.model.Gelu;
import castalia.protocol.model.ModelShape;
import castalia.protocol.specification.OptimizerSettings;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A folder with a model and what another implementation computed from it, in fp32. Two kinds are
 * known. With {@code training.json}: {@code config.json}, {@code model.safetensors},
 * {@code reference.safetensors} (input_ids, logits, grad.*) and {@code trained.safetensors}. With
 * {@code expected.json}: {@code expected-erf.safetensors}, {@code expected-tanh.safetensors} and
 * {@code after-3-adamw-steps-tanh.safetensors}.
 *
 * @param folder where config.json and model.safetensors lie
 * @param shape the model's shape
 * @param tokens (steps, batch, S + 1) token ids
 * @param reference file with {@code logits} and {@code grad.NAME} of the first step
 * @param steps what each step gave
 * @param optimizer AdamW and clip rule
 * @param trained file with the weights after the last step
 */
public record ParityFixture(
        Path folder,
        ModelShape shape,
        List<int[][]> tokens,
        Path reference,
        List<Step> steps,
        OptimizerSettings optimizer,
        Optional<Path> trained) {

    private static final long MOST_JSON_BYTES = 64 << 20;

    /**
     * What a step gave.
     *
     * @param loss mean loss
     * @param gradientNorm norm before clipping
     * @param learningRate what its update used
     */
    public record Step(double loss, double gradientNorm, double learningRate) {}

    public ParityFixture {
        tokens = List.copyOf(tokens);
        steps = List.copyOf(steps);
    }

    /**
     * Reads a folder: one fixture, or one per GELU.
     *
     * @throws CastaliaException if a file is missing or makes no sense; it names the file
     */
    public static List<ParityFixture> read(Path folder) {
        try {
            if (Files.isRegularFile(folder.resolve("training.json"))) {
                return List.of(trained(folder));
            }
            if (Files.isRegularFile(folder.resolve("expected.json"))) {
                return List.of(expected(folder, Gelu.ERF), expected(folder, Gelu.TANH));
            }
        } catch (IOException | IllegalArgumentException e) {
            throw new CastaliaException(ErrorCode.DATA_CORRUPT,
                    "cannot read the fixture folder " + folder + ": " + e.getMessage(), e);
        }
        throw new CastaliaException(ErrorCode.CONFIG_INVALID, folder
                + " is no fixture folder: it has neither training.json nor expected.json");
    }

    private static ParityFixture trained(Path folder) throws IOException {
        JsonNode json = json(folder.resolve("training.json"));
        JsonNode o = required(json, "hyperparameters");
        List<Step> steps = new ArrayList<>();
        for (JsonNode step : required(json, "steps")) {
            steps.add(new Step(number(step, "loss"), number(step, "grad_norm"),
                    number(step, "lr")));
        }
        Path reference = folder.resolve("reference.safetensors");
        return new ParityFixture(folder, shape(folder), Tensors.tokens(reference, "input_ids"),
                reference, steps,
                new OptimizerSettings(number(o, "beta1"), number(o, "beta2"), number(o, "eps"),
                        number(o, "weight_decay"), number(o, "clip")),
                Optional.of(folder.resolve("trained.safetensors")));
    }

    private static ParityFixture expected(Path folder, Gelu gelu) throws IOException {
        JsonNode json = json(folder.resolve("expected.json"));
        String name = gelu == Gelu.ERF ? "erf" : "tanh";
        int[][] rows = rows(required(json, "input_ids"), required(json, "labels"));
        List<Step> steps = new ArrayList<>();
        List<int[][]> tokens = new ArrayList<>();
        Optional<Path> trained = Optional.empty();
        if (gelu == Gelu.TANH) {
            JsonNode adamW = required(json, "adamw_3_steps");
            for (JsonNode pair : required(adamW, "losses_and_preclip_grad_norms")) {
                steps.add(new Step(
                        pair.get(0).asDouble(), pair.get(1).asDouble(), number(adamW, "lr")));
                tokens.add(rows);
            }
            trained = Optional.of(folder.resolve("after-3-adamw-steps-tanh.safetensors"));
        } else {
            JsonNode one = required(json, name);
            steps.add(new Step(number(one, "loss"), number(one, "grad_norm"), 0));
            tokens.add(rows);
        }
        ModelShape s = shape(folder);
        ModelShape shape = new ModelShape(s.layers(), s.hidden(), s.heads(), s.intermediate(),
                s.vocabulary(), s.maxPositions(), s.rotaryDimensions(), s.rotaryBase(),
                s.layerNormEpsilon(), s.parallelResidual(), gelu, s.publishedModelParallel());
        return new ParityFixture(folder, shape, tokens,
                folder.resolve("expected-" + name + ".safetensors"), steps,
                OptimizerSettings.published(), trained);
    }

    private static ModelShape shape(Path folder) throws IOException {
        return HubConfig.read(folder.resolve("config.json")).shape();
    }

    /** Inputs and labels as rows of S + 1 tokens. */
    private static int[][] rows(JsonNode inputs, JsonNode labels) {
        int[][] rows = new int[inputs.size()][];
        for (int r = 0; r < rows.length; r++) {
            JsonNode in = inputs.get(r);
            JsonNode out = labels.get(r);
            int length = in.size();
            rows[r] = new int[length + 1];
            for (int i = 0; i < length; i++) {
                rows[r][i] = in.get(i).asInt();
                if (i + 1 < length && out.get(i).asInt() != in.get(i + 1).asInt()) {
                    throw new IllegalArgumentException(
                            "labels are not the inputs shifted by one, row " + r);
                }
            }
            rows[r][length] = out.get(length - 1).asInt();
        }
        return rows;
    }

    private static JsonNode json(Path file) throws IOException {
        if (Files.size(file) > MOST_JSON_BYTES) {
            throw new IOException(file + " has more than " + MOST_JSON_BYTES + " bytes");
        }
        return new ObjectMapper().readTree(file.toFile());
    }

    private static JsonNode required(JsonNode node, String key) {
        JsonNode found = node.get(key);
        if (found == null) {
            throw new IllegalArgumentException("the key " + key + " is missing");
        }
        return found;
    }

    private static double number(JsonNode node, String key) {
        JsonNode found = required(node, key);
        if (!found.isNumber()) {
            throw new IllegalArgumentException("the key " + key + " is not a number");
        }
        return found.asDouble();
    }

    /** Sequences of a batch. */
    public int batch() {
        return tokens.getFirst().length;
    }

    /** Tokens of a sequence. */
    public int sequence() {
        return tokens.getFirst()[0].length - 1;
    }
}
