package castalia.checkpoints.hub;

import castalia.checkpoints.CheckpointException;
import castalia.checkpoints.FileOperations;
import castalia.checkpoints.FlatWeights;
import castalia.checkpoints.SafeNames;
import castalia.checkpoints.StorageFullException;
import castalia.checkpoints.TensorMap;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.model.NeoxParameters;
import castalia.protocol.model.Parameter;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.TreeMap;
import java.util.UUID;

/**
 * Writes a model folder in Hugging Face GPTNeoX layout: {@code config.json}, the weights as one
 * {@code model.safetensors} or as shards with an index, and copies of tokenizer files. The folder
 * appears whole or not at all: it is written under a temporary name, made durable, and renamed.
 */
public final class HubExport {

    private static final int COPY_BYTES = 1 << 20;
    private static final long MAX_COMPANION_BYTES = 256 << 20;
    /** Bytes that file headers, config and index may take beyond the weights. */
    private static final long OVERHEAD_BYTES = 1 << 20;

    private final FileOperations files;
    private final FlatLayout layout;
    private final FlatWeights weights;
    private final Options options;
    private final List<Path> written = new ArrayList<>();
    private final Casts casts = new Casts();

    private HubExport(
            FileOperations files, FlatLayout layout, FlatWeights weights, Options options) {
        this.files = files;
        this.layout = layout;
        this.weights = weights;
        this.options = options;
    }

    /**
     * How to write.
     *
     * @param type F32, BF16 or F16
     * @param maxShardBytes most bytes of tensors in one file; a larger tensor gets its own
     * @param bosToken first token of a text, -1 for none
     * @param eosToken token that ends a text, -1 for none
     * @param companions files to copy, by the name they get
     */
    public record Options(
            TensorType type,
            long maxShardBytes,
            int bosToken,
            int eosToken,
            SequencedMap<String, Path> companions) {

        /** The size at which transformers 4 starts a new shard. */
        public static final long DEFAULT_SHARD_BYTES = 5_000_000_000L;

        public Options {
            if (!type.holdsWeights()) {
                throw new IllegalArgumentException("weights of type " + type);
            }
            if (maxShardBytes < 1) {
                throw new IllegalArgumentException("shards of " + maxShardBytes + " bytes");
            }
            companions = Collections.unmodifiableSequencedMap(new LinkedHashMap<>(companions));
        }

        /** One type, Pythia's token 0 at both ends of a text, no companions. */
        public static Options of(TensorType type) {
            return new Options(type, DEFAULT_SHARD_BYTES, 0, 0, new LinkedHashMap<>());
        }
    }

    /**
     * Writes a new folder.
     *
     * @param folder must not exist; its parent must
     * @return what the narrower type cost
     */
    public static CastReport write(
            Path folder, FlatLayout layout, FlatWeights weights, Options options)
            throws IOException {
        return write(FileOperations.real(), folder, layout, weights, options);
    }

    /** As the other, over given file operations. */
    public static CastReport write(
            FileOperations files,
            Path folder,
            FlatLayout layout,
            FlatWeights weights,
            Options options)
            throws IOException {
        Path target = folder.toAbsolutePath().normalize();
        Path parent = target.getParent();
        Path name = target.getFileName();
        if (parent == null || name == null || !Files.isDirectory(parent)) {
            throw new CheckpointException(folder + " cannot be written: its parent is no folder");
        }
        if (Files.exists(target, LinkOption.NOFOLLOW_LINKS)) {
            throw new CheckpointException(folder + " exists; choose a new folder to export to");
        }
        Path temporary = parent.resolve("." + name + "." + UUID.randomUUID() + ".tmp");
        HubExport export = new HubExport(files, layout, weights, options);
        long bytes = layout.shape().parameters() * options.type().bytes() + OVERHEAD_BYTES;
        if (files.usableBytes(parent) < bytes) {
            throw new StorageFullException(parent, bytes, null);
        }
        files.createDirectory(temporary);
        try {
            export.fill(temporary);
            files.forceDirectory(temporary);
            files.move(temporary, target);
        } catch (IOException e) {
            export.undo(temporary, e);
            throw StorageFullException.orCause(files, target, bytes, e);
        } catch (RuntimeException e) {
            export.undo(temporary, e);
            throw e;
        }
        files.forceDirectory(parent);
        return export.casts.report(options.type());
    }

