package castalia.workers.data.text;

import java.util.Locale;
import java.util.Optional;

/**
 * What the name of a file says of its content.
 *
 * @param lines whether each line is a JSON object
 */
record TextFormat(boolean lines, Compression compression) {
    enum Compression {
        NONE,
        GZIP,
        ZSTANDARD
    }

    /** The format of a name; anything that is not JSON lines is text. */
    static TextFormat of(String name) {
        return known(name).orElseGet(() -> {
            Compression compression = compression(name.toLowerCase(Locale.ROOT));
            return new TextFormat(false, compression);
        });
    }

    /** The format of a name that ends with .txt or .jsonl, compressed or not. */
    static Optional<TextFormat> known(String name) {
        String lower = name.toLowerCase(Locale.ROOT);
        Compression compression = compression(lower);
        String inner = compression == Compression.NONE
                ? lower
                : lower.substring(0, lower.lastIndexOf('.'));
        if (inner.endsWith(".jsonl") || inner.endsWith(".ndjson")) {
            return Optional.of(new TextFormat(true, compression));
        }
        return inner.endsWith(".txt")
                ? Optional.of(new TextFormat(false, compression))
                : Optional.empty();
    }

    private static Compression compression(String lower) {
        return lower.endsWith(".gz")
                ? Compression.GZIP
                : lower.endsWith(".zst") ? Compression.ZSTANDARD : Compression.NONE;
    }

    static boolean isArchive(String name) {
        return name.toLowerCase(Locale.ROOT).endsWith(".zip");
    }
}
