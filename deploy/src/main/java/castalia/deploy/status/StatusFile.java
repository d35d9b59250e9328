package castalia.deploy.status;

import castalia.deploy.shell.JsonOption;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.io.IOException;
import java.nio.charset.CharacterCodingException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Optional;

/**
 * A run's status in a file of its folder. One process writes it, each time as a whole; nothing
 * depends on it but what people are told.
 */
public final class StatusFile {

    private static final long LONGEST = 1 << 20;

    private static final JsonMapper MAPPER = JsonMapper.builder()
            .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .build();

    private final Path file;
    private final Path next;

    public StatusFile(Path file) {
        this.file = file;
        this.next = file.resolveSibling(file.getFileName() + ".tmp");
    }

    /** Replaces what is there. A status that cannot be written is left out: training goes on. */
    public void write(RunStatus status) {
        try {
            Files.writeString(next, JsonOption.line(status) + "\n");
            Files.move(next, file, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException _) {
            discard(); // storage that fails is told of by whoever writes what matters
        }
    }

    private void discard() {
        try {
            Files.deleteIfExists(next);
        } catch (IOException _) {
            // The next status replaces it.
        }
    }

    /** The status; empty where there is none or it makes no sense. */
    public Optional<RunStatus> read() throws IOException {
        try {
            return Files.size(file) > LONGEST ? Optional.empty()
                    : Optional.ofNullable(MAPPER.readValue(Files.readString(file), RunStatus.class));
        } catch (NoSuchFileException | JsonProcessingException | CharacterCodingException _) {
            return Optional.empty();
        }
    }
}
