package castalia.checkpoints;

import castalia.protocol.identity.Claimant;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.specification.RunSpecification;
import castalia.protocol.wire.Codecs;
import castalia.protocol.wire.MalformedMessageException;
import castalia.protocol.wire.RunIdentity;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The folder of one run:
 *
 * <pre>
 * specification                           record: the run specification, published once
 * catalogue/step-000000000012.manifest    record: a checkpoint, published last
 * chunks/ab/ab..ef.chunk                  content of checkpoints, named by SHA-256
 * terms/term-000000000001                 record: who coordinated, one per claim
 * generations/term-...-generation-...     record: a membership, for people
 * layouts/layout-000000000001             record: a layout asked for; the newest counts
 * answers                                 record: known answers of who first trained here
 * credential                              what its processes show each other; not written here
 * metrics.jsonl                           one line per step; not written here
 * status.json                             what whoever trains does now; not written here
 * lock                                    held by the process that trains; says which
 * </pre>
 *
 * Records are in the format of {@link ExclusiveRecords}. The folder may be moved or copied when no
 * process trains in it.
 */
public final class RunFolder implements AutoCloseable {

    private static final String SPECIFICATION = "specification";
    private static final String CATALOGUE = "catalogue";
    private static final String CHUNKS = "chunks";
    private static final String TERMS = "terms";
    private static final String GENERATIONS = "generations";
    private static final String LAYOUTS = "layouts";
    private static final String ANSWERS = "answers";
    private static final int ANSWERS_BYTES = 1 << 18;
    private static final String METRICS = "metrics.jsonl";
    private static final String STATUS = "status.json";
    private static final String LOCK = "lock";
    private static final int NAMED_DIFFERENCES = 3;
    private static final int GENERATION_BYTES = 1 << 20;

    /** Claims that are searched for the process that holds the lock. */
    private static final long SEARCHED_TERMS = 64;

    private final Path path;
    private final RunSpecification specification;
    private final RunIdentity identity;
    private final ChunkGrid grid;
    private final ChunkStore chunks;
    private final Catalogue catalogue;
    private final FileOperations files;
    private volatile @Nullable RunLock lock;

    private RunFolder(
            FileOperations files, Path path, RunSpecification specification,
            @Nullable RunLock lock) {
        this.files = files;
        this.path = path;
        this.specification = specification;
        this.identity = RunIdentity.of(specification);
        this.grid = ChunkGrid.of(
                FlatLayout.of(specification.model(), specification.tensorSlices()));
        this.chunks = new ChunkStore(files, path.resolve(CHUNKS));
        this.catalogue = new Catalogue(files, path.resolve(CATALOGUE), identity);
        this.lock = lock;
    }

    /**
     * Opens a folder to store chunks and records in, creating it where it does not exist. Several
     * processes may; only one {@link #lock}s it.
     *
     * @throws CheckpointException if it belongs to another run
     */
    public static RunFolder openToShare(Path path, RunSpecification specification)
            throws IOException {
        return open(FileOperations.real(), path, specification, null);
    }

    /** This process in the words that the lock has for it, which no other has: process id and host. */
    public static String thisProcess() throws IOException {
        return RunLock.thisProcess();
    }

    /**
     * Takes the folder's lock until it is closed; does nothing if it is taken by this already.
     *
     * @throws FolderInUseException if another holds it
     */
    public synchronized void lock() throws IOException {
        if (lock == null) {
            lock = RunLock.acquire(path.resolve(LOCK));
        }
    }

    /** Who holds the folder's lock, as {@link #thisProcess} says it there; empty if nobody does. */
    public Optional<String> holder() throws IOException {
        return RunLock.holder(path.resolve(LOCK));
    }

    /**
     * The process that trains, as {@link #thisProcess} says it there; empty if nobody does. That is who
     * holds the lock, or where it claimed a term of the run, who claimed the newest: a leader that hangs
     * is replaced though it holds the lock.
     */
    public Optional<String> leader() throws IOException {
        Optional<String> holder = holder();
        if (holder.isEmpty()) {
            return holder;
        }
        return claimedBy(holder.get())
                ? claimant(terms().newest()).map(Claimant::process).or(() -> holder) : holder;
    }

    /** Whether a process, in the words of {@link #thisProcess}, claimed one of the newest terms. */
    public boolean claimedBy(String process) throws IOException {
        long newest = terms().newest();
        for (long term = newest; term > Math.max(0, newest - SEARCHED_TERMS); term--) {
            if (claimant(term).filter(by -> by.process().equals(process)).isPresent()) {
                return true;
            }
        }
        return false;
    }

    /** Who claimed a term; empty if its record does not say it, or is damaged. */
    public Optional<Claimant> claimant(long term) throws IOException {
        try {
            return terms().claimant(term).flatMap(Claimant::parse);
        } catch (DamagedFileException e) {
            return Optional.empty();
        }
    }

    /**
     * Opens a folder to train in, creating it where it does not exist, and locks it until closed.
     *
     * @throws CheckpointException if another process trains in it or it belongs to another run
     */
    public static RunFolder openToTrain(Path path, RunSpecification specification)
            throws IOException {
        return openToTrain(FileOperations.real(), path, specification);
    }

