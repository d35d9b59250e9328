package castalia.workers.data;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import com.sun.management.ThreadMXBean;
import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.Timeout.ThreadMode;
import org.junit.jupiter.api.io.TempDir;

/** Damaged and hostile {@code tokenizer.json} files. */
@Timeout(value = 120, unit = TimeUnit.SECONDS, threadMode = ThreadMode.SEPARATE_THREAD)
class TokenizerFuzzTest {
    private static final ObjectMapper MAPPER = new ObjectMapper();
    private static final String TEXT = "He said: \u00e9\u65e5 12 <|endoftext|>";

    /** Parts of other tokenizers, to be put in anywhere. */
    private static final String[] PIECES = {
        "null", "-1", "true", "1e308", "2147483647", "2147483648", "99999999999999999999", "\"\"",
        "\"\\u0000\"", "\"\\ud800\"", "[]", "{}", "[[[[[[[[]]]]]]]]", "\"" + "x".repeat(2000) + "\"",
        "{\"type\": \"NFC\"}", "{\"type\": \"Lowercase\"}", "{\"type\": \"None\"}",
        "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"(a*)*b\"}, \"content\": \"x\"}",
        "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"(\"}, \"content\": \"x\"}",
        "{\"type\": \"Replace\", \"pattern\": {\"String\": \"\"}, \"content\": \"xx\"}",
        "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"AAAA\"}",
        "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"/////w==\"}",
        "{\"type\": \"Prepend\", \"prepend\": \"\"}",
        "{\"type\": \"Sequence\", \"normalizers\": [], \"pretokenizers\": [], \"decoders\": []}",
        "{\"type\": \"Split\", \"pattern\": {\"Regex\": \"\"}, \"behavior\": \"Isolated\","
                + " \"invert\": false}",
        "{\"type\": \"Metaspace\", \"replacement\": \"_\", \"prepend_scheme\": \"always\"}",
        "{\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true}",
        "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"[X]\","
                + " \"type_id\": 0}}], \"pair\": [], \"special_tokens\": {}}",
        "{\"type\": \"WordLevel\", \"vocab\": {\"He\": 0, \"said\": 5}, \"unk_token\": \"[UNK]\"}",
        "{\"type\": \"WordPiece\", \"unk_token\": \"[UNK]\", \"continuing_subword_prefix\": \"##\","
                + " \"max_input_chars_per_word\": 1, \"vocab\": {\"H\": 0}}",
        "{\"type\": \"Unigram\", \"unk_id\": 7, \"vocab\": [[\"a\", -1.0]]}",
        "{\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": [[\"a\", -1.0], [\"\", 0.0]],"
                + " \"byte_fallback\": true}",
        "{\"strategy\": {\"Fixed\": 2000000000}, \"direction\": \"Right\","
                + " \"pad_to_multiple_of\": 0, \"pad_id\": 0, \"pad_type_id\": 0, \"pad_token\": \"x\"}",
        "{\"max_length\": 0, \"strategy\": \"LongestFirst\", \"stride\": 5,"
                + " \"direction\": \"Right\"}",
    };

    @TempDir Path folder;

    /** Every place in a tree where a value can be put. */
    private static void places(JsonNode node, List<Runnable> out, JsonNode value, int most) {
        if (out.size() > most) {
            return;
        }
        if (node instanceof ObjectNode object) {
            for (Map.Entry<String, JsonNode> entry : List.copyOf(object.properties())) {
                out.add(() -> object.set(entry.getKey(), value));
                places(entry.getValue(), out, value, most);
            }
            out.add(() -> object.set("type", value));
        } else if (node instanceof ArrayNode array) {
            for (int i = 0; i < array.size(); i++) {
                int at = i;
                out.add(() -> array.set(at, value));
                places(array.get(i), out, value, most);
            }
            out.add(() -> array.add(value));
        }
    }

    private String mutated(String json, Random random) throws IOException {
        JsonNode root = MAPPER.readTree(json);
        for (int n = random.nextInt(2); n >= 0; n--) {
            JsonNode value = MAPPER.readTree(PIECES[random.nextInt(PIECES.length)]);
            if (random.nextInt(2) == 0) {
                List<String> parts = List.of("normalizer", "pre_tokenizer", "post_processor",
                        "decoder", "model", "padding", "truncation", "added_tokens");
                ((ObjectNode) root).set(parts.get(random.nextInt(parts.size())), value);
            } else {
                List<Runnable> places = new ArrayList<>();
                ObjectNode model = root.path("model") instanceof ObjectNode object ? object : null;
                boolean aside = model != null && model.has("vocab") && random.nextInt(8) > 0;
                JsonNode vocabulary = aside ? model.remove("vocab") : null;
                places(root, places, value, 3000);
                if (vocabulary != null) {
                    model.set("vocab", vocabulary); // else nearly every place is an id
                }
                places.get(random.nextInt(places.size())).run();
            }
        }
        return MAPPER.writeValueAsString(root);
    }

    /** Java's part: the text, its tree and what is kept; the library's own memory is not seen. */
    @Test
    void memoryIsASmallMultipleOfTheFile() throws IOException {
        ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
        String good = BpeTrainer.train(List.of(TEXT.repeat(3)), 265).toJson();
        String id = "\"<|endoftext|>\": ";
        List<String> files = List.of(good,
                good.replaceFirst("\\{", "{\"x\": [" + "[],".repeat(300_000) + "1],"),
                good.replaceFirst("\\{", "{\"x\": " + "[".repeat(900_000)),
                good.replaceFirst("\\{", "{\"x\": \"" + "y".repeat(900_000) + "\","),
                good.replaceFirst("\"merges\": \\[", "\"merges\": [" + "\"a b\",".repeat(100_000)),
                good.replaceFirst("\"normalizer\": null", "\"normalizer\": {\"type\": \"Sequence\","
                        + " \"normalizers\": [" + "{},".repeat(200_000) + "{}]}"),
                good.replaceFirst("\"id\": 1,", "\"id\": 16000000,"),
                good.replaceFirst("\"id\": 1,", "\"id\": 2147483647,"),
                good.substring(0, good.length() / 2),
                "{" + id.repeat(100_000));
        for (String json : files) {
            Path file = Files.writeString(folder.resolve("large.json"), json);
            load(file);
            long before = threads.getCurrentThreadAllocatedBytes();
            load(file);
            long allocated = threads.getCurrentThreadAllocatedBytes() - before;
            assertThat(allocated).as("%d characters: %.60s", json.length(), json)
                    .isLessThan((1L << 20) + 12L * json.length());
        }
    }

    private static void load(Path file) {
        try (Tokenizer tokenizer = Tokenizer.load(file)) {
            assertThat(tokenizer.vocabularySize()).isPositive();
        } catch (DataException e) {
            assertThat(e.getMessage()).contains("large.json").doesNotContain("\n")
                    .hasSizeLessThan(1000);
        }
    }

    @Test
    void hostileStructuresAreRefusedOrWork() throws IOException {
        String good = BpeTrainer.train(List.of(TEXT.repeat(3)), 265).toJson();
        Random random = new Random(Long.getLong("castalia.fuzz.seed", 6));
        int count = Integer.getInteger("castalia.fuzz.count", 200);
        int refused = 0;
        for (int i = 0; i < count; i++) {
            String json = mutated(good, random);
            Path file = Files.write(
                    folder.resolve("fuzzed.json"), json.getBytes(StandardCharsets.UTF_8));
            try (HuggingFaceTokenizer tokenizer = (HuggingFaceTokenizer) Tokenizer.load(file)) {
                int[] ids = tokenizer.encode(TEXT);
                assertThat(ids).as(json).isEqualTo(tokenizer.encodeWhole(TEXT));
                assertThat(ids.length).isLessThan(1000);
                assertThat(tokenizer.decode(ids)).isNotNull();
            } catch (DataException e) {
                assertThat(e.getMessage()).contains("fuzzed.json").doesNotContain("\n");
                refused++;
            }
        }
        assertThat(refused).isBetween(count / 10, count - 3);
    }
}
