package castalia.workers.data;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;

/** Reads the sizes of sequences back from the file they were written to, from its start. */
final class SizeReader {
    private static final int BUFFER_BYTES = 1 << 20;

    private final FileChannel channel;
    private final ByteBuffer buffer =
            ByteBuffer.allocateDirect(BUFFER_BYTES).order(ByteOrder.LITTLE_ENDIAN).limit(0);
    private long position;

    SizeReader(FileChannel channel) {
        this.channel = channel;
    }

    int next() throws IOException {
        while (buffer.remaining() < Integer.BYTES) {
            buffer.compact();
            int n = channel.read(buffer, position);
            buffer.flip();
            if (n < 0) {
                throw new IOException("the file of sizes is cut off");
            }
            position += n;
        }
        return buffer.getInt();
    }
}
