package castalia.workers.data;

import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonLocation;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.JsonToken;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.MissingNode;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * What a {@code tokenizer.json} says of its ids and of how it treats text, read as a stream: memory
 * stays a small multiple of the file. Everything else in the file is the library's to judge.
 *
 * @param size one more than the largest id
 * @param endOfDocument the id of {@code <|endoftext|>}
 * @param tokens entries of the model's vocabulary
 * @param added the added tokens, in the file's order
 * @param bpe whether the model is BPE without dropout
 * @param parts normalizer, pre_tokenizer, post_processor and decoder, if they are objects or lists
 */
record TokenizerVocabulary(
        int size,
        int endOfDocument,
        int tokens,
        List<Added> added,
        boolean bpe,
        Map<String, JsonNode> parts) {
    static final String REMEDY =
            "; give a tokenizer.json as Hugging Face's tokenizers library writes it";

    /** Far more than any tokenizer has; a tree of them is small. */
    private static final int MOST_VALUES = 10_000;

    /** No vocabulary is near this; a larger id is a damaged file, and would size tensors. */
    private static final int LARGEST_ID = (1 << 24) - 1;

    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final JsonFactory FACTORY = MAPPER.getFactory();
    private static final Set<String> PARTS =
            Set.of("normalizer", "pre_tokenizer", "post_processor", "decoder");

    /**
     * An added token.
     *
     * @param plain whether it is found as it is spelled, whatever stands beside it
     * @param normalized whether it is looked for in the normalised text, after the others
     */
    record Added(String content, int id, boolean plain, boolean normalized) {}

    /** Takes an entry of a vocabulary. */
    @FunctionalInterface
    interface Entries {
        void take(String token, int id);
    }

    /** A part of the file, or a node that is missing. */
    JsonNode part(String name) {
        return parts.getOrDefault(name, MissingNode.getInstance());
    }

    /**
     * Reads the ids.
     *
     * @param file for messages
     * @throws DataException with line and column where the text is not JSON or an id is none
     */
    static TokenizerVocabulary read(Path file, String json) {
        return read(file, json, (_, _) -> {});
    }

    /** As the other; the entries of a vocabulary by name go to {@code entries}. */
    static TokenizerVocabulary read(Path file, String json, Entries entries) {
        Reader reader = new Reader(file, json, entries);
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
        return new TokenizerVocabulary(reader.largest + 1, reader.endOfDocument, reader.tokens,
                List.copyOf(reader.added), reader.type.equals("BPE") && !reader.dropout,
                Map.copyOf(reader.parts));
    }

    private static String at(JsonLocation location) {
        return location == null
                ? ""
                : ", line " + location.getLineNr() + " column " + location.getColumnNr();
    }

    /** Walks once through the text. */
    private static final class Reader {
        private final Path file;
        private final String json;
        private final Entries entries;
        private final List<Added> added = new ArrayList<>();
        private final Map<String, JsonNode> parts = new HashMap<>();
        private boolean hasVocabulary;
        private String type = "";
        private boolean dropout;
        private int tokens;
        private int largest = -1;
        private int endOfDocument = -1;

        Reader(Path file, String json, Entries entries) {
            this.file = file;
            this.json = json;
            this.entries = entries;
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
                    part(parser, name);
                } else {
                    parser.skipChildren();
                }
            }
            if (parser.nextToken() != null) {
                throw new DataException(file + ": something follows the JSON object"
                        + at(parser.currentTokenLocation()) + REMEDY);
            }
        }

        private void part(JsonParser parser, String name) throws IOException {
            JsonLocation start = parser.currentTokenLocation();
            int values = 0;
            for (int depth = 1; depth > 0; values++) {
                JsonToken token = parser.nextToken();
                depth += token.isStructStart() ? 1 : token.isStructEnd() ? -1 : 0;
            }
            String fault = "has more than " + MOST_VALUES + " values";
            if (values <= MOST_VALUES) {
                JsonNode part = MAPPER.readTree(json.substring((int) start.getCharOffset(),
                        (int) parser.currentLocation().getCharOffset()));
                fault = TokenizerParts.fault(part);
                parts.put(name, part);
            }
            if (!fault.isEmpty()) {
                throw new DataException(
                        file + ": the " + name + at(start) + " " + fault + REMEDY);
            }
        }

        private void model(JsonParser parser) throws IOException {
            while (parser.nextToken() != JsonToken.END_OBJECT) {
                String name = parser.currentName();
                JsonToken value = parser.nextToken();
                if (name.equals("type") && value == JsonToken.VALUE_STRING) {
                    type = parser.getText();
                }
                dropout |= name.equals("dropout") && value != JsonToken.VALUE_NULL;
                if (!name.equals("vocab")) {
                    parser.skipChildren();
                } else if (value == JsonToken.START_OBJECT) {
                    hasVocabulary = true;
                    while (parser.nextToken() != JsonToken.END_OBJECT) {
                        String token = parser.currentName();
                        parser.nextToken();
                        int id = id(parser, token);
                        largest = Math.max(largest, id);
                        tokens++;
                        entries.take(token, id);
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
            boolean plain = true;
            boolean special = false;
            @Nullable Boolean normalized = null;
            while (parser.nextToken() != JsonToken.END_OBJECT) {
                String name = parser.currentName();
                JsonToken value = parser.nextToken();
                boolean yes = value == JsonToken.VALUE_TRUE;
                switch (name) {
                    case "content" -> content =
                            value == JsonToken.VALUE_STRING ? parser.getText() : content;
                    case "id" -> id = id(parser, content);
                    case "lstrip", "rstrip", "single_word" -> plain &= !yes;
                    case "special" -> special = yes;
                    case "normalized" -> normalized = yes;
                    default -> {
                        // nothing that is needed here
                    }
                }
                parser.skipChildren();
            }
            if (id < 0) {
                throw new DataException(
                        file + ": added token '" + content + "' has no id" + at(start) + REMEDY);
            }
            largest = Math.max(largest, id);
            added.add(new Added(
                    content, id, plain, Objects.requireNonNullElse(normalized, !special)));
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
