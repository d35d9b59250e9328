package castalia.checkpoints;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Pattern;

/** Names that come from outside: one plain file name, and never a way out of a folder. */
public final class SafeNames {

    private static final Pattern PLAIN = Pattern.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,127}");

    private SafeNames() {}

    /** Whether a name is letters, digits, and behind the first also dots, underscores, minuses. */
    public static boolean plain(String name) {
        return PLAIN.matcher(name).matches();
    }

    /**
     * The path of a plain name in a folder.
     *
     * @throws CheckpointException if the name is not plain, or is a symbolic link that leaves the
     *     folder
     */
    public static Path resolve(Path folder, String name) throws IOException {
        if (!plain(name)) {
            throw new CheckpointException(
                    folder + ": refused the file name '" + printable(name) + "'");
        }
        Path path = folder.resolve(name);
        if (Files.isSymbolicLink(path)) {
            Path target = Files.exists(path) ? path.toRealPath() : path;
            if (!target.startsWith(folder.toRealPath())) {
                throw new CheckpointException(path + " is a symbolic link that leaves its folder;"
                        + " copy the folder with its files first (cp -rL)");
            }
        }
        return path;
    }

    private static String printable(String name) {
        String shortened = name.length() > 80 ? name.substring(0, 80) + "..." : name;
        return shortened.replaceAll("[^\\x20-\\x7e]", "?");
    }
}
