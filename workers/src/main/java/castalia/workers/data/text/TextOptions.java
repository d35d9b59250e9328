package castalia.workers.data.text;

import castalia.workers.data.DataException;
import java.nio.file.FileSystems;
import java.util.Optional;
import java.util.regex.PatternSyntaxException;

/**
 * How files become documents.
 *
 * @param separator the line that separates the documents of a text file, without its end; without
 *     one a file is one document
 * @param field the member of a JSON line that holds the text
 * @param match a glob: which files of a folder or zip archive are read; without a slash it is
 *     matched against the last part of a path. Without one those whose format the name tells
 */
public record TextOptions(Optional<String> separator, String field, Optional<String> match) {
    /** A file is a document; the text of a JSON line is its member {@code text}. */
    public static final TextOptions PLAIN =
            new TextOptions(Optional.empty(), "text", Optional.empty());

    public TextOptions {
        separator.ifPresent(line -> {
            if (line.isEmpty() || line.contains("\n") || line.contains("\r")) {
                throw new DataException("separator '" + line.strip()
                        + "': must be one line and not empty");
            }
        });
        if (field.isEmpty()) {
            throw new DataException("the name of the JSON field with the text is empty");
        }
        match.ifPresent(glob -> {
            try {
                FileSystems.getDefault().getPathMatcher("glob:" + glob);
            } catch (PatternSyntaxException e) {
                throw new DataException(
                        "pattern '" + glob + "' is no glob (" + e.getDescription() + ")", e);
            }
        });
    }
}
