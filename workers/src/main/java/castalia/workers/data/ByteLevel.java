package castalia.workers.data;

import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.regex.Pattern;
import org.jspecify.annotations.Nullable;

/**
 * The byte-level alphabet and word pattern of GPT-2's tokenizer: every byte is written as one
 * printable character, so that any text is a sequence of known symbols.
 *
 * <p>Source: Radford et al. 2019, {@code encoder.py}; Hugging Face tokenizers' {@code ByteLevel}.
 */
final class ByteLevel {
    /** Words: contractions, letters, numbers and others with the space before them, and spaces. */
    static final Pattern WORDS =
            Pattern.compile(
                    "'(?:[stmd]|re|ve|ll)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+"
                            + "|\\s+(?!\\S)|\\s+",
                    Pattern.UNICODE_CHARACTER_CLASS);

    private static final char[] CHARACTERS = characters();
    private static final short[] BYTES = values();

    private ByteLevel() {}

    private static char[] characters() {
        char[] of = new char[256];
        char spare = 256;
        for (int b = 0; b < 256; b++) {
            boolean printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
            of[b] = printable ? (char) b : spare++;
        }
        return of;
    }

    /** The character that stands for a byte, 0 to 255. */
    static char character(int value) {
        return CHARACTERS[value];
    }

    /** The bytes a token is written for; null if it has a character outside the alphabet. */
    static byte @Nullable [] spelled(String token) {
        byte[] bytes = new byte[token.length()];
        for (int i = 0; i < bytes.length; i++) {
            char c = token.charAt(i);
            int value = c < BYTES.length ? BYTES[c] : -1;
            if (value < 0) {
                return null;
            }
            bytes[i] = (byte) value;
        }
        return bytes;
    }

    private static short[] values() {
        short[] of = new short[512];
        Arrays.fill(of, (short) -1);
        for (int b = 0; b < CHARACTERS.length; b++) {
            of[CHARACTERS[b]] = (short) b;
        }
        return of;
    }

    /** The UTF-8 bytes of a word, each as its number from 0 to 255. */
    static int[] bytes(String word) {
        byte[] utf8 = word.getBytes(StandardCharsets.UTF_8);
        int[] bytes = new int[utf8.length];
        for (int i = 0; i < utf8.length; i++) {
            bytes[i] = utf8[i] & 0xff;
        }
        return bytes;
    }
}
