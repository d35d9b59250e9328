package castalia.workers.data;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Random;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Words that are remembered give the ids of the library over the whole text. */
class WordEncoderTest {
    private static final ObjectMapper MAPPER = new ObjectMapper();

    /** What texts are made of: words, and whatever might not be cut as it seems. */
    private static final String[] PIECES = {
        " ", " ", " ", "  ", "   ", "     ", "\n", "\n\n", "\r\n", "\t", "\f", "\u000b", "\0", "\u001c",
        "\u007f", "\u0085", "\u00a0", "\u2003", "\u2028", "\u3000", "\u180e", "\u200b", "\ufeff",
        "the", "and", "Then", "x", "I", "12", "7", "'s", "'ll", "'re", "'", "'r", "'l", "!", "...", "(",
        "_", "a_b", "<", "<x>", "<|endoftext|>", "<|padding|>", "<|end", "ab", "abc", "e\u0301",
        "\u0301", "\u00e9", "\u1100", "\u1161", "\u212a", "\u037e", "\u00b2", "\u0663", "\u65e5\u672c",
        "\u0441\u043b\u043e\u0432\u043e", "\ud83d\ude42", "a".repeat(60), "=".repeat(47), "=".repeat(48),
    };

    @TempDir Path folder;

    private static String text(Random random) {
        StringBuilder text = new StringBuilder();
        for (int n = random.nextInt(24); n > 0; n--) {
            text.append(PIECES[random.nextInt(PIECES.length)]);
        }
        return text.toString();
    }

    private static ObjectNode trained(int vocabulary) throws IOException {
        String texts = "the and then x I'll we're 12 ... (ab) abc a_b   the\n\n  and the  then ";
        return (ObjectNode) MAPPER.readTree(
                BpeTrainer.train(List.of(texts.repeat(3)), vocabulary).toJson());
    }

    private static void add(ObjectNode tokenizer, String content, boolean normalized) {
        ArrayNode added = (ArrayNode) tokenizer.path("added_tokens");
        int id = tokenizer.path("model").path("vocab").size() + added.size() - 2;
        added.addObject().put("id", id).put("content", content).put("single_word", false)
                .put("lstrip", false).put("rstrip", false).put("normalized", normalized)
                .put("special", !normalized);
    }

    private static TokenizerVocabulary vocabulary(ObjectNode json) throws IOException {
        return TokenizerVocabulary.read(Path.of("t.json"), MAPPER.writeValueAsString(json));
    }

    private void same(ObjectNode json, int texts) throws IOException {
        Path file = folder.resolve("tokenizer.json");
        Files.writeString(file, MAPPER.writeValueAsString(json));
        same(file, texts);
    }

    private static void same(Path file, int texts) {
        Random random = new Random(5);
        try (HuggingFaceTokenizer tokenizer = (HuggingFaceTokenizer) Tokenizer.load(file)) {
            for (int i = 0; i < texts; i++) {
                String text = text(random);
                assertThat(tokenizer.encode(text)).as(MAPPER.writeValueAsString(text))
                        .isEqualTo(tokenizer.encodeWhole(text));
            }
        } catch (IOException e) {
            throw new IllegalStateException(e);
        }
    }

    @Test
    void anyTextHasTheIdsOfTheLibrary() throws IOException {
        same(trained(280), 5000);
    }

    @Test
    void runsOfSpacesAndNamesThatAreAddedTokensLikewise() throws IOException {
        ObjectNode json = trained(280);
        add(json, "  ", true);
        add(json, "     ", true);
        add(json, "   ", true);
        add(json, "<x>", true);
        add(json, "ab", false);
        json.putObject("normalizer").put("type", "NFC");
        same(json, 10_000);
    }

    @Test
    void otherKindsOfTokenizersAreLeftToTheLibrary() throws IOException {
        ObjectNode prefixed = trained(280);
        ((ObjectNode) prefixed.path("pre_tokenizer")).put("add_prefix_space", true);
        ObjectNode lower = trained(280);
        lower.putObject("normalizer").put("type", "Lowercase");
        ObjectNode whole = trained(280);
        ((ObjectNode) whole.path("pre_tokenizer")).put("use_regex", false);
        ObjectNode stripped = trained(280);
        add(stripped, "ab", false);
        ((ObjectNode) stripped.path("added_tokens").path(2)).put("lstrip", true);
        ObjectNode mixed = trained(280);
        add(mixed, "the and", false);
        ObjectNode twoPasses = trained(280);
        add(twoPasses, "  ", true);
        add(twoPasses, "   ", false);
        for (ObjectNode json : List.of(prefixed, lower, whole, stripped, mixed, twoPasses)) {
            assertThat(WordEncoder.of(vocabulary(json), _ -> new int[0])).isEmpty();
            same(json, 300);
        }
    }

    @Test
    void theTokenizerOfPythiaLikewise() {
        Path file = PublishedTokenizer.file("WordEncoderTest.theTokenizerOfPythiaLikewise");
        same(file, 10_000);
    }

    @Test
    void aWordIsAskedForOnce() throws IOException {
        AtomicInteger asked = new AtomicInteger();
        WordEncoder words = WordEncoder.of(vocabulary(trained(280)), word -> {
            asked.incrementAndGet();
            return word.chars().toArray();
        }).orElseThrow();
        String text = "the and the and \u00e9t\u00e9 and 12\n\n the\n";
        for (int i = 0; i < 50; i++) {
            assertThat(words.encode(text)).isEqualTo(text.chars().toArray());
        }
        assertThat(asked).hasValue(7);
    }
}
