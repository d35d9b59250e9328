package castalia.deploy.cluster;

import castalia.actors.node.WorkerProcesses;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.identity.Incarnation;
import java.io.File;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletionStage;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Starts this program again as child processes, with this process's own Java options. A child's
 * standard input is a pipe that closes when this process ends, however it ends; its output goes to
 * a file.
 */
public final class ChildJvms implements WorkerProcesses {

    private static final String MAIN = "castalia.deploy.Main";

    /** Workers keep their tensors outside the Java heap. */
    private static final List<String> HEAP = List.of("-XX:+UseSerialGC", "-Xms32m", "-Xmx1g");

    /** Only kernels are worth the slower compiler's time. */
    private static final List<String> LEADING = List.of("-XX:TieredStopAtLevel=1");

    /**
     * Signals that a terminal or a job manager sends to all processes at once are the agent's
     * matter: it stops the run with a checkpoint, which its workers must be there for.
     */
    private static final List<String> SHELTERED =
            List.of("/bin/sh", "-c", "trap '' HUP INT TERM; exec \"$@\"", "worker");

    private final Path logs;
    private final Path working;
    private final Arguments arguments;

    /** What a worker is started with. */
    @FunctionalInterface
    interface Arguments {
        List<String> of(String name, Incarnation incarnation);
    }

    /**
     * Starts none yet.
     *
     * @param logs folder for the children's output, made if absent
     * @param working folder the children work in, where it exists; else they work in this process's
     */
    ChildJvms(Path logs, Path working, Arguments arguments) {
        this.logs = logs;
        this.working = working;
        this.arguments = arguments;
    }

    @Override
    public Handle start(String name, Incarnation incarnation) {
        Path log = logs.resolve(LeftSockets.log(name, incarnation));
        Process process = launch(SHELTERED, List.of(), arguments.of(name, incarnation), working, log);
        return new Handle() {
            @Override
            public long pid() {
                return process.pid();
            }

            @Override
            public CompletionStage<Integer> exit() {
                return process.onExit().thenApply(ended -> {
                    LeftSockets.remove(incarnation);
                    return ended.exitValue();
                });
            }

            @Override
            public void destroy() {
                try {
                    process.getOutputStream().close();
                } catch (IOException e) {
                    process.destroyForcibly();
                }
            }

            @Override
            public void kill() {
                process.destroyForcibly();
            }
        };
    }

    /** Starts the program with a command line of a node, which leads and leaves computing to workers. */
    static Process launch(List<String> command, Path working, Path log) {
        return launch(List.of(), command, working, log);
    }

    /** The same, by way of a command that ends in executing the words after it. */
    static Process launch(List<String> before, List<String> command, Path working, Path log) {
        return launch(before, LEADING, command, working, log);
    }

    /** As the others, with Java options of the child's own. */
    static Process launch(List<String> before, List<String> options, List<String> command,
            Path working, Path log) {
        List<String> line = new ArrayList<>(before);
        line.addAll(line(options, command));
        try {
            Files.createDirectories(Optional.ofNullable(log.getParent()).orElse(Path.of(".")));
            ProcessBuilder builder = new ProcessBuilder(line)
                    .redirectErrorStream(true)
                    .redirectOutput(ProcessBuilder.Redirect.appendTo(log.toFile()));
            if (Files.isDirectory(working)) {
                builder.directory(working.toFile());
            }
            return builder.start();
        } catch (IOException e) {
            throw new CastaliaException(ErrorCode.STORAGE_FAILED,
                    "cannot start a process with output to " + log + ": " + e.getMessage(), e);
        }
    }

    /** Starts the program with pipes for its input and output; errors go where ours go. */
    public static Process piped(List<String> command) {
        try {
            return new ProcessBuilder(line(List.of(), command))
                    .redirectError(ProcessBuilder.Redirect.INHERIT)
                    .start();
        } catch (IOException e) {
            throw new CastaliaException(ErrorCode.STORAGE_FAILED,
                    "cannot start a process: " + e.getMessage(), e);
        }
    }

    private static List<String> line(List<String> options, List<String> command) {
        List<String> line = new ArrayList<>();
        line.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
        ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
                .filter(ChildJvms::inherited)
                .forEach(line::add);
        line.addAll(HEAP);
        line.addAll(options);
        line.addAll(List.of("-cp", classPath(), MAIN));
        line.addAll(command);
        return line;
    }

    /** Ours, wherever the child works. */
    private static String classPath() {
        return Stream.of(System.getProperty("java.class.path").split(File.pathSeparator))
                .map(entry -> Path.of(entry).toAbsolutePath().toString())
                .collect(Collectors.joining(File.pathSeparator));
    }

    /**
     * Memory and compilers are a child's own matter; one debugger's port cannot be listened on twice;
     * and an archive of classes is written by one process.
     */
    private static boolean inherited(String option) {
        return !option.startsWith("-Xm")
                && !option.startsWith("-XX:TieredStopAtLevel")
                && !option.startsWith("-XX:ArchiveClassesAtExit")
                && !option.matches("-XX:[+-]Use\\w+GC")
                && !option.startsWith("-agentlib:")
                && !option.startsWith("-javaagent:");
    }
}
