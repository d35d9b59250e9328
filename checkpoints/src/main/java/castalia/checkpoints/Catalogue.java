package castalia.checkpoints;

import castalia.protocol.checkpoint.Manifest;
import castalia.protocol.wire.Codecs;
import castalia.protocol.wire.MalformedMessageException;
import castalia.protocol.wire.RunIdentity;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The checkpoints of a run: one manifest per step, published once and last. A checkpoint exists if
 * and only if its manifest is here.
 */
public final class Catalogue {

    private static final Pattern NAME = Pattern.compile("step-(\\d{12})\\.manifest");
    private static final long LAST_STEP = 999_999_999_999L;

    private final FileOperations files;
    private final ExclusiveRecords records;
    private final Path folder;
    private final RunIdentity run;

    Catalogue(FileOperations files, Path folder, RunIdentity run) {
        this.files = files;
        this.folder = folder;
        this.records = new ExclusiveRecords(files, folder, Codecs.MANIFEST_BYTES);
        this.run = run;
    }

    /**
     * Publishes a checkpoint whose chunks are durable. Publishing the same state again changes
     * nothing; a damaged manifest of the step is replaced.
     *
     * @return the manifest that stands for the step; its parent may be another
     * @throws CheckpointException if the step stands for another state
     */
    Manifest publish(Manifest manifest) throws IOException {
        requireRun(manifest, folder);
        String name = name(manifest.step());
        byte[] bytes = Codecs.encode(manifest);
        ExclusiveRecords.Outcome outcome;
        try {
            outcome = records.publish(name, bytes);
        } catch (DamagedFileException e) {
            files.delete(records.path(name));
            outcome = records.publish(name, bytes);
        }
        return switch (outcome) {
            case ExclusiveRecords.Outcome.Won() -> manifest;
            case ExclusiveRecords.Outcome.Lost lost -> {
                Manifest there = decode(name, lost.existing());
                if (!there.stateHash().equals(manifest.stateHash())) {
                    throw new CheckpointException(records.path(name) + " holds the state "
                            + there.stateHash() + "; it is not replaced by "
                            + manifest.stateHash() + ": equal runs must give equal states");
                }
                yield there;
            }
        };
    }

    /** The steps that have a manifest, ascending; none of them is opened. */
    public List<Long> steps() throws IOException {
        List<Long> steps = new ArrayList<>();
        for (String name : records.names()) {
            Matcher matcher = NAME.matcher(name);
            if (matcher.matches()) {
                steps.add(Long.parseLong(matcher.group(1)));
            }
        }
        return List.copyOf(steps);
    }

    /**
     * Reads the manifest of a step.
     *
     * @throws CheckpointException if there is none, or it is damaged or of another run
     */
    public Manifest read(long step) throws IOException {
        String name = name(step);
        Optional<byte[]> bytes = records.read(name);
        if (bytes.isEmpty()) {
            List<Long> steps = steps();
            throw new CheckpointException(folder + " has no checkpoint of step " + step
                    + (steps.isEmpty() ? "; it has none at all" : "; the nearest before is "
                            + steps.stream().filter(s -> s < step).reduce((_, b) -> b)
                                    .map(String::valueOf).orElse("none")
                            + ", the newest " + steps.getLast()));
        }
        Manifest manifest = decode(name, bytes.get());
        if (manifest.step() != step) {
            throw new DamagedFileException(
                    records.path(name), -1, "it is the manifest of step " + manifest.step());
        }
        requireRun(manifest, records.path(name));
        return manifest;
    }

    private Manifest decode(String name, byte[] bytes) throws IOException {
        try {
            return Codecs.decodeManifest(bytes);
        } catch (MalformedMessageException e) {
            throw new CheckpointException(records.path(name) + ": " + e.getMessage(), e);
        }
    }

    private void requireRun(Manifest manifest, Path where) throws CheckpointException {
        if (!manifest.runHash().equals(run.hash())) {
            throw new CheckpointException(where + ": the checkpoint is of run "
                    + manifest.runHash().substring(0, 12) + ", the folder of " + run.shortId());
        }
    }

    /** Removes a manifest, and with it the checkpoint; its chunks are left to the sweeper. */
    public boolean remove(long step) throws IOException {
        return records.remove(name(step));
    }

    /** Where a step's manifest is or would be. */
    public Path path(long step) throws IOException {
        return records.path(name(step));
    }

    Path folder() {
        return folder;
    }

    private static String name(long step) {
        if (step < 0 || step > LAST_STEP) {
            throw new IllegalArgumentException("step " + step);
        }
        return "step-%012d.manifest".formatted(step);
    }
}
