package castalia.deploy.cluster;

import castalia.checkpoints.CheckpointReader;
import castalia.checkpoints.CheckpointWriter;
import castalia.checkpoints.FolderInUseException;
import castalia.checkpoints.LayoutLog;
import castalia.checkpoints.RunFolder;
import castalia.deploy.shell.Storage;
import castalia.deploy.status.StatusFile;
import castalia.deploy.train.LayoutChoice;
import castalia.deploy.train.MachineMemory;
import castalia.deploy.train.TrainingJob;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.checkpoint.Manifest;
import castalia.protocol.control.GenerationPlan;
import castalia.protocol.identity.Claimant;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.LayoutWish;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.run.RunStorage;
import castalia.protocol.specification.RunSpecification;
import castalia.protocol.step.ScalarState;
import castalia.workers.exchange.socket.SocketSettings;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import java.util.stream.Collectors;

/** A run's durable part in its folder, which all candidates share. */
final class FolderRunStorage implements RunStorage {

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

    /** This process in the words of the folder's lock. */
    static String thisProcess() {
        return Storage.attempt(RunFolder::thisProcess);
    }

    @Override
    public Optional<Long> claimTerm(Claimant by) {
        return Storage.attempt(() -> {
            lockUnlessCandidateHolds();
            seen = folder.layouts().newest();
            return folder.terms().claim(by.text());
        });
    }

    /**
     * The lock keeps apart what terms cannot: commands that would train in one folder beside each
     * other. Candidates of one run do not need it among themselves, and one that hangs would never
     * give it back: whoever claimed a term of this run may be replaced while it holds the lock.
     */
    private void lockUnlessCandidateHolds() throws IOException {
        try {
            folder.lock();
        } catch (FolderInUseException e) {
            if (!folder.claimedBy(e.holder())) {
                throw e;
            }
        }
    }

    @Override
    public void keepOthersOut() {
        Storage.attempt(() -> {
            try {
                folder.lock();
            } catch (FolderInUseException e) {
                // its holder hangs, or ends soon; the next call tries again
            }
            return folder;
        });
    }

    @Override
    public Optional<Claim> newestClaim() {
        return Storage.attempt(() -> {
            long newest = folder.terms().newest();
            return newest == 0
                    ? Optional.<Claim>empty() : Optional.of(new Claim(newest, folder.claimant(newest)));
        });
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

    /**
     * The layout to begin with, recorded as the one that is wanted.
     *
     * @throws CastaliaException if it does not fit the run or the workers
     */
    LayoutChoice choose(TrainingJob training, ClusterTraining.Request request) {
        return Storage.attempt(() -> {
            LayoutLog log = folder.layouts();
            LayoutChoice choice = LayoutChoice.of(request.layout(), log.newest(),
                    training.configuration().placement(), training.specification(),
                    request.workers());
            RunSpecification run = training.specification();
            choice.requireWorkers(request.workers(), request.layout(), run);
            int workers = request.workers().orElse(choice.wish().ranks());
            long early = SocketSettings.Bounds.DEFAULT.earlyBytes();
            ParallelLayout layout = choice.wish().fit(workers, run.virtualRanks());
            MachineMemory.require(run.plan(), training.recomputation(
                            Math.max(1, workers + request.spares()), early), layout, early,
                    training.hosting().usableBytes(layout.ranks(),
                            Math.max(0, workers + request.spares() - layout.ranks())));
            choice.record(log, request.layout());
            return choice;
        });
    }

    /** Keeps the folder's status file, and says at once that this process leads. */
    StatusKeeper keeper(RunCluster cluster) {
        StatusKeeper keeper = keeperLater(cluster);
        keeper.write();
        return keeper;
    }

    /** Keeps the folder's status file where this process should come to lead. */
    StatusKeeper keeperLater(RunCluster cluster) {
        return new StatusKeeper(cluster.view(), new StatusFile(RunFolder.status(folder.path())),
                cluster.page(), cluster.machine(), System::nanoTime);
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
