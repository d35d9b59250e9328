package castalia.workers.exchange.socket;

import castalia.protocol.identity.Incarnation;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/** The file a Unix domain socket is bound to. */
final class SocketFile {

    /** The kernel allows 107. */
    private static final int LONGEST = 100;

    private SocketFile() {}

    /** The path in a folder, which is made if it is missing; none if it would be too long. */
    static Optional<String> in(String folder, Incarnation incarnation) throws IOException {
        Path path = path(folder, incarnation);
        if (path.toString().getBytes(StandardCharsets.UTF_8).length > LONGEST) {
            return Optional.empty();
        }
        Files.createDirectories(Path.of(folder));
        return Optional.of(path.toString());
    }

    private static Path path(String folder, Incarnation incarnation) {
        return Path.of(folder).toAbsolutePath().resolve(incarnation + ".sock");
    }

    /** Removes the file of a life that is over. */
    static void removeIfThere(String folder, Incarnation dead) throws IOException {
        Files.deleteIfExists(path(folder, dead));
    }

    /** Removes what an earlier process left, or this one made. */
    static void remove(String path) throws IOException {
        Files.deleteIfExists(Path.of(path));
    }
}
