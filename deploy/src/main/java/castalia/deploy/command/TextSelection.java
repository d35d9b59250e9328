package castalia.deploy.command;

import castalia.workers.data.text.TextOptions;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** Which texts a command reads, and how they become documents. */
final class TextSelection {
    @Parameters(paramLabel = "INPUT", arity = "1..*", description = {
        "Text files, JSON lines (.jsonl), either as .gz or .zst, zip archives, folders. A folder or",
        "archive stands for its .txt and .jsonl files in the order of their paths."})
    @SuppressWarnings("NullAway.Init") // picocli requires it
    private List<Path> inputs;

    @Option(names = "--match", paramLabel = "GLOB",
            description = "Read these files of folders and archives instead, for example '*.java'.")
    private @Nullable String match;

    @Option(names = "--separator", paramLabel = "LINE",
            description = "The line between documents of a text file (default: a file is one).")
    private @Nullable String separator;

    @Option(names = "--field", paramLabel = "NAME",
            description = "The field of a JSON line that holds the text (default: text).")
    private String field = "text";

    @Option(names = "--threads", paramLabel = "N",
            description = "Threads; the result does not depend on them (default: all processors).")
    private int threads = Runtime.getRuntime().availableProcessors();

    List<Path> inputs() {
        return inputs;
    }

    TextOptions options() {
        return new TextOptions(
                Optional.ofNullable(separator), field, Optional.ofNullable(match));
    }

    int threads() {
        return Math.clamp(threads, 1, 1024);
    }
}
