package castalia.workers.data;

import castalia.testing.NotRun;
import java.nio.file.Files;
import java.nio.file.Path;

/** Pythia's own tokenizer, read in place where it is present. */
final class PublishedTokenizer {
    private PublishedTokenizer() {}

    /** Its file; aborts the test of that name where there is none. */
    static Path file(String test) {
        Path file = Path.of(System.getProperty("castalia.root", ".."))
                .resolve("../shared/data/20B_tokenizer.json");
        NotRun.unless(Files.exists(file), test, "../shared/data is absent");
        return file;
    }
}
