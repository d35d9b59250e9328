package castalia.deploy.train;

import castalia.checkpoints.CheckpointReader;
import castalia.checkpoints.CheckpointWriter;
import castalia.checkpoints.Damage;
import castalia.checkpoints.FlatWeights;
import castalia.checkpoints.LayoutLog;
import castalia.checkpoints.RunFolder;
import castalia.checkpoints.hub.HubFolder;
import castalia.deploy.shell.Storage;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.checkpoint.Manifest;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.model.ModelShape;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.specification.RunSpecification;
import castalia.workers.model.ProductAnswers;
import castalia.workers.rank.RankGroup;
import castalia.workers.rank.StateTransfer;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;

/** A run's state in its folder: the first weights, checkpoints out, checkpoints in. */
final class RunCheckpoints implements AutoCloseable {

    private static final int HASHED_AT_ONCE = 1 << 20;

    private final RunFolder folder;

    private RunCheckpoints(RunFolder folder) {
        this.folder = folder;
    }

    /**
     * The checkpoint a run went on from.
     *
     * @param skipped what was wrong with newer ones
     */
    record Resumed(Manifest manifest, List<String> skipped) {}

    /** Opens and locks the folder of a run, or makes it. */
    static RunCheckpoints open(Path path, RunSpecification specification) {
        return Storage.attempt(() -> new RunCheckpoints(RunFolder.openToTrain(path, specification)));
    }

    /** SHA-256 of the weights of a Hugging Face folder, as fp32 in flat order with T = 1. */
    static String hashOf(Path folder) {
        return Storage.attempt(() -> {
            try (HubFolder hub = HubFolder.open(folder);
                    Arena arena = Arena.ofConfined()) {
                FlatLayout layout = FlatLayout.of(hub.config().shape(), 1);
                FlatWeights weights = hub.weights(layout);
                MemorySegment buffer = arena.allocate(4L * HASHED_AT_ONCE, 64);
                MessageDigest sha = MessageDigest.getInstance("SHA-256");
                for (long at = 0; at < layout.elements(); at += HASHED_AT_ONCE) {
                    long count = Math.min(HASHED_AT_ONCE, layout.elements() - at);
                    MemorySegment part = buffer.asSlice(0, 4 * count);
                    weights.read(at, part);
                    sha.update(part.asByteBuffer());
                }
                return HexFormat.of().formatHex(sha.digest());
            } catch (NoSuchAlgorithmException e) {
                throw new IllegalStateException("every Java has SHA-256", e);
            }
        });
    }

    /** The layouts asked for. */
    LayoutLog layouts() {
        return folder.layouts();
    }

    /** See {@link RunAnswers#require}. */
    void requireSame(ProductAnswers answers) {
        RunAnswers.require(folder, answers);
    }

    /** Gives the ranks the state of the newest whole checkpoint, if there is one. */
    Optional<Resumed> resume(RankGroup group) {
        CheckpointReader.Latest latest = Storage.attempt(() -> CheckpointReader.latest(folder, true,
                Runtime.getRuntime().availableProcessors()));
        List<String> skipped = latest.passedOver().stream().map(Damage::toString).toList();
        if (latest.reader().isEmpty()) {
            if (!skipped.isEmpty()) {
                throw new CastaliaException(ErrorCode.CHECKPOINT_CORRUPT, "no checkpoint of "
                        + folder.path() + " is whole: " + skipped.getFirst()
                        + "; restore the file, or train in a new folder");
            }
            return Optional.empty();
        }
        CheckpointReader reader = latest.reader().get();
        Storage.attempt(() -> {
            StateTransfer.load(group, reader.manifest(), reader::read);
            return reader;
        });
        return Optional.of(new Resumed(reader.manifest(), skipped));
    }

    /** Gives the ranks the first state: drawn weights, or those of a folder. */
    void initialise(RankGroup group, Optional<Path> initial) {
        switch (folder.specification().initialisation()) {
            case Initialisation.Drawn drawn -> StateTransfer.initialise(group, drawn);
            case Initialisation.FromFolder(String sha256) -> {
                Path source = initial.orElseThrow(() -> new CastaliaException(
                        ErrorCode.CONFIG_INVALID, "the run in " + folder.path()
                                + " starts from a folder of weights; name it with --init"));
                Storage.attempt(() -> {
                    try (HubFolder hub = HubFolder.open(source)) {
                        requireFits(source, hub, group.settings().plan().model());
                        FlatWeights weights = hub.weights(group.settings().grid().layout());
                        StateTransfer.load(group, weights);
                    }
                    return sha256;
                });
            }
        }
    }

    private static void requireFits(Path source, HubFolder hub, ModelShape wanted) {
        ModelShape found = hub.config().shape();
        if (found.parallelResidual() != wanted.parallelResidual()
                || found.rotaryDimensions() != wanted.rotaryDimensions()
                || found.heads() != wanted.heads()) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, source + " holds a model with "
                    + found.heads() + " heads, " + found.rotaryDimensions()
                    + " rotary dimensions and "
                    + (found.parallelResidual() ? "parallel" : "sequential")
                    + " residual; the configuration says " + wanted.heads() + ", "
                    + wanted.rotaryDimensions() + ", "
                    + (wanted.parallelResidual() ? "parallel" : "sequential"));
        }
    }

    /**
     * Writes the state of all ranks and publishes it.
     *
     * @param parentStep checkpoint the run went on from, -1 for none
     */
    Manifest save(RankGroup group, long parentStep) {
        return Storage.attempt(() -> {
            CheckpointWriter writer =
                    new CheckpointWriter(folder, group.scalars(), parentStep);
            StateTransfer.save(group, writer::add);
            writer.settle();
            return writer.publish();
        });
    }

    /** The manifest of a step that was saved. */
    Manifest manifest(long step) {
        return Storage.attempt(() -> folder.catalogue().read(step));
    }

    @Override
    public void close() {
        Storage.attempt(() -> {
            folder.close();
            return folder;
        });
    }
}
