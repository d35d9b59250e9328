package castalia.testing;

import org.junit.jupiter.api.Assumptions;

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Objects;

/**
 * Ends a test whose tool, driver or file is missing here: it counts as skipped and says why, in one
 * line that {@code ./castalia test} repeats at its end. With {@code --strict} such a test is a
 * failure.
 *
 * <p>Every module compiles this class into its own tests; it needs nothing but JUnit.
 */
public final class NotRun {
    private NotRun() {}

    /**
     * Prints {@code not run: name, because reason} and aborts the running test.
     *
     * @param name what was to be tested, for example {@code "parity with transformers"}
     * @param reason what is missing, for example {@code "python3 has no transformers"}
     */
    public static void because(String name, String reason) {
        Objects.requireNonNull(name, "name");
        Objects.requireNonNull(reason, "reason");
        String line = "not run: " + name + ", because " + reason;
        System.out.println(line);
        Assumptions.abort(line);
    }

    /** Aborts as {@link #because} unless {@code present}. */
    public static void unless(boolean present, String name, String reason) {
        if (!present) {
            because(name, reason);
        }
    }

    /** Aborts unless {@code tool} is an executable file in one of the folders of PATH. */
    public static void unlessTool(String name, String tool) {
        String path = Objects.requireNonNullElse(System.getenv("PATH"), "");
        for (String folder : path.split(":", -1)) {
            if (!folder.isEmpty() && Files.isExecutable(Path.of(folder, tool))) {
                return;
            }
        }
        because(name, tool + " is not on the PATH");
    }

    /** Aborts unless {@code file} can be read. */
    public static void unlessFile(String name, Path file) {
        unless(Files.isReadable(file), name, file + " is not there");
    }
}
