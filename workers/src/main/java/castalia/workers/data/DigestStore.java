package castalia.workers.data;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.FileTime;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;

/**
 * Remembers the SHA-256 of large token files, so that not every start reads hundreds of gigabytes:
 * a hash is kept beside the name, size and time of change of each part, and computed anew when one
 * of them is another.
 */
public final class DigestStore {
    /** Smaller files are hashed every time. */
    public static final long SMALL_BYTES = 256L << 20;

    private static final String TITLE = "castalia token hash 1";

    /** A file changed so recently may change again without a newer time. */
    private static final long SETTLED_NANOS = TimeUnit.SECONDS.toNanos(2);

    private static final long LONGEST_RECORD = 64L << 20;

    private final List<Path> folders;
    private final long smallBytes;
    private final boolean trusting;
    private final DataProgress progress;

    /**
     * Hashes are kept in the first of {@code folders} that can be written.
     *
     * @param trusting whether a kept hash is used; otherwise it is only renewed
     * @param progress told while a file is hashed
     */
    public DigestStore(List<Path> folders, boolean trusting, DataProgress progress) {
        this(folders, SMALL_BYTES, trusting, progress);
    }

    DigestStore(
            List<Path> folders, long smallBytes, boolean trusting, DataProgress progress) {
        this.folders = List.copyOf(folders);
        this.smallBytes = smallBytes;
        this.trusting = trusting;
        this.progress = progress;
    }

    /** Keeps nothing. */
    static DigestStore none() {
        return new DigestStore(List.of(), Long.MAX_VALUE, false, DataProgress.none());
    }

    /** SHA-256 of all tokens of a file. */
    String sha256(TokenBytes bytes) {
        if (bytes.bytes() < smallBytes) {
            return bytes.sha256(null);
        }
        List<Path> files = bytes.paths();
        long now = TimeUnit.MILLISECONDS.toNanos(System.currentTimeMillis());
        List<String> state = new ArrayList<>();
        boolean settled = true;
        try {
            for (Path file : files) {
                FileTime changed = Files.getLastModifiedTime(file);
                state.add("part " + Files.size(file) + " " + changed.to(TimeUnit.NANOSECONDS) + " "
                        + file.getFileName());
                settled &= changed.to(TimeUnit.NANOSECONDS) < now - SETTLED_NANOS;
            }
        } catch (IOException e) {
            throw new DataException(files.getFirst() + ": cannot be read (" + e + ")", e);
        }
        String name = name(files.getFirst());
        if (trusting) {
            for (Path folder : folders) {
                Optional<String> kept = kept(folder.resolve(name), state);
                if (kept.isPresent()) {
                    return kept.get();
                }
            }
        }
        String hash = bytes.sha256(progress);
        if (settled) {
            keep(name, hash, state);
        }
        return hash;
    }

    /** Files of one name in several folders have records of their own. */
    private static String name(Path file) {
        byte[] path = Sha256.start().digest(
                file.toAbsolutePath().normalize().toString().getBytes(StandardCharsets.UTF_8));
        return HexFormat.of().formatHex(path, 0, 12) + ".hash";
    }

    private static Optional<String> kept(Path record, List<String> state) {
        try {
            if (Files.size(record) > LONGEST_RECORD) {
                return Optional.empty();
            }
            List<String> lines = Files.readAllLines(record);
            boolean same = lines.size() == state.size() + 2
                    && lines.getFirst().equals(TITLE)
                    && lines.get(1).matches("[0-9a-f]{64}")
                    && lines.subList(2, lines.size()).equals(state);
            return same ? Optional.of(lines.get(1)) : Optional.empty();
        } catch (IOException _) {
            return Optional.empty(); // none, unreadable, or not text
        }
    }

    private void keep(String name, String hash, List<String> state) {
        List<String> lines = new ArrayList<>(List.of(TITLE, hash));
        lines.addAll(state);
        for (Path folder : folders) {
            Path record = folder.resolve(name);
            Path partial = record.resolveSibling(
                    name + ".partial-" + ProcessHandle.current().pid() + "-" + System.nanoTime());
            try {
                Files.createDirectories(folder);
                try {
                    Files.write(partial, lines);
                    Files.move(partial, record, StandardCopyOption.ATOMIC_MOVE);
                } finally {
                    Files.deleteIfExists(partial);
                }
                return;
            } catch (IOException _) {
                // The next folder, or no record: then it is hashed again.
            }
        }
    }
}
