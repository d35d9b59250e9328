package castalia.deploy.data;

import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;

/**
 * Writes rows of tokens to a file that appears whole or not at all: {@code .npy} (int32, rows by
 * S + 1) or {@code .jsonl} (an object per line). Not for several threads.
 */
public final class RowWriter implements AutoCloseable {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    private final Path file;
    private final Path partial;
    private final OutputStream out;
    private final boolean numpy;

    /**
     * Begins a file.
     *
     * @param rows how many there will be
     * @param width tokens of each
     */
    public RowWriter(Path file, int rows, int width) {
        String name = String.valueOf(file.getFileName());
        this.numpy = name.endsWith(".npy");
        if (!numpy && !name.endsWith(".jsonl")) {
            throw new CastaliaException(
                    ErrorCode.CONFIG_INVALID, "--out " + file + " must end in .npy or .jsonl");
        }
        this.file = file;
        this.partial = file.resolveSibling(name + ".partial-" + ProcessHandle.current().pid());
        try {
            this.out = new BufferedOutputStream(Files.newOutputStream(partial), 1 << 16);
            if (numpy) {
                out.write(Npy.header("<i4", "(" + rows + ", " + width + ")"));
            }
        } catch (IOException e) {
            throw failed(e);
        }
    }

    /**
     * Appends a row.
     *
     * @param line what a line of a .jsonl file says of it
     */
    public void row(int[] tokens, Object line) {
        try {
            if (numpy) {
                ByteBuffer bytes =
                        ByteBuffer.allocate(4 * tokens.length).order(ByteOrder.LITTLE_ENDIAN);
                bytes.asIntBuffer().put(tokens);
                out.write(bytes.array());
            } else {
                out.write(MAPPER.writeValueAsBytes(line));
                out.write('\n');
            }
        } catch (IOException e) {
            throw failed(e);
        }
    }

    /** Puts the file in place. */
    public void finish() {
        try {
            out.close();
            Files.move(partial, file, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException e) {
            throw failed(e);
        }
    }

    private CastaliaException failed(IOException cause) {
        return new CastaliaException(
                ErrorCode.STORAGE_FAILED, "cannot write " + file + ": " + cause, cause);
    }

    @Override
    public void close() {
        try {
            out.close();
            Files.deleteIfExists(partial);
        } catch (IOException e) {
            throw failed(e);
        }
    }
}
