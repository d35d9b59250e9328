package castalia.deploy.cluster;

import castalia.checkpoints.CheckpointException;
import castalia.checkpoints.CheckpointReader;
import castalia.checkpoints.CheckpointWriter;
import castalia.checkpoints.RunFolder;
import castalia.deploy.shell.Storage;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.checkpoint.Manifest;
import castalia.protocol.control.GenerationPlan;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.LayoutWish;
import castalia.protocol.run.RunStorage;
import castalia.protocol.specification.RunSpecification;
import castalia.protocol.step.ScalarState;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/** A run's durable part in its folder, which all candidates share. */
final class FolderRunStorage implements RunStorage {

    /** How long a leader that just died may keep the lock. */
    private static final Duration LOCK_PATIENCE = Duration.ofSeconds(10);

    private final RunFolder folder;
    private volatile Optional<LayoutWish> seen = Optional.empty();

    /** @throws CastaliaException if the folder belongs to another run */
    FolderRunStorage(Path path, RunSpecification specification) {
        this.folder = Storage.attempt(() -> RunFolder.openToShare(path, specification));
    }

    /** Opens a folder and takes its lock now: one in use is refused before anything starts. */
    static FolderRunStorage lead(Path path, RunSpecification specification) {
        FolderRunStorage storage = new FolderRunStorage(path, specification);
        Storage.attempt(() -> {
            storage.folder.lock();
            return storage;
        });
        return storage;
    }

    @Override
    public Optional<Long> claimTerm(Incarnation by, String label) {
        return Storage.attempt(() -> {
            lockPatiently(); // first: a leader that lives is not deposed by who could not lead
            seen = folder.layouts().newest();
            return folder.terms().claim(label + " " + by);
        });
    }

    private void lockPatiently() throws IOException {
        long end = System.nanoTime() + LOCK_PATIENCE.toNanos();
        while (true) {
            try {
                folder.lock();
                return;
            } catch (CheckpointException e) {
                if (System.nanoTime() > end) {
                    throw e;
                }
                pause();
            }
        }
    }

    private static void pause() {
        try {
            Thread.sleep(50);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new CastaliaException(
                    ErrorCode.STORAGE_FAILED, "interrupted while waiting for the folder's lock", e);
        }
    }

    @Override
    public long newestTerm() {
        return Storage.attempt(() -> folder.terms().newest());
    }

    @Override
    public Optional<LayoutWish> wish() {
        Optional<LayoutWish> newest = Storage.attempt(() -> folder.layouts().newest());
        seen = newest;
        return newest;
    }

    /** The wish read last: with the term's claim or since. */
    Optional<LayoutWish> seenWish() {
        return seen;
    }

    @Override
    public Optional<Newest> newestCheckpoint() {
        CheckpointReader.Latest latest = Storage.attempt(() -> CheckpointReader.latest(
                folder, true, Runtime.getRuntime().availableProcessors()));
        if (latest.reader().isEmpty() && !latest.passedOver().isEmpty()) {
            throw new CastaliaException(ErrorCode.CHECKPOINT_CORRUPT, "no checkpoint of "
                    + folder.path() + " is whole: " + latest.passedOver().getFirst()
                    + "; restore the file, or train in a new folder");
        }
        return latest.reader().map(reader -> new Newest(
                reader.manifest().scalarState(), reader.manifest().stateHash()));
    }

    @Override
    public String publish(ScalarState scalars, List<ChunkEntry> entries, long parentStep) {
        return Storage.attempt(() -> {
            CheckpointWriter writer = new CheckpointWriter(folder, scalars, parentStep);
            entries.forEach(writer::accept);
            Manifest manifest = writer.publish();
            return manifest.stateHash();
        });
    }

    @Override
    public void logGeneration(GenerationPlan plan) {
        String members = plan.members().stream().map(Member::label)
                .collect(Collectors.joining(" "));
        Storage.attempt(() -> {
            folder.logGeneration(plan.fence().term(), plan.fence().generation(),
                    "members " + members + "\nstart " + plan.start() + "\n" + plan.placement() + "\n");
            return folder;
        });
    }

    @Override
    public void close() {
        Storage.attempt(() -> {
            folder.close();
            return folder;
        });
    }
}
