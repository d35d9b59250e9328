package castalia.workers.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.text.Normalizer;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class TokenizerTest {
    private static final List<String> TEXTS = List.of(
            "",
            " ",
            "Hello, world! It's 1984; they'll've gone.",
            "runs   of      spaces                    and\t\ttabs",
            "lines\nand\r\nCRLF\r\n\r\nand\rothers\u2028\u2029\u0085",
            "emoji 🙂🙃 👩‍👩‍👧‍👦 🏳️‍🌈 and flags 🇫🇷",
            "control \0\u0001\u0007\u001b[0m\u007f\u009f characters",
            "combining e\u0301 and precomposed \u00e9, \ufeffbom, \u00a0nbsp, \u3000wide",
            "العربية עברית 日本語 한국어 ไทย हिन्दी \ud835\udd4f",
            "noncharacters \uffff\ufffe \ufdd0 and a replacement \ufffd",
            "<|padding|> spelled, <|endoftext|> too",
            "a".repeat(5000));

    @TempDir static Path folder;
    private static Path trained;

    @BeforeAll
    static void train() throws IOException {
        trained = folder.resolve("trained.json");
        Files.writeString(trained, BpeTrainer.train(TEXTS, 320).toJson());
    }

    static List<String> texts() {
        return TEXTS;
    }

    @ParameterizedTest
    @MethodSource("texts")
    void anyTextComesBackExactly(String text) {
        try (Tokenizer tokenizer = Tokenizer.load(trained)) {
            assertThat(tokenizer.decode(tokenizer.encode(text))).isEqualTo(text);
        }
    }

    @Test
    void randomTextComesBackExactly() {
        Random random = new Random(44);
        try (Tokenizer tokenizer = Tokenizer.load(trained)) {
            for (int i = 0; i < 500; i++) {
                String text = random.ints(random.nextInt(80), 0, 0x110000)
                        .filter(c -> !(c >= 0xd800 && c <= 0xdfff))
                        .map(c -> random.nextBoolean() ? c : c % 128)
                        .collect(StringBuilder::new, StringBuilder::appendCodePoint,
                                StringBuilder::append)
                        .toString();
                assertThat(tokenizer.decode(tokenizer.encode(text))).isEqualTo(text);
            }
        }
    }

    @Test
    void nothingIsAddedAndAddedTokensAreFound() {
        try (Tokenizer tokenizer = Tokenizer.load(trained)) {
            assertThat(tokenizer.encode("")).isEmpty();
            assertThat(tokenizer.encode("<|endoftext|><|padding|>")).containsExactly(0, 1);
            assertThat(tokenizer.encode("x")).containsExactly(2 + 'x');
            assertThat(tokenizer.decode(new int[] {1, 2 + 'x', 0}))
                    .isEqualTo("<|padding|>x<|endoftext|>");
        }
    }

    @Test
    void idsOutsideTheVocabularyGiveNothing() {
        try (Tokenizer tokenizer = Tokenizer.load(trained)) {
            assertThat(tokenizer.decode(new int[] {2 + 'x', 5_000_000, -1, 2 + 'y'}))
                    .isEqualTo("xy");
        }
    }

    @Test
    void severalThreadsMayUseOneTokenizer() throws InterruptedException {
        try (Tokenizer tokenizer = Tokenizer.load(trained)) {
            String[] results = new String[4];
            Thread[] threads = new Thread[results.length];
            for (int t = 0; t < threads.length; t++) {
                int id = t;
                threads[t] = new Thread(() -> {
                    for (int i = 0; i < 50; i++) {
                        String text = TEXTS.get(2 + (id + i) % 9);
                        results[id] = tokenizer.decode(tokenizer.encode(text)).equals(text)
                                ? "same" : text;
                    }
                });
                threads[t].start();
            }
            for (Thread thread : threads) {
                thread.join();
            }
            assertThat(results).containsOnly("same");
        }
    }

    @Test
    void aClosedTokenizerSaysSo() {
        Tokenizer tokenizer = Tokenizer.load(trained);
        tokenizer.close();
        tokenizer.close();
        assertThatThrownBy(() -> tokenizer.encode("x")).isInstanceOf(IllegalStateException.class);
    }

    @Test
    void theNativeLibraryIsUnpackedBelowCastaliaHome() throws IOException {
        Tokenizer.load(trained).close();
        Path natives = Path.of(System.getProperty("castalia.home", ".castalia"), "natives");
        try (Stream<Path> files = Files.walk(natives)) {
            assertThat(files.filter(Files::isRegularFile).map(f -> f.getFileName().toString()))
                    .contains(System.mapLibraryName("tokenizers"))
                    .noneMatch(name -> name.contains("partial"));
        }
        assertThat(TokenizersNative.platform("Linux", "amd64")).isEqualTo("linux-x86_64");
        assertThat(TokenizersNative.platform("Mac OS X", "aarch64")).isEqualTo("osx-aarch64");
        assertThatThrownBy(() -> TokenizersNative.platform("Plan 9", "amd64"))
                .hasMessageContaining("Plan 9");
    }

    @Test
    void aMissingFileIsNamed() {
        assertThatThrownBy(() -> Tokenizer.load(folder.resolve("none.json")))
                .isInstanceOf(DataException.class)
                .hasMessageContainingAll("none.json", "no such file");
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "", "{", "[]", "null", "{}", "{\"model\": {}}", "{\"model\": {\"vocab\": {}}}",
        "{\"model\": {\"vocab\": {\"a\": -1}}, \"added_tokens\": []}",
        "{\"model\": {\"vocab\": {\"a\": \"b\"}}}",
        "{\"model\": {\"vocab\": {\"a\": 0}}, \"added_tokens\": "
                + "[{\"id\": 99999999999, \"content\": \"<|endoftext|>\"}]}",
        "{\"model\": {\"vocab\": {\"a\": 0}}, \"added_tokens\": "
                + "[{\"id\": 1, \"content\": \"<|endoftext|>\"}]}",
    })
    void whatIsNoTokenizerIsRefusedInOneLine(String json) throws IOException {
        Path file = folder.resolve("bad.json");
        Files.writeString(file, json);
        assertThatThrownBy(() -> Tokenizer.load(file).close())
                .isInstanceOf(DataException.class)
                .hasMessageContaining("bad.json")
                .message()
                .doesNotContain("\n");
    }

    @Test
    void aDamagedTokenizerIsRefusedOrWorks() throws IOException {
        byte[] whole = Files.readAllBytes(trained);
        Path file = folder.resolve("damaged.json");
        Random random = new Random(12);
        for (int i = 0; i < 300; i++) {
            byte[] damaged = whole.clone();
            for (int k = random.nextInt(5); k >= 0; k--) {
                damaged[random.nextInt(damaged.length)] = (byte) (32 + random.nextInt(95));
            }
            int length = random.nextInt(3) == 0 ? random.nextInt(whole.length) : whole.length;
            Files.write(file, java.util.Arrays.copyOf(damaged, length));
            try (Tokenizer tokenizer = Tokenizer.load(file)) {
                assertThat(tokenizer.vocabularySize()).isPositive();
            } catch (DataException e) {
                assertThat(e.getMessage()).contains("damaged.json").doesNotContain("\n");
            }
        }
    }

    @Test
    void theTokenizerOfPythiaGivesItsIdsAndComesBack() {
        Path file = PublishedTokenizer.file("TokenizerTest.theTokenizerOfPythiaGivesItsIdsAndComesBack");
        try (Tokenizer tokenizer = Tokenizer.load(file)) {
            assertThat(tokenizer.vocabularySize()).isEqualTo(50_277);
            assertThat(tokenizer.endOfDocument()).isZero();
            assertThat(tokenizer.encode(" He")).containsExactly(754);
            assertThat(tokenizer.encode("His")).containsExactly(8389);
            assertThat(tokenizer.encode(" ".repeat(24))).containsExactly(50_254);
            for (String text : TEXTS) {
                assertThat(tokenizer.decode(tokenizer.encode(text)))
                        .isEqualTo(Normalizer.normalize(text, Normalizer.Form.NFC));
            }
        }
    }
}
