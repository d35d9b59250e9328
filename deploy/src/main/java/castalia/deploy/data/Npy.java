package castalia.deploy.data;

import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.function.LongUnaryOperator;

/** Files of numpy's format 1.0, little endian, rows one after another. */
final class Npy {
    private static final int HEADER_MULTIPLE = 64;
    private static final int PIECE = 1 << 16;

    private Npy() {}

    /**
     * The bytes before the values.
     *
     * @param type as numpy writes it, such as {@code <i4}
     * @param shape as Python writes a tuple, such as {@code (8, 17)}
     */
    static byte[] header(String type, String shape) {
        String facts = "{'descr': '" + type + "', 'fortran_order': False, 'shape': " + shape + ", }";
        int length = 10 + facts.length() + 1;
        int padded = Math.ceilDiv(length, HEADER_MULTIPLE) * HEADER_MULTIPLE;
        String text = facts + " ".repeat(padded - length) + "\n";
        return ByteBuffer.allocate(padded).order(ByteOrder.LITTLE_ENDIAN)
                .put((byte) 0x93).put("NUMPY".getBytes(StandardCharsets.US_ASCII))
                .put((byte) 1).put((byte) 0).putShort((short) text.length())
                .put(text.getBytes(StandardCharsets.US_ASCII)).array();
    }

    /**
     * Writes whole numbers to a file that appears whole or not at all.
     *
     * @param wide whether each takes 8 bytes, not 4
     */
    static void write(Path file, String type, String shape, boolean wide, long count,
            LongUnaryOperator value) {
        Path partial = file.resolveSibling(
                file.getFileName() + ".partial-" + ProcessHandle.current().pid());
        try {
            try (OutputStream out = new BufferedOutputStream(Files.newOutputStream(partial), PIECE)) {
                out.write(header(type, shape));
                ByteBuffer piece = ByteBuffer.allocate(PIECE).order(ByteOrder.LITTLE_ENDIAN);
                for (long i = 0; i < count; i++) {
                    if (!piece.hasRemaining()) {
                        out.write(piece.array());
                        piece.clear();
                    }
                    if (wide) {
                        piece.putLong(value.applyAsLong(i));
                    } else {
                        piece.putInt((int) value.applyAsLong(i));
                    }
                }
                out.write(piece.array(), 0, piece.position());
            }
            Files.move(partial, file, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException e) {
            remove(partial);
            throw new CastaliaException(
                    ErrorCode.STORAGE_FAILED, "cannot write " + file + ": " + e, e);
        }
    }

    private static void remove(Path partial) {
        try {
            Files.deleteIfExists(partial);
        } catch (IOException _) {
            // The failure that left it there is reported.
        }
    }
}
