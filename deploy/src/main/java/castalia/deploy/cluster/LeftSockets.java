package castalia.deploy.cluster;

import castalia.protocol.identity.Incarnation;
import castalia.workers.exchange.socket.SocketDataPlane;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Sockets of workers that were killed. They lie in a folder that many runs share, perhaps of several
 * machines, so that only what is known to be of a dead worker is removed: by its parent, and where
 * that died too by the next start of its run, which knows all its workers by their logs.
 */
final class LeftSockets {

    /** Where workers have their sockets: paths of run folders may be too long for them. */
    static final String FOLDER = Path.of(System.getProperty("java.io.tmpdir")).toString();

    private static final Pattern LOG = Pattern.compile(".+-([0-9a-f]{16})\\.log");

    private LeftSockets() {}

    /** Name of a worker's log. */
    static String log(String worker, Incarnation life) {
        return worker + "-" + life + ".log";
    }

    /** A worker of this process has ended. */
    static void remove(Incarnation dead) {
        try {
            SocketDataPlane.removeSocket(FOLDER, dead);
        } catch (IOException e) {
            // it is in nobody's way
        }
    }

    /** Nobody trains in the run: all workers that ever wrote a log are dead. */
    static void sweep(Path logs) {
        if (!Files.isDirectory(logs)) {
            return;
        }
        try (Stream<Path> all = Files.list(logs)) {
            List<Path> files = all.toList();
            for (Path file : files) {
                Matcher matcher = LOG.matcher(String.valueOf(file.getFileName()));
                if (matcher.matches()) {
                    remove(new Incarnation(Long.parseUnsignedLong(matcher.group(1), 16)));
                }
            }
        } catch (IOException | UncheckedIOException e) {
            // they are in nobody's way
        }
    }
}
