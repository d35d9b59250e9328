package castalia.checkpoints.hub;

import castalia.checkpoints.CheckpointException;
import castalia.checkpoints.FlatWeights;
import castalia.checkpoints.SafeNames;
import castalia.checkpoints.TensorMap;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.model.ModelShape;
import castalia.protocol.model.NeoxParameters;
import castalia.protocol.model.Parameter;
import castalia.protocol.model.Parameter.Role;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.TreeMap;
import java.util.regex.Pattern;

/**
 * A model folder in Hugging Face GPTNeoX layout, opened for reading: {@code config.json} and
 * {@code model.safetensors}, or shards with {@code model.safetensors.index.json}. The tensors are
 * checked against the configuration when it is opened. Tensors that only older exports hold (the
 * causal mask, rotary frequencies) are ignored; {@code lm_head.weight} counts as the head.
 */
public final class HubFolder implements AutoCloseable {

    static final String CONFIG = "config.json";
    static final String SINGLE = "model.safetensors";
    static final String INDEX = "model.safetensors.index.json";

    private static final long MAX_INDEX_BYTES = 64 << 20;
    private static final String HEAD = "embed_out.weight";
    private static final String HEAD_ALIAS = "lm_head.weight";
    private static final Pattern IGNORED = Pattern.compile("gpt_neox\\.layers\\.\\d+\\.attention\\."
            + "(rotary_emb\\.inv_freq|bias|masked_bias)");
    private static final List<String> COMPANIONS = List.of(
            "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
            "generation_config.json", "vocab.json", "merges.txt");
    private static final int LISTED = 6;
    private static final long HASH_PIECE = 1 << 18;

    private final Path folder;
    private final HubConfig config;
    private final Map<String, Safetensors> shards;
    private final Map<String, Safetensors> tensors;

    private HubFolder(
            Path folder,
            HubConfig config,
            Map<String, Safetensors> shards,
            Map<String, Safetensors> tensors) {
        this.folder = folder;
        this.config = config;
        this.shards = shards;
        this.tensors = tensors;
    }

    /**
     * Opens a folder.
     *
     * @throws CheckpointException naming the file, key or tensors at fault
     */
    public static HubFolder open(Path folder) throws IOException {
        if (!Files.isDirectory(folder)) {
            throw new CheckpointException(folder + " is no folder with a Hugging Face model");
        }
        HubConfig config = HubConfig.read(SafeNames.resolve(folder, CONFIG));
        Map<String, Safetensors> shards = new LinkedHashMap<>();
        HubFolder opened = new HubFolder(folder, config, shards, new TreeMap<>());
        try {
            opened.openTensors();
            opened.check(config.shape());
            return opened;
        } catch (IOException | RuntimeException e) {
            opened.close();
            throw e;
        }
    }

    private void openTensors() throws IOException {
        Map<String, String> fileOf = new TreeMap<>();
        if (Files.exists(folder.resolve(SINGLE))) {
            Safetensors file = shard(SINGLE);
            file.tensors().forEach(t -> fileOf.put(t.name(), SINGLE));
        } else if (Files.exists(folder.resolve(INDEX))) {
            fileOf.putAll(readIndex(SafeNames.resolve(folder, INDEX)));
        } else {
            boolean pickled = Files.exists(folder.resolve("pytorch_model.bin"))
                    || Files.exists(folder.resolve("pytorch_model.bin.index.json"));
            throw new CheckpointException(folder + " holds neither " + SINGLE + " nor " + INDEX
                    + (pickled ? "; its pickled weights must be converted first: load the model in"
                            + " transformers and save it with safe_serialization=True" : ""));
        }
        for (Map.Entry<String, String> entry : fileOf.entrySet()) {
            Safetensors file = shard(entry.getValue());
            if (!file.contains(entry.getKey())) {
                throw new CheckpointException(folder.resolve(INDEX) + " says that tensor "
                        + entry.getKey() + " is in " + entry.getValue() + ", which lacks it");
            }
            tensors.put(entry.getKey(), file);
        }
        for (Safetensors file : shards.values()) {
            for (TensorInfo tensor : file.tensors()) {
                if (!file.equals(tensors.get(tensor.name()))) {
                    throw new CheckpointException(file.file() + " holds tensor " + tensor.name()
                            + ", which " + folder.resolve(INDEX) + " does not place there");
                }
            }
        }
    }