    private void fill(Path into) throws IOException {
        Map<String, Parameter> parameters = new TreeMap<>();
        List<List<TensorInfo>> shards = new ArrayList<>();
        long shardBytes = 0;
        long total = 0;
        for (Parameter p : NeoxParameters.of(layout.shape())) {
            TensorInfo tensor = new TensorInfo(p.name(), options.type(), HubFolder.hubShape(p));
            parameters.put(p.name(), p);
            if (shards.isEmpty() || shardBytes + tensor.bytes() > options.maxShardBytes()) {
                shards.add(new ArrayList<>());
                shardBytes = 0;
            }
            shards.getLast().add(tensor);
            shardBytes += tensor.bytes();
            total += tensor.bytes();
        }
        Map<String, String> fileOf = new TreeMap<>();
        for (int i = 0; i < shards.size(); i++) {
            String name = shards.size() == 1 ? HubFolder.SINGLE
                    : "model-%05d-of-%05d.safetensors".formatted(i + 1, shards.size());
            shards.get(i).forEach(t -> fileOf.put(t.name(), name));
            writeTensors(into.resolve(name), shards.get(i), parameters);
        }
        if (shards.size() > 1) {
            writeBytes(into.resolve(HubFolder.INDEX), HubConfig.pretty(new TreeMap<>(Map.of(
                    "metadata", new TreeMap<>(Map.of(
                            "total_parameters", layout.shape().parameters(),
                            "total_size", total)),
                    "weight_map", fileOf))));
        }
        HubConfig config =
                HubConfig.of(layout.shape(), options.bosToken(), options.eosToken());
        writeBytes(into.resolve(HubFolder.CONFIG), config.encode(options.type()));
        for (Map.Entry<String, Path> companion : options.companions().entrySet()) {
            copy(companion.getValue(), SafeNames.resolve(into, companion.getKey()));
        }
    }

    private void writeTensors(
            Path file, List<TensorInfo> tensors, Map<String, Parameter> parameters)
            throws IOException {
        TensorMap map = new TensorMap(layout);
        SequencedMap<String, String> metadata = new LinkedHashMap<>(Map.of("format", "pt"));
        written.add(file);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment floats = arena.allocate(
                    (long) Safetensors.PIECE_BYTES / options.type().bytes() * Float.BYTES, 64);
            Safetensors.write(files, file, tensors, metadata, (tensor, offset, destination) -> {
                Parameter p = parameters.get(tensor.name());
                if (p == null) {
                    throw new IllegalStateException("no parameter " + tensor.name());
                }
                int width = tensor.type().bytes();
                MemorySegment piece =
                        floats.asSlice(0, destination.byteSize() / width * Float.BYTES);
                map.gather(weights, p, offset / width, piece);
                casts.fromFloats(
                        piece, HubFolder.copies(p, layout.shape()), tensor.type(), destination);
            });
        }
    }

    private void writeBytes(Path file, byte[] bytes) throws IOException {
        written.add(file);
        try (FileOperations.Output output = files.create(file)) {
            output.write(ByteBuffer.wrap(bytes));
            output.force();
        }
    }

    private void copy(Path from, Path to) throws IOException {
        if (!Files.isRegularFile(from) || Files.size(from) > MAX_COMPANION_BYTES) {
            throw new CheckpointException(from + " cannot be copied: it is no file of at most "
                    + MAX_COMPANION_BYTES + " bytes");
        }
        written.add(to);
        try (InputStream input = Files.newInputStream(from);
                FileOperations.Output output = files.create(to)) {
            byte[] buffer = new byte[COPY_BYTES];
            for (int n = input.read(buffer); n >= 0; n = input.read(buffer)) {
                output.write(ByteBuffer.wrap(buffer, 0, n));
            }
            output.force();
        }
    }

    private void undo(Path temporary, Exception cause) {
        try {
            for (Path file : written) {
                files.delete(file);
            }
            files.delete(temporary);
        } catch (IOException e) {
            cause.addSuppressed(e);
        }
    }
}
