package castalia.workers.data.text;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.Arrays;

/** The lines of a stream as bytes, in one buffer that grows to the longest line and no further. */
final class ByteLines implements AutoCloseable {
    private final InputStream in;
    private final int longest;
    private byte[] buffer = new byte[1 << 16];
    private int start;
    private int end;
    private int filled;
    private long startOffset;
    private long number;
    private boolean tooLong;

    ByteLines(InputStream in, int longest) {
        this.in = in;
        this.longest = longest;
    }

    /** Goes to the next line; false at the end. */
    boolean next() throws IOException {
        startOffset += end - start;
        start = end;
        int searched = start;
        while (true) {
            for (; searched < filled; searched++) {
                if (buffer[searched] == '\n') {
                    return found(searched + 1);
                }
            }
            if (filled - start > longest) {
                tooLong = true;
                return found(filled);
            }
            searched -= start;
            makeRoom();
            searched += start;
            int n = in.read(buffer, filled, buffer.length - filled);
            if (n < 0) {
                return filled > start && found(filled);
            }
            filled += n;
        }
    }

    private boolean found(int lineEnd) {
        end = lineEnd;
        number++;
        return true;
    }

    /** Moves the line that was begun to the front; a buffer it fills is doubled. */
    private void makeRoom() {
        if (start > 0) {
            System.arraycopy(buffer, start, buffer, 0, filled - start);
            filled -= start;
            end -= start;
            start = 0;
        }
        if (filled == buffer.length) {
            buffer = Arrays.copyOf(buffer, (int) Math.min(2L * filled, longest + 2L));
        }
    }

    /** Whether the line is longer than it may be; it is cut then. */
    boolean tooLong() {
        return tooLong;
    }

    /** 1-based number of the line. */
    long number() {
        return number;
    }

    /** Offset of the byte after the line; of the first one before any line. */
    long offset() {
        return startOffset + length();
    }

    /** Bytes of the line with its end. */
    int length() {
        return end - start;
    }

    /** A copy of the line without its end. */
    byte[] withoutEnd() {
        return withoutEnd(Integer.MAX_VALUE);
    }

    /** As the other; nothing of a line that is longer than {@code most}. */
    byte[] withoutEnd(int most) {
        int to = end;
        if (to > start && buffer[to - 1] == '\n') {
            to--;
        }
        if (to > start && buffer[to - 1] == '\r') {
            to--;
        }
        return to - start > most ? new byte[0] : Arrays.copyOfRange(buffer, start, to);
    }

    void appendTo(ByteArrayOutputStream target) {
        target.write(buffer, start, length());
    }

    @Override
    public void close() throws IOException {
        in.close();
    }
}
