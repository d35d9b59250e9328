package castalia.deploy.firstlight;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.workers.data.BpeTrainer;
import castalia.workers.data.TokenFile;
import castalia.workers.data.Tokenizer;
import castalia.workers.data.prepare.TextPreparer;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.HexFormat;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class FirstLightCorpusTest {
    @TempDir Path folder;

    private static Path shipped(String name) throws URISyntaxException {
        URL url = FirstLightCorpusTest.class.getResource("/castalia/first-light/" + name);
        return Path.of(Objects.requireNonNull(url, name).toURI());
    }

    private static List<String> documents() throws Exception {
        return FirstLightCorpus.documents(Files.readString(shipped("corpus.txt")));
    }

    @ParameterizedTest
    @ValueSource(strings = {"corpus.txt", "tokenizer.json"})
    void theShippedFilesAreThoseThatCorpusMdNames(String name) throws Exception {
        byte[] bytes = Files.readAllBytes(shipped(name));
        String sha256 = HexFormat.of()
                .formatHex(MessageDigest.getInstance("SHA-256").digest(bytes));
        assertThat(Files.readString(shipped("CORPUS.md")))
                .contains("| " + name + " | " + bytes.length + " | " + sha256 + " |");
        assertThat(bytes.length).isLessThan(2 << 20);
    }

    @Test
    void theShippedTokenizerIsTrainedOnTheShippedText() throws Exception {
        BpeTrainer.Vocabulary trained =
                BpeTrainer.train(documents(), FirstLightCorpus.VOCABULARY);
        assertThat(trained.toJson()).isEqualTo(Files.readString(shipped("tokenizer.json")));
        assertThat(Files.readString(shipped("CORPUS.md")))
                .contains(documents().size() + " documents, " + trained.textTokens() + " tokens");
    }

    @Test
    void everyShippedDocumentComesBackFromItsTokenFile() throws Exception {
        Path prefix = folder.resolve("data");
        List<String> documents = documents();
        try (Tokenizer tokenizer = Tokenizer.load(shipped("tokenizer.json"))) {
            assertThat(tokenizer.vocabularySize()).isEqualTo(FirstLightCorpus.VOCABULARY);
            assertThat(tokenizer.endOfDocument()).isZero();
            TextPreparer.prepare(List.of(shipped("corpus.txt")), tokenizer,
                    new TextPreparer.Options(Optional.of(FirstLightCorpus.SEPARATOR), true),
                    prefix);
            try (TokenFile file = TokenFile.open(prefix)) {
                assertThat(file.sequences()).isEqualTo(documents.size());
                for (int d = 0; d < documents.size(); d++) {
                    int[] ids = new int[file.size(d) - 1];
                    for (int i = 0; i < ids.length; i++) {
                        ids[i] = file.token(d, i);
                    }
                    assertThat(file.token(d, ids.length)).isZero();
                    assertThat(tokenizer.decode(ids)).isEqualTo(documents.get(d));
                }
                assertThat(Files.readString(shipped("CORPUS.md")))
                        .contains(file.tokens() + " with an end-of-document token each");
            }
        }
    }

    @Test
    void theShippedDocumentsAreInOrderOfTheirHash() throws Exception {
        assertThat(FirstLightCorpus.mixed(documents())).isEqualTo(documents());
    }

    @Test
    void chaptersLoseTheirLabelsAndOtherBooksAreLeftOut() {
        assertThat(FirstLightCorpus.chapters(List.of(
                        "", "Ge1:1 In the beginning", "Ge1:2 And the earth ", "Ge2:1 Thus",
                        "Lev1:1 And the LORD", "1Sm1:1 Now there was")))
                .containsExactly("In the beginning\nAnd the earth\n", "Thus\n", "Now there was\n");
    }

    @Test
    void sectionsAreUnwrappedAndTablesAndListsOfContentsLeftOut() {
        List<String> lines = List.of(
                "   Chapter 1. Not yet", "Chapter 1. Slang", "", "   One line", "   goes on.", "",
                "     an example", "     of two lines", "", "┌──┐", "│ x│", "   After.", "",
                "Chapter 3. Revision History", "", "   gone", "", "Verb Doubling", "", "   Kept.",
                "      Part II. The Lexicon", "   gone", "Appendix A. Hacker Folklore", "   gone",
                "A Story", "", "   told", "Appendix B. A Portrait", "   gone");
        assertThat(FirstLightCorpus.sections(lines)).containsExactly(
                """
                Chapter 1. Slang

                One line goes on.

                  an example
                  of two lines

                After.
                """,
                "Verb Doubling\n\nKept.\n",
                "A Story\n\ntold\n");
    }

    @Test
    void definitionsAreUnwrappedAndVerseKeepsItsLines() {
        List<String> lines = List.of(
                "00-database-short", "", "ABASEMENT, n.  A decent", "attitude of wealth.", "",
                "    Verse one", "    verse two", " ".repeat(50) + "G.J.", "",
                "NEGRO, n.  left", "out", "", "ZEUS or JOVE, n.  The chief.", "",
                " abcdefghijklmnopqrstuvwxyz");
        assertThat(FirstLightCorpus.entries(lines)).containsExactly(
                """
                ABASEMENT, n.  A decent attitude of wealth.

                    Verse one
                    verse two
                            G.J.
                """,
                "ZEUS or JOVE, n.  The chief.\n");
    }

    @Test
    void documentsComeBackFromTheFormOfTheFile() {
        List<String> documents = List.of("one\n", "two %% \n %%\n\n", "%%%\n");
        assertThat(FirstLightCorpus.documents(String.join("%%\n", documents)))
                .isEqualTo(documents);
    }
}
