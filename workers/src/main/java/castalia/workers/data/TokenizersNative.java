package castalia.workers.data;

import ai.djl.huggingface.tokenizers.jni.TokenizersLibrary;
import java.io.IOException;
import java.io.InputStream;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Locale;
import java.util.Properties;

/**
 * The native part of the tokenizers library, unpacked from its jar into {@code natives} below the
 * folder of the system property {@code castalia.home} (default {@code .castalia}) and loaded once.
 *
 * <p>DJL's own loader is not used: it probes for GPUs, looks for downloads and unpacks into the
 * user's home.
 */
final class TokenizersNative {
    private static boolean loaded;

    private TokenizersNative() {}

    /** The library, ready for use. */
    static synchronized TokenizersLibrary library() {
        if (!loaded) {
            Path file = Path.of(System.getProperty("castalia.home", ".castalia"), "natives")
                    .toAbsolutePath();
            try {
                file = unpacked(file);
                System.load(file.toString());
            } catch (IOException | LinkageError e) {
                throw new DataException("the tokenizers library cannot be unpacked to " + file
                        + " and loaded (" + e + "); check that the folder can be written, is not"
                        + " mounted noexec and has 20 MB free, or set -Dcastalia.home", e);
            }
            loaded = true;
        }
        return TokenizersLibrary.LIB;
    }

    private static Path unpacked(Path natives) throws IOException {
        String platform = platform(System.getProperty("os.name"), System.getProperty("os.arch"));
        String name = System.mapLibraryName("tokenizers");
        URL resource = resource("native/lib/" + platform + "/cpu/" + name);
        Path folder =
                Files.createDirectories(natives.resolve("tokenizers-" + version() + "-" + platform));
        Path file = folder.resolve(name);
        long bytes = resource.openConnection().getContentLengthLong();
        if (Files.exists(file) && Files.size(file) == bytes) {
            return file;
        }
        Path partial = folder.resolve(name + ".partial-" + ProcessHandle.current().pid());
        try (InputStream in = resource.openStream()) {
            Files.copy(in, partial, StandardCopyOption.REPLACE_EXISTING);
            Files.move(partial, file, StandardCopyOption.ATOMIC_MOVE);
        } finally {
            Files.deleteIfExists(partial);
        }
        return file;
    }

    /** The library's version and that of its binding. */
    static String version() {
        Properties properties = new Properties();
        try (InputStream in = resource("native/lib/tokenizers.properties").openStream()) {
            properties.load(in);
        } catch (IOException e) {
            throw new DataException("the tokenizers library does not say its version (" + e + ")", e);
        }
        return properties.getProperty("version", "unknown");
    }

    private static URL resource(String path) throws IOException {
        URL resource = TokenizersLibrary.class.getClassLoader().getResource(path);
        if (resource == null) {
            throw new IOException("the tokenizers jar holds no " + path);
        }
        return resource;
    }

    /** The jar's name for a system: linux-x86_64, linux-aarch64, osx-aarch64. */
    static String platform(String system, String machine) throws IOException {
        String os = system.toLowerCase(Locale.ROOT);
        String arch = machine.equals("amd64") ? "x86_64" : machine;
        if (os.startsWith("linux")) {
            return "linux-" + arch;
        }
        if (os.startsWith("mac")) {
            return "osx-" + arch;
        }
        throw new IOException("no tokenizers library for " + system + " on " + machine);
    }
}
