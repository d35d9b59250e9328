package castalia.checkpoints;

import castalia.protocol.checkpoint.ChunkEntry;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.stream.Stream;

/**
 * Removes what no checkpoint needs: chunk files that no manifest names and temporary files that
 * writers left behind, once they are older than a guard. The guard must be longer than writing one
 * checkpoint takes. Only files with the store's own names are touched; links and folders never.
 */
public final class Sweeper {

    private Sweeper() {}

    /**
     * What a sweep did.
     *
     * @param files files removed
     * @param bytes their size
     * @param kept chunk files that checkpoints need
     * @param guarded files that may go but are too young
     */
    public record Swept(int files, long bytes, int kept, int guarded) {}

    /**
     * Removes superseded checkpoints by their manifests; their chunks go with a later sweep.
     *
     * @param steps steps to remove, see {@link Retention}
     */
    public static void remove(RunFolder folder, List<Long> steps) throws IOException {
        for (long step : steps) {
            folder.catalogue().remove(step);
        }
    }

    /**
     * Sweeps a run folder.
     *
     * @param now the present, from the clock that stamps the files
     * @param guard age below which nothing is removed
     * @throws CheckpointException if a manifest cannot be read: then nothing is removed, since it
     *     is not known what its checkpoint needs
     */
    public static Swept sweep(RunFolder folder, Instant now, Duration guard) throws IOException {
        List<Candidate> candidates = candidates(folder);
        Set<String> needed = new HashSet<>();
        for (long step : folder.catalogue().steps()) {
            for (ChunkEntry entry : folder.catalogue().read(step).chunks()) {
                needed.add(entry.sha256());
            }
        }
        int files = 0;
        long bytes = 0;
        int kept = 0;
        int guarded = 0;
        for (Candidate candidate : candidates) {
            if (needed.contains(candidate.sha256())) {
                kept++;
            } else if (age(candidate.file(), now).compareTo(guard) <= 0) {
                guarded++;
            } else if (folder.files().delete(candidate.file())) {
                files++;
                bytes += candidate.bytes();
            }
        }
        return new Swept(files, bytes, kept, guarded);
    }

    /** A file that may go; the hash is empty for temporary files. */
    private record Candidate(Path file, String sha256, long bytes) {}

    private static List<Candidate> candidates(RunFolder folder) throws IOException {
        List<Candidate> found = new ArrayList<>();
        temporaries(folder.path(), found);
        temporaries(folder.catalogue().folder(), found);
        for (Path sub : list(folder.chunks().root())) {
            boolean ours = ChunkStore.FOLDER_NAME.matcher(name(sub)).matches()
                    && Files.isDirectory(sub, LinkOption.NOFOLLOW_LINKS);
            if (!ours) {
                continue;
            }
            temporaries(sub, found);
            for (Path file : list(sub)) {
                Matcher matcher = ChunkStore.FILE_NAME.matcher(name(file));
                if (matcher.matches()) {
                    add(file, matcher.group(1), found);
                }
            }
        }
        return found;
    }

    private static void temporaries(Path folder, List<Candidate> into) throws IOException {
        for (Path file : list(folder)) {
            if (name(file).startsWith(ExclusiveRecords.TEMPORARY)) {
                add(file, "", into);
            }
        }
    }

    private static void add(Path file, String sha256, List<Candidate> into) throws IOException {
        try {
            BasicFileAttributes attributes = attributes(file);
            if (attributes.isRegularFile()) {
                into.add(new Candidate(file, sha256, attributes.size()));
            }
        } catch (NoSuchFileException e) {
            return; // A writer has renamed or removed its temporary file meanwhile.
        }
    }

    private static Duration age(Path file, Instant now) throws IOException {
        try {
            return Duration.between(attributes(file).lastModifiedTime().toInstant(), now);
        } catch (NoSuchFileException e) {
            return Duration.ZERO;
        }
    }

    private static BasicFileAttributes attributes(Path file) throws IOException {
        return Files.readAttributes(file, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
    }

    private static List<Path> list(Path folder) throws IOException {
        try (Stream<Path> list = Files.list(folder)) {
            return list.sorted().toList();
        }
    }

    private static String name(Path file) {
        return String.valueOf(file.getFileName());
    }
}
