package castalia.deploy.cluster;

import castalia.protocol.ErrorCode;
import java.io.IOException;
import java.io.InputStream;

/**
 * Ends a process within a moment of losing its parent, however the parent ended: its end of the
 * pipe to our standard input closes with it.
 */
public final class OrphanWatch {

    private OrphanWatch() {}

    /** Watches {@code parent}, on which nothing is ever written. */
    public static void start(InputStream parent) {
        Thread thread = new Thread(() -> {
            try {
                while (parent.read() >= 0) {
                    // Nothing is expected; whatever comes is no reason to end.
                }
            } catch (IOException e) {
                // The pipe broke: the parent is gone.
            }
            Runtime.getRuntime().halt(ErrorCode.PEER_LOST.exitCode());
        }, "orphan-watch");
        thread.setDaemon(true);
        thread.start();
    }
}
