package castalia.deploy.cluster;

import castalia.actors.NodeAddress;
import castalia.actors.tls.Credential;
import castalia.actors.tls.FirstMeeting;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import java.io.EOFException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.cert.X509Certificate;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import javax.net.ssl.SSLException;

/** How a node that was told an address alone finds the credential of the run that is there. */
final class Introduction {

    private static final long AGAIN_MILLIS = 200;

    private Introduction() {}

    /**
     * Asks the node at an address which folder its run has, reads the credential there, and shows it.
     *
     * @param patience how long an address that does not accept is tried
     * @throws CastaliaException if nobody answers, or the folder is not here or has another credential
     */
    static Credential to(NodeAddress seed, Duration patience) {
        long end = System.nanoTime() + patience.toNanos();
        while (true) {
            int left = Math.toIntExact(Math.max(1,
                    TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime())));
            try {
                return FirstMeeting.with(seed.host(), seed.port(), left,
                        certificate -> credential(seed, certificate));
            } catch (IOException e) {
                // Cut off in the handshake is as good as a reset: it ends, or made room.
                if (e instanceof SSLException && !(e.getCause() instanceof EOFException)) {
                    throw new CastaliaException(ErrorCode.CONFIG_INVALID, seed
                            + " does not answer as a node of this build does: " + e.getMessage(), e);
                }
                pause(end);
                if (end - System.nanoTime() <= 0) {
                    throw new CastaliaException(ErrorCode.PEER_LOST, "cannot reach " + seed
                            + " within " + patience.toSeconds() + " s: " + e.getMessage()
                            + "; check that a node runs there, of the same build", e);
                }
            }
        }
    }

    private static void pause(long end) {
        try {
            long left = TimeUnit.NANOSECONDS.toMillis(end - System.nanoTime());
            Thread.sleep(Math.clamp(left, 0, AGAIN_MILLIS));
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new CastaliaException(ErrorCode.PEER_LOST, "interrupted", e);
        }
    }

    private static Credential credential(NodeAddress seed, X509Certificate shown) {
        Optional<Path> folder = RunCredential.folder(shown);
        if (folder.isEmpty()) {
            throw new CastaliaException(
                    ErrorCode.CONFIG_INVALID, seed + " is no node of a run of this program");
        }
        if (!Files.isDirectory(folder.get())) {
            throw NodeTraining.notHere("run folder", folder.get());
        }
        Credential credential = RunCredential.read(folder.get());
        if (!credential.certificate().equals(shown)) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "the node at " + seed
                    + " has another credential than " + folder.get().resolve(RunCredential.FILE)
                    + " here: nodes of a run share its folder under the same path");
        }
        return credential;
    }
}
