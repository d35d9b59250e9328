package castalia.deploy.shell;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.util.Properties;

/**
 * Which build this is.
 *
 * @param version the project's version
 * @param build the first 12 hexadecimal digits of the SHA-256 over the product's sources, or
 *     "unstamped" when the classes were not built by Maven
 */
public record BuildInfo(String version, String build) {
    private static final int SHOWN_DIGITS = 12;

    /** Read from what the build left in the jar. */
    public static BuildInfo ofProgram() {
        Properties properties = new Properties();
        try (InputStream in =
                BuildInfo.class.getResourceAsStream("/castalia/deploy/build.properties")) {
            if (in != null) {
                properties.load(in);
            }
        } catch (IOException e) {
            throw new UncheckedIOException("build.properties of this build cannot be read", e);
        }
        String build = properties.getProperty("build", "unstamped");
        return new BuildInfo(
                properties.getProperty("version", "0"),
                build.substring(0, Math.min(SHOWN_DIGITS, build.length())));
    }

    /** For example {@code castalia 0.1.0 (build 2d153072f099)}. */
    public String oneLine() {
        return "castalia " + version + " (build " + build + ")";
    }
}
