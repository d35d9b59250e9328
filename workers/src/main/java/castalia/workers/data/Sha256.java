package castalia.workers.data;

import java.lang.foreign.MemorySegment;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;
import org.jspecify.annotations.Nullable;

/** SHA-256 of mapped files. */
public final class Sha256 {
    private static final long PIECE = 1 << 20;

    private Sha256() {}

    /** A digest that has seen nothing. */
    public static MessageDigest start() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("every JDK has SHA-256", e);
        }
    }

    /** Lower-case hex of what a digest has seen, which it then forgets. */
    public static String hex(MessageDigest digest) {
        return HexFormat.of().formatHex(digest.digest());
    }

    /** Lower-case hex of a text's UTF-8 bytes. */
    public static String ofText(String text) {
        MessageDigest digest = start();
        digest.update(text.getBytes(StandardCharsets.UTF_8));
        return hex(digest);
    }

    /** Lower-case hex of all bytes of {@code mapped}, read piece by piece. */
    static String hex(MemorySegment mapped, Path path) {
        MessageDigest digest = start();
        update(digest, mapped, path, null);
        return hex(digest);
    }

    /** Takes all bytes of {@code mapped}, read piece by piece. */
    static void update(MessageDigest digest, MemorySegment mapped, Path path,
            @Nullable DataProgress progress) {
        try {
            for (long at = 0; at < mapped.byteSize(); at += PIECE) {
                long length = Math.min(PIECE, mapped.byteSize() - at);
                digest.update(mapped.asSlice(at, length).asByteBuffer());
                if (progress != null) {
                    progress.at(at + length, mapped.byteSize());
                }
            }
        } catch (InternalError e) {
            throw new DataException(
                    path + ": cannot be read; the file shrank while it was in use, or the storage"
                            + " failed. Restore the file and try again",
                    e);
        }
    }
}
