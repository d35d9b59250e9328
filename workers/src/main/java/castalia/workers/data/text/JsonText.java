package castalia.workers.data.text;

import castalia.workers.data.DataException;
import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParseException;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.core.StreamReadConstraints;
import java.io.IOException;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/** Takes the text out of JSON lines without building trees. */
final class JsonText {
    private static final JsonFactory FACTORY = JsonFactory.builder()
            .streamReadConstraints(StreamReadConstraints.builder()
                    .maxStringLength(DocumentReader.MAXIMUM_DOCUMENT_BYTES)
                    .build())
            .build();

    private final String field;

    JsonText(String field) {
        this.field = field;
    }

    /**
     * The text of a line, which must be one JSON object.
     *
     * @param place where the line is, for messages
     */
    String text(String line, Supplier<String> place) {
        String text;
        try (JsonParser parser = FACTORY.createParser(line)) {
            text = text(parser);
        } catch (JsonProcessingException e) {
            throw new DataException(place.get()
                    + (e.getLocation() == null
                            ? ""
                            : ", column " + Math.max(1, e.getLocation().getColumnNr()))
                    + ": is not a JSON object (" + reason(e) + ")", e);
        } catch (IOException e) {
            throw new IllegalStateException("reading from a string", e);
        }
        if (text == null) {
            throw new DataException(place.get() + ": has no text in the field '" + field
                    + "'; --field names another");
        }
        if (hasLoneSurrogate(text)) {
            throw new DataException(place.get() + ": the text has half of a surrogate pair, which"
                    + " is no character");
        }
        return text;
    }

    private @Nullable String text(JsonParser parser) throws IOException {
        if (parser.nextToken() != JsonToken.START_OBJECT) {
            throw new JsonParseException(parser, "it does not start with a brace",
                    parser.currentTokenLocation());
        }
        String found = null;
        while (parser.nextToken() != JsonToken.END_OBJECT) {
            boolean wanted = field.equals(parser.currentName());
            JsonToken value = parser.nextToken();
            if (wanted && value == JsonToken.VALUE_STRING) {
                found = parser.getText();
            } else {
                parser.skipChildren();
            }
        }
        if (parser.nextToken() != null) {
            throw new JsonParseException(parser, "something follows the object",
                    parser.currentTokenLocation());
        }
        return found;
    }

    private static String reason(JsonProcessingException e) {
        return String.valueOf(e.getOriginalMessage()).lines().findFirst().orElse("unreadable")
                .replaceAll("\\s*\\(start marker at.*", "");
    }

    private static boolean hasLoneSurrogate(String text) {
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (Character.isSurrogate(c)) {
                if (!Character.isHighSurrogate(c) || i + 1 == text.length()
                        || !Character.isLowSurrogate(text.charAt(i + 1))) {
                    return true;
                }
                i++;
            }
        }
        return false;
    }
}
