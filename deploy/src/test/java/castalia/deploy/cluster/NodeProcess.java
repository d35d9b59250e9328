package castalia.deploy.cluster;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A command of the program in a process of its own, with what it printed so far. */
final class NodeProcess implements AutoCloseable {

    private static final Duration PATIENCE = Duration.ofSeconds(100);

    private final Process process;
    private final Path log;

    private NodeProcess(Process process, Path log) {
        this.process = process;
        this.log = log;
    }

    static NodeProcess start(Path log, Object... command) {
        return start(List.of(), log, command);
    }

    /** On a machine whose products have other bits: its library may use fewer instructions. */
    static NodeProcess startOfAnotherNumericVersion(Path log, Object... command) {
        return start(List.of("env", "ONEDNN_MAX_CPU_ISA=SSE41"), log, command);
    }

    private static NodeProcess start(List<String> before, Path log, Object... command) {
        List<String> words = List.of(command).stream().map(Object::toString).toList();
        return new NodeProcess(
                ChildJvms.launch(before, words, Path.of("").toAbsolutePath(), log), log);
    }

    long pid() {
        return process.pid();
    }

    String printed() {
        try {
            return Files.readString(log);
        } catch (IOException e) {
            throw new AssertionError(e);
        }
    }

    /** Waits until the pattern was printed after {@code from} characters; gives its first group. */
    String await(String pattern, int from) {
        Pattern compiled = Pattern.compile(pattern);
        long end = System.nanoTime() + PATIENCE.toNanos();
        while (true) {
            boolean runs = process.isAlive();
            String text = printed();
            Matcher matcher = compiled.matcher(text);
            if (matcher.find(Math.min(from, text.length()))) {
                return matcher.groupCount() > 0 ? matcher.group(1) : matcher.group();
            }
            if (!runs || System.nanoTime() > end) {
                throw new AssertionError("no '" + pattern + "' in:\n" + text);
            }
            pause();
        }
    }

    String await(String pattern) {
        return await(pattern, 0);
    }

    static void pause() {
        try {
            Thread.sleep(20);
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    /** Ends it as a fault would. */
    void kill() {
        process.destroyForcibly();
    }

    /** Asks it to end, as a job manager would. */
    void terminate() {
        process.destroy();
    }

    /** Waits for its end and gives its exit code. */
    int code() {
        try {
            if (!process.waitFor(PATIENCE.toMillis(), TimeUnit.MILLISECONDS)) {
                throw new AssertionError("it still runs:\n" + printed());
            }
            return process.exitValue();
        } catch (InterruptedException e) {
            throw new AssertionError(e);
        }
    }

    @Override
    public void close() {
        try {
            process.destroyForcibly().waitFor();
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
        }
    }
}
