package castalia.workers.data;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * The tokens of a data set, memory-mapped: one {@code .bin} file, or its parts in order without
 * joining them. A token may lie across the border of two parts.
 */
final class TokenBytes {
    private final Path[] paths;
    private final MemorySegment[] parts;
    private final long[] starts;
    private final long bytes;

    private TokenBytes(List<Path> paths, List<MemorySegment> parts) {
        this.paths = paths.toArray(Path[]::new);
        this.parts = parts.toArray(MemorySegment[]::new);
        this.starts = new long[this.parts.length];
        long at = 0;
        for (int i = 0; i < this.parts.length; i++) {
            starts[i] = at;
            at = Math.addExact(at, this.parts[i].byteSize());
        }
        this.bytes = at;
    }

    /** The files of a prefix: {@code PREFIX.bin} if it is there, else its parts. */
    static List<Path> files(Path prefix) {
        Path whole = TokenFile.binPath(prefix);
        if (Files.exists(whole)) {
            return List.of(whole);
        }
        List<Path> found = ShardNames.find(prefix);
        return found.isEmpty() ? List.of(whole) : found;
    }

    static TokenBytes map(Path prefix, Arena arena) {
        List<Path> paths = files(prefix);
        List<MemorySegment> parts = new ArrayList<>();
        for (Path path : paths) {
            parts.add(Mapped.file(path, arena));
        }
        return new TokenBytes(paths, parts);
    }

    /** Bytes of all parts. */
    long bytes() {
        return bytes;
    }

    /** What a message calls all parts together. */
    Path path() {
        return paths[0];
    }

    /** The file, or its parts in order. */
    List<Path> paths() {
        return List.of(paths);
    }

    int partCount() {
        return parts.length;
    }

    private int partOf(long at) {
        int low = 0;
        int high = starts.length - 1;
        while (low < high) {
            int middle = (low + high + 1) >>> 1;
            if (starts[middle] <= at) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        return low;
    }

    /**
     * Copies {@code count} tokens from byte {@code from} on as native int32.
     *
     * @return the tokens copied: less than {@code count} when the next has no exact int32 value
     */
    int toInt32(TokenDtype dtype, long from, int count, MemorySegment target, long targetByte) {
        if (parts.length == 1) {
            return dtype.toInt32(parts[0], from, count, target, targetByte);
        }
        int done = 0;
        while (done < count) {
            long at = from + (long) done * dtype.bytes();
            int part = partOf(at);
            long within = at - starts[part];
            int whole = (int) Math.min(
                    count - done, (parts[part].byteSize() - within) / dtype.bytes());
            int copied;
            if (whole == 0) {
                whole = 1;
                copied = dtype.toInt32(
                        gathered(at, dtype.bytes()), 0, 1, target, targetByte + 4L * done);
            } else {
                copied = dtype.toInt32(
                        parts[part], within, whole, target, targetByte + 4L * done);
            }
            done += copied;
            if (copied < whole) {
                return done;
            }
        }
        return count;
    }

    /** The few bytes of a token that lies across a border. */
    private MemorySegment gathered(long at, int length) {
        MemorySegment bytesOfOne = MemorySegment.ofArray(new byte[length]);
        for (int i = 0; i < length; i++) {
            int part = partOf(at + i);
            MemorySegment.copy(parts[part], at + i - starts[part], bytesOfOne, i, 1);
        }
        return bytesOfOne;
    }

    /** File, byte and value of one token, for messages. */
    String describe(TokenDtype dtype, long at, String where) {
        int part = partOf(at);
        String value = dtype.valueAt(gathered(at, dtype.bytes()), 0);
        return paths[part] + ": byte " + (at - starts[part]) + where + " holds " + value;
    }

    /** The file of the part that holds a byte. */
    Path fileOf(long at) {
        return paths[partOf(at)];
    }

    /** SHA-256 of all parts one after another: that of the file they make together. */
    String sha256(@Nullable DataProgress progress) {
        MessageDigest digest = Sha256.start();
        for (int i = 0; i < parts.length; i++) {
            long before = starts[i];
            Sha256.update(digest, parts[i], paths[i],
                    progress == null ? null : (done, _) -> progress.at(before + done, bytes));
        }
        return Sha256.hex(digest);
    }
}
