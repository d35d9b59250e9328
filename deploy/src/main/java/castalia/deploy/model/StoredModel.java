package castalia.deploy.model;

import castalia.checkpoints.CheckpointReader;
import castalia.checkpoints.FlatWeights;
import castalia.checkpoints.RunFolder;
import castalia.checkpoints.hub.HubFolder;
import castalia.deploy.shell.Storage;
import castalia.deploy.train.TrainingJob;
import castalia.kernels.Arena;
import castalia.kernels.Buffer;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.Chunk;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.workers.model.FlatViews;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * The weights of a run's checkpoint or of a Hugging Face folder.
 *
 * @param name what it is, for people
 * @param layout order of the weights
 * @param weights fp32 weights, valid until closed
 * @param tokenizer its tokenizer file, if it has one
 * @param resource what is closed with it
 */
public record StoredModel(
        String name,
        FlatLayout layout,
        FlatWeights weights,
        Optional<Path> tokenizer,
        AutoCloseable resource)
        implements AutoCloseable {

    /**
     * Opens a run folder or a Hugging Face folder.
     *
     * @param step checkpoint of a run; the newest where it is empty
     */
    public static StoredModel open(Path folder, OptionalLong step) {
        boolean hub = Files.isRegularFile(folder.resolve("config.json"));
        if (hub && step.isPresent()) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID,
                    folder + " is a Hugging Face folder: it has no steps, leave --step out");
        }
        return Storage.attempt(() -> hub ? ofHub(folder) : ofRun(folder, step));
    }

    private static StoredModel ofHub(Path folder) throws IOException {
        HubFolder hub = HubFolder.open(folder);
        try {
            FlatLayout layout = FlatLayout.of(hub.config().shape(), 1);
            return new StoredModel(folder.toString(), layout, hub.weights(layout),
                    tokenizerIn(folder), hub);
        } catch (IOException | RuntimeException e) {
            hub.close();
            throw e;
        }
    }

    private static StoredModel ofRun(Path folder, OptionalLong step) throws IOException {
        RunFolder run = RunFolder.openToRead(folder);
        CheckpointReader reader = reader(run, step);
        return new StoredModel(folder + " step " + reader.step(), reader.layout(),
                reader.weights(), tokenizerIn(folder), run);
    }

    /** The checkpoint of a step, or the newest whole one. */
    public static CheckpointReader reader(RunFolder run, OptionalLong step) throws IOException {
        if (step.isPresent()) {
            return CheckpointReader.open(run, step.getAsLong());
        }
        return CheckpointReader.latest(run, true, Runtime.getRuntime().availableProcessors())
                .reader()
                .orElseThrow(() -> new CastaliaException(ErrorCode.CHECKPOINT_INCOMPLETE,
                        run.path() + " has no whole checkpoint"));
    }

    private static Optional<Path> tokenizerIn(Path folder) {
        Path file = folder.resolve(TrainingJob.TOKENIZER);
        return Files.isRegularFile(file) ? Optional.of(file) : Optional.empty();
    }

    /** Copies the weights to a device in the compute type. */
    public FlatViews onDevice(Device device, Arena arena, DType type) {
        ChunkGrid grid = ChunkGrid.of(layout);
        FlatViews views = new FlatViews(grid, arena.allocate(type, layout.elements()));
        return Storage.attempt(() -> {
            try (java.lang.foreign.Arena host = java.lang.foreign.Arena.ofConfined();
                    Arena staging = device.arena()) {
                MemorySegment part = host.allocate(4L * ChunkGrid.LIMIT, 64);
                Buffer full = staging.allocate(DType.F32, ChunkGrid.LIMIT);
                for (Chunk chunk : grid.chunks()) {
                    MemorySegment segment = part.asSlice(0, 4L * chunk.length());
                    weights.read(chunk.offset(), segment);
                    Buffer buffer = full.slice(0, chunk.length());
                    device.upload(buffer, segment);
                    device.kernels().cast(views.chunk(chunk.index()), buffer, chunk.length());
                }
                return views;
            }
        });
    }

    @Override
    public void close() {
        try {
            resource.close();
        } catch (Exception e) {
            throw new CastaliaException(
                    ErrorCode.STORAGE_FAILED, "cannot close " + name + ": " + e.getMessage(), e);
        }
    }
}
