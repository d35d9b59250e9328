package castalia.workers.data.text;

import java.nio.file.Path;
import java.util.Optional;

/**
 * A file, or an entry of a zip archive, whose documents are read one after another.
 *
 * @param entry the entry's name, if the file is an archive
 * @param bytes its size as stored
 * @param version what changes when the content does: a time or a checksum
 */
public record TextPart(
        Path file, Optional<String> entry, TextFormat format, long bytes, String version) {

    /** For messages and reports: the path, and the entry after an exclamation mark. */
    public String name() {
        return entry.map(inner -> file + "!" + inner).orElseGet(file::toString);
    }

    /** One line that differs when the part was changed. */
    public String identity() {
        return bytes + " " + version + " " + name();
    }
}