    private Safetensors shard(String name) throws IOException {
        Safetensors open = shards.get(name);
        if (open == null) {
            open = Safetensors.open(SafeNames.resolve(folder, name));
            shards.put(name, open);
        }
        return open;
    }

    private static Map<String, String> readIndex(Path file) throws IOException {
        if (Files.size(file) > MAX_INDEX_BYTES) {
            throw new CheckpointException(file + " has " + Files.size(file) + " bytes; at most "
                    + MAX_INDEX_BYTES + " are accepted");
        }
        JsonNode map;
        try {
            map = HubConfig.JSON.readTree(Files.readAllBytes(file)).path("weight_map");
        } catch (JsonProcessingException e) {
            throw new CheckpointException(
                    file + " is not valid JSON: " + e.getOriginalMessage(), e);
        }
        if (!map.isObject()) {
            throw new CheckpointException(file + " has no weight_map");
        }
        Map<String, String> fileOf = new TreeMap<>();
        for (Map.Entry<String, JsonNode> entry : map.properties()) {
            if (!entry.getValue().isTextual()) {
                throw new CheckpointException(
                        file + ": weight_map of " + entry.getKey() + " is no file name");
            }
            fileOf.put(entry.getKey(), entry.getValue().textValue());
        }
        return fileOf;
    }

    /** Compares the tensors with a model's list; all differences in one message. */
    private void check(ModelShape shape) throws IOException {
        Map<String, Parameter> expected = new TreeMap<>();
        NeoxParameters.of(shape).forEach(p -> expected.put(p.name(), p));
        List<String> missing = new ArrayList<>();
        List<String> wrong = new ArrayList<>();
        for (Parameter p : expected.values()) {
            if (!tensors.containsKey(stored(p))) {
                missing.add(p.name());
                continue;
            }
            TensorInfo found = info(p);
            if (!found.shape().equals(hubShape(p))) {
                wrong.add(p.name() + " has shape " + found.shape() + " instead of " + hubShape(p));
            } else if (!found.type().holdsWeights()) {
                wrong.add(p.name() + " has type " + found.type()
                        + "; F32, BF16 or F16 can be read");
            }
        }
        List<String> extra = tensors.keySet().stream()
                .filter(name -> !expected.containsKey(name) && !IGNORED.matcher(name).matches())
                .filter(name -> !(name.equals(HEAD_ALIAS) && !tensors.containsKey(HEAD)))
                .toList();
        if (!missing.isEmpty() || !extra.isEmpty() || !wrong.isEmpty()) {
            throw new CheckpointException(folder + " does not hold this model"
                    + listed("; missing: ", missing)
                    + listed("; not part of it: ", extra)
                    + listed("; ", wrong));
        }
    }

    private static String listed(String title, List<String> names) {
        if (names.isEmpty()) {
            return "";
        }
        String shown = String.join(", ", names.subList(0, Math.min(LISTED, names.size())));
        int more = names.size() - LISTED;
        return title + shown + (more > 0 ? " and " + more + " more" : "");
    }

    static List<Long> hubShape(Parameter p) {
        return p.role().vector()
                ? List.of((long) p.rows())
                : List.of((long) p.rows(), (long) p.columns());
    }

    /** Copies of a bias that GPT-NeoX's ranks add up, which a Hugging Face file holds as one. */
    static int copies(Parameter p, ModelShape shape) {
        return p.role() == Role.DENSE_BIAS || p.role() == Role.DOWN_BIAS
                ? shape.publishedModelParallel() : 1;
    }

