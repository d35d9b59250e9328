package castalia.workers.data.text;

import castalia.workers.data.DataException;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CoderResult;
import java.nio.charset.StandardCharsets;
import java.util.function.IntFunction;

/** Decodes UTF-8 and says where it is not. */
final class Utf8 {
    private Utf8() {}

    /** @param refusal what to throw, given the place of the first byte that fits nowhere */
    static String decode(byte[] utf8, IntFunction<DataException> refusal) {
        // The JDK's own constructor is several times as fast and replaces what is malformed; only
        // a text that has a replacement is looked at again.
        String text = new String(utf8, StandardCharsets.UTF_8);
        if (text.indexOf('\ufffd') < 0) {
            return text;
        }
        CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder();
        ByteBuffer in = ByteBuffer.wrap(utf8);
        CharBuffer out = CharBuffer.allocate(text.length());
        CoderResult result = decoder.decode(in, out, true);
        if (result.isError()) {
            throw refusal.apply(in.position());
        }
        return text;
    }
}
