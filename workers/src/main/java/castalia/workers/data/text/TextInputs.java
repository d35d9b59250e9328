package castalia.workers.data.text;

import castalia.workers.data.DataException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileSystems;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.nio.file.PathMatcher;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

/**
 * The documents that paths stand for, in an order that depends on names alone.
 *
 * <p>A path is a text file, a file of JSON lines (.jsonl), one of them compressed (.gz, .zst), a zip
 * archive or a folder. A folder and an archive stand for their .txt and .jsonl files, compressed or
 * not, or for those that the options match, in the order of their paths. An archive's other entries
 * and what is inside archives of a folder are not read. May be used by several threads.
 */
public final class TextInputs {
    private final List<TextPart> parts;
    private final TextOptions options;
    private final JsonText json;

    private TextInputs(List<TextPart> parts, TextOptions options) {
        this.parts = List.copyOf(parts);
        this.options = options;
        this.json = new JsonText(options.field());
    }

    /**
     * Lists what paths stand for; nothing but folders and the directories of archives is read.
     *
     * @throws DataException if a path does not exist, cannot be read or stands for nothing
     */
    public static TextInputs of(List<Path> paths, TextOptions options) {
        List<TextPart> parts = new ArrayList<>();
        for (Path path : paths) {
            int before = parts.size();
            try {
                if (Files.isDirectory(path)) {
                    folder(path, options, parts);
                } else if (!Files.exists(path)) {
                    throw new DataException(path + ": no such file or folder");
                } else if (TextFormat.isArchive(path.toString())) {
                    archive(path, options, parts);
                } else {
                    parts.add(file(path));
                }
            } catch (IOException | UncheckedIOException | InvalidPathException e) {
                throw new DataException(path + ": cannot be read (" + e + ")", e);
            }
            if (parts.size() == before) {
                throw new DataException(path + ": holds no " + options.match()
                        .map(glob -> "file that matches '" + glob + "'")
                        .orElse(".txt or .jsonl file; --match says which others to read"));
            }
        }
        return new TextInputs(parts, options);
    }

    private static void folder(Path folder, TextOptions options, List<TextPart> parts)
            throws IOException {
        List<Path> found;
        try (Stream<Path> all = Files.walk(folder)) {
            found = all.filter(Files::isRegularFile)
                    .filter(path -> wanted(folder.relativize(path).toString(), options.match()))
                    .sorted(Comparator.comparing(path -> folder.relativize(path).toString()))
                    .toList();
        }
        for (Path path : found) {
            parts.add(file(path));
        }
    }

    private static TextPart file(Path path) throws IOException {
        return new TextPart(path, Optional.empty(), TextFormat.of(path.toString()),
                Files.size(path), Files.getLastModifiedTime(path).toString());
    }

    private static void archive(Path path, TextOptions options, List<TextPart> parts)
            throws IOException {
        try (ZipFile zip = new ZipFile(path.toFile(), StandardCharsets.UTF_8)) {
            zip.stream()
                    .filter(entry -> !entry.isDirectory())
                    .filter(entry -> wanted(entry.getName(), options.match()))
                    .sorted(Comparator.comparing(ZipEntry::getName))
                    .forEach(entry -> parts.add(new TextPart(path, Optional.of(entry.getName()),
                            TextFormat.of(entry.getName()), Math.max(0, entry.getCompressedSize()),
                            Long.toHexString(entry.getCrc()))));
        }
    }

    private static boolean wanted(String name, Optional<String> match) {
        if (match.isEmpty()) {
            return TextFormat.known(name).isPresent();
        }
        PathMatcher matcher = FileSystems.getDefault().getPathMatcher("glob:" + match.get());
        Path path = Path.of(name);
        return matcher.matches(path)
                || (match.get().indexOf('/') < 0 && matcher.matches(path.getFileName()));
    }

    /** What is read, in order. */
    public List<TextPart> parts() {
        return parts;
    }

    /** Bytes of all parts as stored. */
    public long bytes() {
        return parts.stream().mapToLong(TextPart::bytes).sum();
    }

    /** Reads the documents from the start of a part on. The caller closes the reader. */
    public DocumentReader open(int firstPart) {
        return new DocumentReader(parts, options, firstPart);
    }

    /** Where a document is, for messages and reports. */
    public String locate(RawDocument document) {
        TextPart part = parts.get(document.part());
        return part.name()
                + (part.format().lines() ? ": line " : ": byte ") + document.place();
    }

    /** Whether a document is a JSON line. */
    public boolean isJson(RawDocument document) {
        return parts.get(document.part()).format().lines();
    }

    /**
     * The text of a document.
     *
     * @throws DataException with its place if it is not UTF-8, not JSON, or has no text
     */
    public String text(RawDocument document) {
        TextPart part = parts.get(document.part());
        if (part.format().lines()) {
            String line = Utf8.decode(document.content(), at -> new DataException(
                    locate(document) + ", column " + (at + 1) + ": is not UTF-8"));
            return json.text(line, () -> locate(document));
        }
        return Utf8.decode(document.content(), at -> new DataException(part.name() + ": byte "
                + (document.place() + at) + " is not UTF-8; convert the file, for example with"
                + " iconv"));
    }
}
