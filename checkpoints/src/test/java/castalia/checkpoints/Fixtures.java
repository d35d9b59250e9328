package castalia.checkpoints;

import java.io.IOException;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;

/** The model folders beside the tests, and copies of them. */
public final class Fixtures {

    private Fixtures() {}

    public static Path folder(String name) {
        URL url = Objects.requireNonNull(Fixtures.class.getResource("/fixtures/" + name), name);
        try {
            return Path.of(url.toURI());
        } catch (URISyntaxException e) {
            throw new IllegalStateException(e);
        }
    }

    /** Copies the files of a fixture into a new folder. */
    public static Path copy(String name, Path to) throws IOException {
        Files.createDirectories(to);
        for (Path file : files(folder(name))) {
            Files.copy(file, to.resolve(file.getFileName().toString()));
        }
        return to;
    }

    /** The files of a folder, sorted by name. */
    public static List<Path> files(Path folder) throws IOException {
        try (Stream<Path> list = Files.list(folder)) {
            return list.sorted().toList();
        }
    }

    /** Deletes a folder with all that is in it, if it exists. */
    public static void delete(Path folder) throws IOException {
        if (!Files.exists(folder)) {
            return;
        }
        try (Stream<Path> all = Files.walk(folder)) {
            for (Path path : all.sorted(Comparator.reverseOrder()).toList()) {
                Files.delete(path);
            }
        }
    }
}
