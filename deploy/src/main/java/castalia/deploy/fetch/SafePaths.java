package castalia.deploy.fetch;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Refuses names from outside that would lead out of a folder. */
final class SafePaths {
    private static final int LONGEST_NAME = 230; // room for the end of a partial file's name
    private static final int LONGEST_PATH = 1024;

    private SafePaths() {}

    /** @throws FetchException if a listed path is not a plain relative one */
    static void require(String path) throws FetchException {
        boolean plain = !path.isEmpty() && path.length() <= LONGEST_PATH
                && path.indexOf('\\') < 0
                && path.chars().noneMatch(c -> c < ' ' || c == 0x7f);
        for (String part : path.split("/", -1)) {
            plain &= !part.isEmpty() && !part.equals(".") && !part.equals("..")
                    && part.getBytes(StandardCharsets.UTF_8).length <= LONGEST_NAME;
        }
        if (!plain) {
            throw FetchException.lasting("the hub lists a file '"
                    + path.replaceAll("\\p{Cntrl}", "?") + "', whose name is refused");
        }
    }

    /**
     * The place of a checked path in a folder; folders on the way are made.
     *
     * @throws FetchException if there is a link on the way, or a file where a folder should be
     */
    static Path place(Path folder, String path) throws IOException {
        String[] parts = path.split("/", -1);
        Path at = folder;
        for (int i = 0; i < parts.length; i++) {
            at = at.resolve(parts[i]);
            if (Files.isSymbolicLink(at)) {
                throw FetchException.lasting(
                        at + " is a link, which may lead out of " + folder + "; remove it");
            }
            if (i < parts.length - 1 && !Files.isDirectory(at)) {
                try {
                    Files.createDirectory(at);
                } catch (FileAlreadyExistsException _) {
                    if (!Files.isDirectory(at)) { // else another thread was quicker
                        throw FetchException.lasting(at + " is a file and must be a folder");
                    }
                }
            }
        }
        return at;
    }
}
