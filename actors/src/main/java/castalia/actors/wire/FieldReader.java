package castalia.actors.wire;

import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/** Reads what {@link FieldWriter} wrote; anything else is an IllegalArgumentException. */
final class FieldReader {

    private static final int MOST_COUNT = 1 << 16;

    private final ByteBuffer in;

    FieldReader(byte[] bytes) {
        this.in = ByteBuffer.wrap(bytes);
    }

    long number() {
        require(Long.BYTES);
        return in.getLong();
    }

    int count() {
        long count = number();
        if (count < 0 || count > MOST_COUNT) {
            throw new IllegalArgumentException("a count of " + count);
        }
        return (int) count;
    }

    String text() {
        require(Short.BYTES);
        int length = Short.toUnsignedInt(in.getShort());
        if (length > FieldWriter.LONGEST) {
            throw new IllegalArgumentException("a text of " + length + " bytes");
        }
        require(length);
        String text = new String(in.array(), in.position(), length, StandardCharsets.UTF_8);
        in.position(in.position() + length);
        return text;
    }

    byte[] rest() {
        byte[] rest = new byte[in.remaining()];
        in.get(rest);
        return rest;
    }

    void end() {
        if (in.hasRemaining()) {
            throw new IllegalArgumentException(in.remaining() + " bytes too many");
        }
    }

    private void require(int bytes) {
        if (in.remaining() < bytes) {
            throw new IllegalArgumentException("ends too early");
        }
    }
}
