package castalia.actors.wire;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;

/** Short fields in order: 8 bytes per number, 2 bytes of length before a text. */
final class FieldWriter {

    /** Most bytes of a text; a longer one is cut. */
    static final int LONGEST = 4096;

    private final ByteArrayOutputStream out = new ByteArrayOutputStream(256);

    FieldWriter number(long number) {
        out.writeBytes(ByteBuffer.allocate(Long.BYTES).putLong(number).array());
        return this;
    }

    FieldWriter text(String text) {
        String cut = text.length() <= LONGEST / 3 ? text : text.substring(0, LONGEST / 3);
        byte[] bytes = cut.getBytes(StandardCharsets.UTF_8);
        out.writeBytes(
                ByteBuffer.allocate(Short.BYTES).putShort((short) bytes.length).array());
        out.writeBytes(bytes);
        return this;
    }

    FieldWriter rest(byte[] bytes) {
        out.writeBytes(bytes);
        return this;
    }

    byte[] bytes() {
        return out.toByteArray();
    }
}
