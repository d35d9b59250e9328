package castalia.workers.data;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Set;

/**
 * What a {@code tokenizer.json} says of its ids, read as a stream: nothing is kept but the numbers.
 * Everything else in the file is the library's to judge.
 *
 * @param size one more than the largest id
 * @param endOfDocument the id of {@code <|endoftext|>}
 */
record TokenizerVocabulary(int size, int endOfDocument) {
    static final String REMEDY =
            "; give a tokenizer.json as Hugging Face's tokenizers library writes it";

    /** No vocabulary is near this; a larger id is a damaged file, and would size tensors. */
    private static final int LARGEST_ID = (1 << 24) - 1;

    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final JsonFactory FACTORY = MAPPER.getFactory();
    private static final Set<String> PARTS =
            Set.of("normalizer", "pre_tokenizer", "post_processor", "decoder");

    /**
     * Reads the ids.
     *
     * @param file for messages
     * @throws DataException with line and column where the text is not JSON or an id is none
     */
    static TokenizerVocabulary read(Path file, String json) {
        Reader reader = new Reader(file);
        try (JsonParser parser = FACTORY.createParser(json)) {
            reader.root(parser);
        } catch (JsonProcessingException e) {
            throw new DataException(file + ": is not JSON (" + String.valueOf(e.getOriginalMessage())
                    .lines().findFirst().orElse("unreadable") + at(e.getLocation()) + ")" + REMEDY, e);
        } catch (IOException e) {
            throw new IllegalStateException("reading from a string", e);
        }
        if (!reader.hasVocabulary) {
            throw new DataException(file + ": has no model vocabulary" + REMEDY);
        }
        if (reader.endOfDocument < 0) {
            throw new DataException(file + ": has no added token " + BpeTrainer.END_OF_TEXT
                    + ", which ends documents" + REMEDY);
        }
        return new TokenizerVocabulary(reader.largest + 1, reader.endOfDocument);
    }

    private static String at(JsonLocation location) {
        return location == null
                ? ""
                : ", line " + location.getLineNr() + " column " + location.getColumnNr();
    }

    /** Walks once through the text. */
    private static final class Reader {
        private final Path file;
        private boolean hasVocabulary;
        private int largest = -1;
        private int endOfDocument = -1;

        Reader(Path file) {
            this.file = file;
        }

        void root(JsonParser parser) throws IOException {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                throw new DataException(file + ": is not a JSON object" + REMEDY);
            }
            while (parser.nextToken() != JsonToken.END_OBJECT) {
                String name = parser.currentName();
                JsonToken value = parser.nextToken();
                if (name.equals("model") && value == JsonToken.START_OBJECT) {
                    model(parser);
                } else if (name.equals("added_tokens") && value == JsonToken.START_ARRAY) {
                    while (parser.nextToken() != JsonToken.END_ARRAY) {
                        added(parser);
                    }
                } else if (PARTS.contains(name) && value.isStructStart()) {
                    JsonLocation start = parser.currentTokenLocation();
                    String fault = TokenizerParts.fault(MAPPER.readTree(parser));
                    if (!fault.isEmpty()) {
                        throw new DataException(file + ": the " + name + at(start) + " " + fault
                                + REMEDY);
                    }
                } else {
                    parser.skipChildren();
                }
            }
            if (parser.nextToken() != null) {
                throw new DataException(file + ": something follows the JSON object"
                        + at(parser.currentTokenLocation()) + REMEDY);
            }
        }

        private void model(JsonParser parser) throws IOException {
            while (parser.nextToken() != JsonToken.END_OBJECT) {
                String name = parser.currentName();
                JsonToken value = parser.nextToken();
                if (!name.equals("vocab")) {
                    parser.skipChildren();
                } else if (value == JsonToken.START_OBJECT) {
                    hasVocabulary = true;
                    while (parser.nextToken() != JsonToken.END_OBJECT) {
                        String token = parser.currentName();
                        parser.nextToken();
                        largest = Math.max(largest, id(parser, token));
                        parser.skipChildren();
                    }
                } else if (value == JsonToken.START_ARRAY) {
                    hasVocabulary = true;
                    int count = 0;
                    while (parser.nextToken() != JsonToken.END_ARRAY) {
                        parser.skipChildren();
                        count++;
                    }
                    largest = Math.max(largest, count - 1);
                }
            }
        }

        private void added(JsonParser parser) throws IOException {
            JsonLocation start = parser.currentTokenLocation();
            if (parser.currentToken() != JsonToken.START_OBJECT) {
                throw new DataException(file + ": an added token is no object" + at(start) + REMEDY);
            }
            String content = "";
            int id = -1;
            while (parser.nextToken() != JsonToken.END_OBJECT) {
                String name = parser.currentName();
                JsonToken value = parser.nextToken();
                if (name.equals("content") && value == JsonToken.VALUE_STRING) {
                    content = parser.getText();
                } else if (name.equals("id")) {
                    id = id(parser, content);
                }
                parser.skipChildren();
            }
            if (id < 0) {
                throw new DataException(
                        file + ": added token '" + content + "' has no id" + at(start) + REMEDY);
            }
            largest = Math.max(largest, id);
            if (content.equals(BpeTrainer.END_OF_TEXT)) {
                endOfDocument = id;
            }
        }

        private int id(JsonParser parser, String token) throws IOException {
            long id = parser.currentToken() == JsonToken.VALUE_NUMBER_INT
                            && parser.getNumberType() == JsonParser.NumberType.INT
                    ? parser.getIntValue()
                    : -1;
            if (id < 0 || id > LARGEST_ID) {
                String shown = parser.currentToken().isScalarValue()
                        ? shortened(parser.getText())
                        : "no number";
                throw new DataException(file + ": token '" + shortened(token) + "' has id " + shown
                        + at(parser.currentTokenLocation()) + ", expected 0 to " + LARGEST_ID
                        + REMEDY);
            }
            return (int) id;
        }

        private static String shortened(String text) {
            String line = text.lines().findFirst().orElse("");
            return line.length() <= 40 ? line : line.substring(0, 37) + "...";
        }
    }
}
