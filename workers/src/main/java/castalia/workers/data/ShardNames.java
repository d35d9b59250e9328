package castalia.workers.data;

import java.io.IOException;
import java.nio.file.DirectoryIteratorException;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The parts of a token file that was cut into pieces, as the Pythia repository names them: {@code
 * NAME-00000-of-00082.bin} to {@code NAME-00082-of-00082.bin} (the number after "of" is the last
 * part's).
 */
final class ShardNames {
    /** Most parts of a file. */
    static final int MOST = 100_000;

    private ShardNames() {}

    /** The path of part {@code part} (0-based) of {@code parts}. */
    static Path part(Path prefix, int part, int parts) {
        String name = Objects.requireNonNull(prefix.getFileName()).toString();
        return prefix.resolveSibling(
                String.format(Locale.ROOT, "%s-%05d-of-%05d.bin", name, part, parts - 1));
    }

    /**
     * The parts of a prefix, in order; empty if there are none.
     *
     * @throws DataException if one is missing, or parts of two different cuts lie there
     */
    static List<Path> find(Path prefix) {
        String name = Objects.requireNonNull(prefix.getFileName()).toString();
        Pattern pattern = Pattern.compile(Pattern.quote(name) + "-(\\d{5})-of-(\\d{5})\\.bin");
        TreeMap<Integer, Path> parts = new TreeMap<>();
        int last = -1;
        Path folder = Objects.requireNonNull(prefix.toAbsolutePath().getParent());
        if (!Files.isDirectory(folder)) {
            return List.of();
        }
        try (DirectoryStream<Path> files = Files.newDirectoryStream(folder,
                path -> path.getFileName().toString().startsWith(name))) {
            for (Path file : files) {
                Matcher matcher = pattern.matcher(file.getFileName().toString());
                if (!matcher.matches()) {
                    continue;
                }
                int of = Integer.parseInt(matcher.group(2));
                if (last >= 0 && of != last) {
                    throw new DataException(file + ": belongs to a file cut into " + (of + 1)
                            + " parts, others beside it to one of " + (last + 1)
                            + "; remove those that do not belong together");
                }
                last = of;
                parts.put(Integer.parseInt(matcher.group(1)),
                        prefix.resolveSibling(file.getFileName().toString()));
            }
        } catch (IOException | DirectoryIteratorException e) {
            throw new DataException(folder + ": cannot be listed (" + e + ")", e);
        }
        for (int i = 0; i <= last; i++) {
            if (!parts.containsKey(i)) {
                throw new DataException(part(prefix, i, last + 1) + ": this part is missing, "
                        + parts.size() + " of " + (last + 1) + " are there; copy it too");
            }
        }
        if (parts.size() > last + 1) {
            throw new DataException(parts.lastEntry().getValue() + ": its number is beyond the"
                    + " last part; remove or rename it");
        }
        return List.copyOf(parts.values());
    }
}
