package castalia.workers.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.workers.data.BpeTrainer.Vocabulary;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class BpeTrainerTest {
    @TempDir Path folder;

    @Test
    void theMostFrequentPairIsMergedFirst() {
        Vocabulary trained = BpeTrainer.train(List.of("low lower lowest low"), 260);
        assertThat(trained.tokens()).hasSize(260).startsWith("<|endoftext|>", "<|padding|>");
        assertThat(trained.tokens().get(2 + 'a')).isEqualTo("a");
        assertThat(trained.tokens().get(2 + ' ')).isEqualTo("\u0120");
        assertThat(trained.merges()).containsExactly("l o", "lo w");
        assertThat(trained.textTokens()).isEqualTo(1 + 4 + 5 + 2);
    }

    @Test
    void equallyFrequentPairsAreMergedInOrderOfTheirIds() {
        assertThat(BpeTrainer.train(List.of("cd", "ab", "ba", "ac"), 260).merges())
                .containsExactly("a b", "a c");
    }

    @Test
    void overlappingPairsAreMergedFromTheLeft() {
        Vocabulary trained = BpeTrainer.train(List.of("aaaaa"), 260);
        assertThat(trained.merges()).containsExactly("a a", "aa a");
        assertThat(trained.textTokens()).isEqualTo(2);
    }

    @Test
    void theOrderOfDocumentsDoesNotMatter() {
        List<String> documents = new ArrayList<>();
        Random random = new Random(8);
        for (int i = 0; i < 200; i++) {
            StringBuilder text = new StringBuilder();
            for (int k = 0; k < 30; k++) {
                text.append((char) ('a' + random.nextInt(6)));
                if (random.nextInt(5) == 0) {
                    text.append(' ');
                }
            }
            documents.add(text.toString());
        }
        String first = BpeTrainer.train(documents, 400).toJson();
        Collections.shuffle(documents, random);
        assertThat(BpeTrainer.train(documents, 400).toJson()).isEqualTo(first);
    }

    @Test
    void theLibraryCutsTheTrainingTextIntoAsManyTokens() throws Exception {
        List<String> documents = new ArrayList<>();
        Random random = new Random(21);
        String alphabet = "abcdeé ,.'\n\t0123s“日🙂ll";
        int[] characters = alphabet.codePoints().toArray();
        for (int i = 0; i < 100; i++) {
            StringBuilder text = new StringBuilder();
            for (int k = 0; k < 200; k++) {
                text.appendCodePoint(characters[random.nextInt(characters.length)]);
            }
            documents.add(text.toString());
        }
        Vocabulary trained = BpeTrainer.train(documents, 600);
        Path file = folder.resolve("tokenizer.json");
        Files.writeString(file, trained.toJson());
        try (Tokenizer tokenizer = Tokenizer.load(file)) {
            assertThat(tokenizer.vocabularySize()).isEqualTo(600);
            assertThat(tokenizer.endOfDocument()).isZero();
            long tokens = 0;
            for (String document : documents) {
                int[] ids = tokenizer.encode(document);
                tokens += ids.length;
                assertThat(tokenizer.decode(ids)).isEqualTo(document);
            }
            assertThat(tokens).isEqualTo(trained.textTokens());
        }
    }

    @Test
    void tooLittleTextIsRefused() {
        assertThatThrownBy(() -> BpeTrainer.train(List.of("ab"), 300))
                .isInstanceOf(DataException.class)
                .hasMessageContainingAll("259", "300");
        assertThatThrownBy(() -> BpeTrainer.train(List.of("ab"), 257))
                .isInstanceOf(IllegalArgumentException.class);
    }
}
