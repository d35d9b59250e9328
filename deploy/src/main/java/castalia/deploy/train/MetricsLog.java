package castalia.deploy.train;

import castalia.deploy.shell.JsonOption;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import java.io.IOException;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * {@code metrics.jsonl}: one JSON object per line, appended. A run that resumes may repeat steps;
 * the later line counts.
 */
public final class MetricsLog implements AutoCloseable {

    private final Path file;
    private final Writer writer;

    public MetricsLog(Path file) {
        this.file = file;
        try {
            this.writer = Files.newBufferedWriter(file, StandardCharsets.UTF_8,
                    StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        } catch (IOException e) {
            throw failed(e);
        }
    }

    /** Appends a record as one line. */
    public void append(Object line) {
        try {
            writer.write(JsonOption.line(line));
            writer.write('\n');
            writer.flush();
        } catch (IOException e) {
            throw failed(e);
        }
    }

    private CastaliaException failed(IOException e) {
        return new CastaliaException(
                ErrorCode.STORAGE_FAILED, "cannot write " + file + ": " + e.getMessage(), e);
    }

    @Override
    public void close() {
        try {
            writer.close();
        } catch (IOException e) {
            throw failed(e);
        }
    }
}
