package castalia.deploy.train;

import castalia.deploy.shell.JsonOption;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * {@code metrics.jsonl}: one JSON object per line, appended. A run that resumes may repeat steps;
 * the later line counts. The file holds whole lines only: one that could not be written to its end
 * is taken back, at once or when the file is opened next.
 */
public final class MetricsLog implements AutoCloseable {

    private static final int READ_AT_ONCE = 4096;

    private final Path file;
    private final FileChannel channel;
    private long length;

    public MetricsLog(Path file) {
        this.file = file;
        try {
            this.channel = FileChannel.open(file, StandardOpenOption.CREATE,
                    StandardOpenOption.READ, StandardOpenOption.WRITE);
        } catch (IOException e) {
            throw failed(e);
        }
        try {
            this.length = wholeLines();
            channel.truncate(length);
        } catch (IOException e) {
            close();
            throw failed(e);
        }
    }

    /** Bytes up to and with the last line feed. */
    private long wholeLines() throws IOException {
        ByteBuffer part = ByteBuffer.allocate(READ_AT_ONCE);
        for (long end = channel.size(); end > 0; ) {
            long start = Math.max(0, end - READ_AT_ONCE);
            part.clear().limit((int) (end - start));
            while (part.hasRemaining() && channel.read(part, start + part.position()) >= 0) {
                // reads on
            }
            for (int i = part.position() - 1; i >= 0; i--) {
                if (part.get(i) == '\n') {
                    return start + i + 1;
                }
            }
            end = start;
        }
        return 0;
    }

    /** Appends a record as one line. */
    public void append(Object line) {
        ByteBuffer bytes =
                ByteBuffer.wrap((JsonOption.line(line) + '\n').getBytes(StandardCharsets.UTF_8));
        long end = length + bytes.limit();
        try {
            while (bytes.hasRemaining()) {
                channel.write(bytes, length + bytes.position());
            }
        } catch (IOException e) {
            try {
                channel.truncate(length);
            } catch (IOException left) {
                e.addSuppressed(left);
            }
            throw failed(e);
        }
        length = end;
    }

    private CastaliaException failed(IOException e) {
        return new CastaliaException(
                ErrorCode.STORAGE_FAILED, "cannot write " + file + ": " + e.getMessage(), e);
    }

    @Override
    public void close() {
        try {
            channel.close();
        } catch (IOException e) {
            throw failed(e);
        }
    }
}
