package castalia.workers.exchange.socket;

import java.io.Closeable;
import java.io.EOFException;
import java.io.IOException;
import java.lang.foreign.MemorySegment;
import java.nio.ByteBuffer;
import java.nio.channels.SocketChannel;
import java.util.zip.CRC32C;
import org.jspecify.annotations.Nullable;

/** Whole reads and writes on blocking channels. */
final class Bytes {

    private Bytes() {}

    /** Fills the rest of a buffer and flips it; false if the stream ended and it was empty. */
    static boolean readIfAny(SocketChannel from, ByteBuffer into) throws IOException {
        while (into.hasRemaining()) {
            if (from.read(into) < 0) {
                if (into.position() == 0) {
                    return false;
                }
                throw new EOFException(
                        "connection ended after " + into.position() + " bytes of a header");
            }
        }
        into.flip();
        return true;
    }

    /**
     * Fills a segment and returns the CRC32C of its bytes.
     *
     * @param next gets what of the bytes after it there is already, as far as it has room
     */
    static int read(SocketChannel from, MemorySegment into, ByteBuffer next) throws IOException {
        ByteBuffer buffer = into.asByteBuffer();
        ByteBuffer[] both = {buffer, next};
        while (buffer.hasRemaining()) {
            if (from.read(both) < 0) {
                throw new EOFException("connection ended after " + buffer.position() + " of "
                        + into.byteSize() + " bytes of a frame");
            }
        }
        return crc(buffer.flip());
    }

    /** Reads {@code length} bytes into a scratch buffer, over and over. */
    static void skip(SocketChannel from, int length, ByteBuffer scratch) throws IOException {
        for (int left = length; left > 0; ) {
            scratch.clear().limit(Math.min(left, scratch.capacity()));
            int count = from.read(scratch);
            if (count < 0) {
                throw new EOFException("connection ended with " + left + " bytes of a frame left");
            }
            left -= count;
        }
    }

    static void write(SocketChannel to, ByteBuffer bytes) throws IOException {
        while (bytes.hasRemaining()) {
            to.write(bytes);
        }
    }

    static int crc(ByteBuffer bytes) {
        CRC32C crc = new CRC32C();
        crc.update(bytes);
        return (int) crc.getValue();
    }

    static void closeQuietly(@Nullable Closeable channel) {
        if (channel != null) {
            try {
                channel.close();
            } catch (IOException e) {
                // nothing was to be saved
            }
        }
    }

    /** What an exception says, or its type if it says nothing. */
    static String said(Exception e) {
        String message = e.getMessage();
        return message == null ? e.getClass().getSimpleName() : message;
    }
}
