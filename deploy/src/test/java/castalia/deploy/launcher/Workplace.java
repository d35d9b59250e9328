package castalia.deploy.launcher;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * A copy of the launcher with a small source tree, and around it a machine made for one test: JDKs,
 * Maven and PATH are scripts of the test. The copy lies in a folder with spaces in its name.
 */
final class Workplace {
    private static final int DEADLINE_SECONDS = 60;
    private static final List<String> MODULES =
            List.of("protocol", "kernels", "checkpoints", "workers", "actors", "deploy");

    /** What one launch gave. */
    record Result(int code, String out, String err) {
        List<String> outLines() {
            return out.lines().toList();
        }
    }

    private final Path base;
    private final Path root;
    private final Map<String, String> environment = new TreeMap<>();

    Workplace(Path temporary) throws IOException {
        base = temporary.toRealPath();
        root = base.resolve("my models/castalia copy");
        Path source = Path.of(System.getProperty("castalia.root"));
        Files.createDirectories(root.resolve("deploy/launch"));
        Files.copy(
                source.resolve("castalia"),
                root.resolve("castalia"),
                StandardCopyOption.COPY_ATTRIBUTES);
        try (Stream<Path> files = Files.list(source.resolve("deploy/launch"))) {
            for (Path file : files.toList()) {
                Files.copy(
                        file, root.resolve("deploy/launch").resolve(file.getFileName().toString()));
            }
        }
        write("pom.xml", "<project/>\n");
        for (String module : MODULES) {
            write(module + "/pom.xml", "<project/>\n");
            write(module + "/src/main/java/A.java", "class A {}\n");
        }
        Files.createDirectories(tools());
        Files.createDirectories(base.resolve("home"));
        environment.put("HOME", base.resolve("home").toString());
        environment.put("PATH", tools().toString());
        environment.put("CASTALIA_JVM_FOLDERS", base.resolve("jvms").toString());
    }

    Path root() {
        return root;
    }

    Path base() {
        return base;
    }

    /** The folder on PATH that holds what the test puts there. */
    Path tools() {
        return base.resolve("tools");
    }

    /** Sets a variable of the launch, or removes it for null. */
    Workplace with(String name, String value) {
        environment.put(name, value);
        return this;
    }

    void write(String file, String text) throws IOException {
        Path path = root.resolve(file);
        Files.createDirectories(path.getParent());
        Files.writeString(path, text);
    }

    String read(String file) throws IOException {
        return Files.readString(root.resolve(file));
    }

    static void script(Path path, String... lines) throws IOException {
        Files.createDirectories(path.getParent());
        Files.writeString(path, "#!/bin/bash\n" + String.join("\n", lines) + "\n");
        Files.setPosixFilePermissions(path, PosixFilePermissions.fromString("rwxr-xr-x"));
    }

    /** A JDK whose java says {@code version} when asked, and otherwise prints its arguments. */
    Path jdk(String folder, String version) throws IOException {
        Path home = folder.startsWith("/") ? Path.of(folder) : base.resolve("jvms").resolve(folder);
        script(
                home.resolve("bin/java"),
                "if [ \"$1\" = -version ]; then echo 'openjdk version \""
                        + version
                        + "\" 2026-01-01' >&2; exit 0; fi",
                "echo java " + version,
                "for one in \"$@\"; do echo \"argument $one\"; done");
        script(home.resolve("bin/javac"), "exit 0");
        return home;
    }

    /**
     * A Maven that keeps its arguments in the file mvn.log beside the tools, then runs {@code body}
     * in the root.
     */
    void maven(String version, String... body) throws IOException {
        List<String> lines =
                new ArrayList<>(
                        List.of(
                                "case \"$*\" in *-version*) echo 'Apache Maven "
                                        + version
                                        + "'; exit 0 ;; esac",
                                "echo \"JAVA_HOME=$JAVA_HOME $*\" >> '"
                                        + base.resolve("mvn.log")
                                        + "'"));
        lines.addAll(List.of(body));
        script(tools().resolve("mvn"), lines.toArray(String[]::new));
    }

    /** A Maven that builds: six modules in its log, a jar in deploy/target/lib. */
    void buildingMaven() throws IOException {
        maven(
                "3.9.9",
                "echo '[INFO] Building Castalia protocol 0.1.0          [2/7]'",
                "mkdir -p deploy/target/lib",
                "cat deploy/src/main/java/A.java > deploy/target/lib/deploy-0.1.0.jar",
                "echo a > deploy/target/lib/library.jar");
    }

    /** How often Maven was run, and with what. */
    List<String> mavenRuns() throws IOException {
        Path log = base.resolve("mvn.log");
        return Files.exists(log) ? Files.readAllLines(log) : List.of();
    }

    Process start(Path out, Path err, String... arguments) throws IOException {
        List<String> command = new ArrayList<>(List.of(root.resolve("castalia").toString()));
        command.addAll(List.of(arguments));
        ProcessBuilder builder =
                new ProcessBuilder(command)
                        .directory(base.toFile())
                        .redirectOutput(out.toFile())
                        .redirectError(err.toFile());
        builder.environment().clear();
        builder.environment().putAll(environment);
        return builder.start();
    }

    Result run(String... arguments) throws IOException, InterruptedException {
        return run(DEADLINE_SECONDS, arguments);
    }

    /** As the other, for what takes longer. */
    Result run(int seconds, String... arguments) throws IOException, InterruptedException {
        Path out = Files.createTempFile(base, "out", "");
        Path err = Files.createTempFile(base, "err", "");
        Process process = start(out, err, arguments);
        process.getOutputStream().close();
        if (!process.waitFor(seconds, TimeUnit.SECONDS)) {
            process.destroyForcibly();
            throw new IOException("the launcher did not end; it said " + Files.readString(err));
        }
        return new Result(process.exitValue(), Files.readString(out), Files.readString(err));
    }
}