    private String stored(Parameter p) {
        return p.role() == Role.HEAD && !tensors.containsKey(HEAD) ? HEAD_ALIAS : p.name();
    }

    private TensorInfo info(Parameter p) throws IOException {
        return file(p).info(stored(p));
    }

    private Safetensors file(Parameter p) throws IOException {
        Safetensors file = tensors.get(stored(p));
        if (file == null) {
            throw new CheckpointException(folder + " has no tensor " + p.name());
        }
        return file;
    }

    public Path path() {
        return folder;
    }

    public HubConfig config() {
        return config;
    }

    /** The type in which a tensor of the model is stored. */
    public TensorType type(Parameter tensor) throws IOException {
        return info(tensor).type();
    }

    /** The type of the embedding, which stands for the whole in exports of one type. */
    public TensorType type() throws IOException {
        return type(NeoxParameters.of(config.shape()).getFirst());
    }

    /** Tokenizer and generation files of the folder, by name. */
    public SequencedMap<String, Path> companions() throws IOException {
        return companionsOf(folder);
    }

    /** Tokenizer and generation files of any folder, by name. */
    public static SequencedMap<String, Path> companionsOf(Path folder) throws IOException {
        SequencedMap<String, Path> found = new LinkedHashMap<>();
        for (String name : COMPANIONS) {
            if (Files.isRegularFile(folder.resolve(name))) {
                found.put(name, SafeNames.resolve(folder, name));
            }
        }
        return found;
    }

    /**
     * The weights in the order of a layout, converted to fp32 on every read; row-parallel biases
     * are divided by the published model-parallel degree of the layout's shape. Valid, and safe
     * from several threads, until this is closed.
     *
     * @throws CheckpointException if the folder does not hold a model of the layout's shape
     */
    public FlatWeights weights(FlatLayout layout) throws IOException {
        ModelShape shape = layout.shape();
        check(shape);
        TensorMap map = new TensorMap(layout);
        return (offset, destination) -> {
            destination.fill((byte) 0);
            long end = offset + destination.byteSize() / Float.BYTES;
            map.ofFlat(offset, end, (tensor, index, at, count) -> {
                TensorType type = type(tensor);
                MemorySegment stored = file(tensor).data(stored(tensor)).asSlice(
                        index * type.bytes(), count * type.bytes());
                Casts.toFloats(type, stored, copies(tensor, shape),
                        destination.asSlice((at - offset) * Float.BYTES, count * Float.BYTES));
            });
        };
    }

    /**
     * SHA-256 of the weights in hexadecimal digits: as little-endian fp32, row-major, tensors in
     * the order of {@link NeoxParameters}. Shards and stored type do not enter it.
     */
    public String sha256() throws IOException {
        MessageDigest hash;
        try {
            hash = MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every Java platform has SHA-256", e);
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment floats = arena.allocate(HASH_PIECE * Float.BYTES, 64);
            MemorySegment bytes = arena.allocate(HASH_PIECE * Float.BYTES, 64);
            for (Parameter p : NeoxParameters.of(config.shape())) {
                TensorType type = type(p);
                for (long at = 0; at < p.elements(); at += HASH_PIECE) {
                    long count = Math.min(HASH_PIECE, p.elements() - at);
                    MemorySegment stored = file(p).data(stored(p)).asSlice(
                            at * type.bytes(), count * type.bytes());
                    MemorySegment piece = floats.asSlice(0, count * Float.BYTES);
                    MemorySegment little = bytes.asSlice(0, count * Float.BYTES);
                    Casts.toFloats(type, stored, 1, piece);
                    new Casts().fromFloats(piece, 1, TensorType.F32, little);
                    hash.update(little.asByteBuffer());
                }
            }
        }
        return HexFormat.of().formatHex(hash.digest());
    }

    @Override
    public void close() {
        shards.values().forEach(Safetensors::close);
    }
}
