package castalia.workers.data;

import com.fasterxml.jackson.databind.JsonNode;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.regex.Pattern;
import java.util.regex.PatternSyntaxException;

/**
 * Refuses the parts of a {@code tokenizer.json} on which the native library would end the process
 * instead of saying what is wrong.
 */
final class TokenizerParts {
    private TokenizerParts() {}

    /** What is wrong with a normaliser, pre-tokeniser, post-processor or decoder; or nothing. */
    static String fault(JsonNode part) {
        String own = part.isObject() ? own(part) : "";
        if (!own.isEmpty()) {
            return own;
        }
        for (JsonNode inner : part) {
            String fault = inner.isContainerNode() ? fault(inner) : "";
            if (!fault.isEmpty()) {
                return fault;
            }
        }
        return "";
    }

    private static String own(JsonNode part) {
        String type = part.path("type").asText();
        JsonNode pattern = part.path("pattern");
        if (pattern.path("String").isTextual() && pattern.path("String").asText().isEmpty()) {
            return "has an empty pattern in its " + type;
        }
        if (pattern.path("Regex").isTextual() && matchesNothing(pattern.path("Regex").asText())) {
            return "has the pattern '" + pattern.path("Regex").asText() + "' in its " + type
                    + ", which matches nothing at all";
        }
        if (part.path("prepend").isTextual() && part.path("prepend").asText().isEmpty()) {
            return "prepends nothing";
        }
        return type.equals("Precompiled") && !isCharacterMap(part.path("precompiled_charsmap"))
                ? "has a damaged precompiled_charsmap"
                : "";
    }

    /** Four bytes with the length of a trie, the trie of four-byte units, and a text in UTF-8. */
    private static boolean isCharacterMap(JsonNode base64) {
        try {
            ByteBuffer map = ByteBuffer.wrap(Base64.getDecoder().decode(base64.asText()))
                    .order(ByteOrder.LITTLE_ENDIAN);
            int trie = map.remaining() < Integer.BYTES ? 0 : map.getInt();
            if (trie < 1024 || trie % 4 != 0 || trie > map.remaining()) {
                return false;
            }
            StandardCharsets.UTF_8.newDecoder().decode(map.position(map.position() + trie));
            return true;
        } catch (IllegalArgumentException | CharacterCodingException _) {
            return false;
        }
    }

    /** Whether a pattern, as far as Java reads it as the library does, matches an empty text. */
    private static boolean matchesNothing(String regex) {
        try {
            return Pattern.compile(regex).matcher("").find();
        } catch (PatternSyntaxException | StackOverflowError _) {
            return false; // The library has another dialect, and judges it.
        }
    }
}
