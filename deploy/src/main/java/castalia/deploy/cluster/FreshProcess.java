package castalia.deploy.cluster;

import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;

/** This program once more, with the Java options of a worker: for what must be measured from its start. */
public final class FreshProcess {

    private FreshProcess() {}

    /**
     * Runs a command line and waits for its end.
     *
     * @param log file for all it prints
     * @param deadline longest wait; it is ended then
     * @return the last line it printed
     * @throws CastaliaException if it fails or takes too long
     */
    public static String run(List<String> command, Path log, Duration deadline) {
        Process process = ChildJvms.launch(
                List.of(), List.of(), command, Path.of("").toAbsolutePath(), log);
        try {
            if (!process.waitFor(deadline.toMillis(), TimeUnit.MILLISECONDS)) {
                throw new CastaliaException(ErrorCode.PEER_LOST, "a process of " + command
                        + " did not end within " + deadline.toSeconds() + " s");
            }
            List<String> lines = Files.readAllLines(log);
            if (process.exitValue() != 0 || lines.isEmpty()) {
                throw new CastaliaException(ErrorCode.PEER_LOST, "a process of " + command
                        + " ended with exit code " + process.exitValue() + ": "
                        + (lines.isEmpty() ? "it printed nothing" : lines.getLast()));
            }
            return lines.getLast();
        } catch (IOException e) {
            throw new CastaliaException(
                    ErrorCode.STORAGE_FAILED, "cannot read " + log + ": " + e.getMessage(), e);
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw new CastaliaException(ErrorCode.PEER_LOST, "interrupted", e);
        } finally {
            process.destroyForcibly();
        }
    }
}
