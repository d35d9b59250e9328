package castalia.deploy.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** {@code train --local} in a process of its own, which may be killed. */
final class LedProcess implements AutoCloseable {

    private static final Pattern STARTED = Pattern.compile("(?m)^started +\\S+, pid (\\d+)$");

    /** A background job ignores SIGINT, and so would what it starts. */
    private static final List<String> HEARING = List.of("env", "--default-signal=INT,TERM");

    private final Process process;
    private final Path log;
    private final Path run;

    private LedProcess(Process process, Path log, Path run) {
        this.process = process;
        this.log = log;
        this.run = run;
    }

    /** Starts it. */
    static LedProcess start(TinyRun of, Path run, int workers, Object... more) {
        Path log = run.resolveSibling(run.getFileName() + "-" + System.nanoTime() + ".log");
        List<String> line = new ArrayList<>(List.of("train", "--config", of.config().toString(),
                "--run", run.toString(), "--local", Integer.toString(workers), "--threads", "1"));
        for (Object word : more) {
            line.add(word.toString());
        }
        Process process = ChildJvms.launch(HEARING, line, Path.of("").toAbsolutePath(), log);
        return new LedProcess(process, log, run);
    }

    long pid() {
        return process.pid();
    }

    /** What it printed. */
    String output() {
        try {
            return Files.readString(log);
        } catch (IOException e) {
            return "";
        }
    }

    /** Its workers' process ids, those that ended included. */
    List<Long> workers() {
        List<Long> pids = new ArrayList<>();
        Matcher matcher = STARTED.matcher(output());
        while (matcher.find()) {
            pids.add(Long.valueOf(matcher.group(1)));
        }
        process.descendants().map(ProcessHandle::pid).filter(pid -> !pids.contains(pid))
                .forEach(pids::add);
        return pids;
    }

    /** Waits until so many steps are in the metrics. */
    void awaitSteps(int steps) throws InterruptedException {
        long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(90);
        while (stepsDone() < steps) {
            if (System.nanoTime() > end || !process.isAlive()) {
                throw new AssertionError("no step " + steps + ":\n" + output());
            }
            Thread.sleep(2);
        }
    }

    /** Steps in the metrics file. */
    long stepsDone() {
        try (var lines = Files.lines(run.resolve("metrics.jsonl"))) {
            return lines.filter(line -> line.contains("\"loss\":")).count();
        } catch (IOException | java.io.UncheckedIOException e) {
            return 0;
        }
    }

    /** Ends it as a power cut does. */
    void kill() throws InterruptedException {
        process.destroyForcibly();
        assertThat(process.waitFor(10, TimeUnit.SECONDS)).isTrue();
    }

    /** Waits for its end. */
    int exit() throws InterruptedException {
        if (!process.waitFor(120, TimeUnit.SECONDS)) {
            throw new AssertionError("it does not end:\n" + output());
        }
        return process.exitValue();
    }

    /** Leaves nothing behind, whatever happened. */
    @Override
    public void close() {
        List<Long> pids = workers();
        process.destroyForcibly();
        Signals.living(pids).forEach(pid -> Signals.send("KILL", pid));
    }
}