    /** As the other, over given file operations. */
    public static RunFolder openToTrain(
            FileOperations files, Path path, RunSpecification specification) throws IOException {
        createFolders(files, path.toAbsolutePath());
        RunLock lock = RunLock.acquire(path.resolve(LOCK));
        try {
            return open(files, path, specification, lock);
        } catch (IOException | RuntimeException e) {
            try {
                lock.close();
            } catch (IOException left) {
                e.addSuppressed(left);
            }
            throw e;
        }
    }

    private static RunFolder open(
            FileOperations files, Path path, RunSpecification specification,
            @Nullable RunLock lock) throws IOException {
        createFolders(files, path.toAbsolutePath());
        for (String name : new String[] {CATALOGUE, CHUNKS, TERMS, GENERATIONS, LAYOUTS}) {
            files.createDirectory(path.resolve(name));
        }
        files.forceDirectory(path);
        byte[] bytes = Codecs.encode(specification);
        ExclusiveRecords records = new ExclusiveRecords(files, path, Codecs.SPECIFICATION_BYTES);
        switch (records.publish(SPECIFICATION, bytes)) {
            case ExclusiveRecords.Outcome.Won() -> { }
            case ExclusiveRecords.Outcome.Lost lost -> {
                RunSpecification existing = decode(path, lost.existing());
                RunIdentity there = RunIdentity.of(existing);
                RunIdentity wanted = RunIdentity.of(specification);
                if (!there.equals(wanted)) {
                    throw new CheckpointException(path + " belongs to another run ("
                            + there.shortId() + ", not " + wanted.shortId()
                            + "): its specification differs ("
                            + differences(specification.differencesFrom(existing))
                            + "); restore that, or choose another run folder");
                }
            }
        }
        return new RunFolder(files, path, specification, lock);
    }

    private static String differences(List<String> all) {
        return String.join("; ", all.subList(0, Math.min(NAMED_DIFFERENCES, all.size())))
                + (all.size() > NAMED_DIFFERENCES
                        ? "; and " + (all.size() - NAMED_DIFFERENCES) + " more"
                        : "");
    }

    /**
     * Opens a folder to look at its checkpoints; no lock is taken.
     *
     * @throws CheckpointException if it is no run folder
     */
    public static RunFolder openToRead(Path path) throws IOException {
        if (!Files.isDirectory(path)) {
            throw new CheckpointException(path + " is no folder");
        }
        ExclusiveRecords records =
                new ExclusiveRecords(FileOperations.real(), path, Codecs.SPECIFICATION_BYTES);
        byte[] bytes = records.read(SPECIFICATION).orElseThrow(() -> new CheckpointException(
                path + " is no run folder: it has no file named " + SPECIFICATION));
        return new RunFolder(FileOperations.real(), path, decode(path, bytes), null);
    }

    private static RunSpecification decode(Path path, byte[] bytes) throws CheckpointException {
        try {
            return Codecs.decodeSpecification(bytes);
        } catch (MalformedMessageException e) {
            throw new CheckpointException(path.resolve(SPECIFICATION) + ": " + e.getMessage(), e);
        }
    }

    private static void createFolders(FileOperations files, Path folder) throws IOException {
        if (Files.isDirectory(folder)) {
            return;
        }
        Path parent = folder.getParent();
        if (parent == null || Files.exists(folder, LinkOption.NOFOLLOW_LINKS)) {
            throw new CheckpointException(folder + " is in the way: it is no folder");
        }
        createFolders(files, parent);
        files.createDirectory(folder);
        files.forceDirectory(parent);
    }

    public Path path() {
        return path;
    }

    public RunSpecification specification() {
        return specification;
    }

    public RunIdentity identity() {
        return identity;
    }

    /** The chunks of the run's state. */
    public ChunkGrid grid() {
        return grid;
    }

    public ChunkStore chunks() {
        return chunks;
    }

    public Catalogue catalogue() {
        return catalogue;
    }

    /** The claims of coordinators, durable and exclusive. */
    public TermLog terms() {
        return new TermLog(files, path.resolve(TERMS));
    }

    /** The layouts asked for, durable, in order. */
    public LayoutLog layouts() {
        return new LayoutLog(files, path.resolve(LAYOUTS));
    }

    /** Keeps the record of a generation as text; one that is there already stays. */
    public void logGeneration(long term, long generation, String text) throws IOException {
        new ExclusiveRecords(files, path.resolve(GENERATIONS), GENERATION_BYTES).publish(
                String.format("term-%012d-generation-%012d", term, generation),
                text.getBytes(StandardCharsets.UTF_8));
    }

    /**
     * Publishes the known answers of the process that first trains here.
     *
     * @return the answers that stand: these, or those published before
     */
    public String answers(String text) throws IOException {
        ExclusiveRecords records = new ExclusiveRecords(files, path, ANSWERS_BYTES);
        return switch (records.publish(ANSWERS, text.getBytes(StandardCharsets.UTF_8))) {
            case ExclusiveRecords.Outcome.Won() -> text;
            case ExclusiveRecords.Outcome.Lost lost ->
                    new String(lost.existing(), StandardCharsets.UTF_8);
        };
    }

    /** The file for one line of metrics per step. */
    public Path metrics() {
        return path.resolve(METRICS);
    }

    /** The file of a run's folder that says what whoever trains does now. */
    public static Path status(Path run) {
        return run.resolve(STATUS);
    }

    FileOperations files() {
        return files;
    }

    /** Releases the lock, where this holds it. */
    @Override
    public void close() throws IOException {
        RunLock held = lock;
        if (held != null) {
            held.close();
        }
    }
}
