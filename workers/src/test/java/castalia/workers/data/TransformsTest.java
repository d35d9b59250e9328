package castalia.workers.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.step.VirtualRanks;
import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class TransformsTest {
    private static final Map<String, String> SHE =
            Map.of("he", "she", "him", "her", "his", "her");
    private static final String TEXT =
            "He gave him his book, and he's the theme. HE! His 'his' hIm \u00e9\u65e5\ud83d\ude42 then.";

    @TempDir static Path folder;
    private static Tokenizer tokenizer;

    @BeforeAll
    static void tokenizer() throws IOException {
        Path file = folder.resolve("t.json");
        Files.writeString(file, BpeTrainer.train(List.of(TEXT, TEXT.toLowerCase(Locale.ROOT)
                + " she her she her Her She"), 290).toJson());
        tokenizer = Tokenizer.load(file);
    }

    @AfterAll
    static void close() {
        tokenizer.close();
    }

    private static WordTransform words(long from, long to) {
        return new WordTransform(from, to, SHE, tokenizer, 300);
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "he|she", "He|She", "HE|SHE", "hE|she", "theme then|theme then", "he's|she's", "(him)|(her)",
        "his,his|her,her", "he_x|she_x", "2he|2she", "h\u00e9|h\u00e9", "he\u0301|he\u0301", "''|''",
    })
    void wholeWordsAreReplacedWithTheirCase(String text, String expected) {
        assertThat(words(0, 1).replaced(text)).isEqualTo(expected);
    }

    @Test
    void aReplacementOfOneLetterWordsKeepsItsCapital() {
        WordTransform transform = new WordTransform(
                0, 1, Map.of("I", "\u00e9lan", "a", "an"), tokenizer, 300);
        assertThat(transform.replaced("I, i a A.")).isEqualTo("\u00c9lan, \u00e9lan an An.");
    }

    private static int[] row(String text, int length) {
        int[] ids = tokenizer.encode(text);
        int[] row = new int[length];
        Arrays.setAll(row, i -> ids[i % ids.length]);
        return row;
    }

    @Test
    void aRowIsTokenisedAgainAndFilledOrCut() {
        int[] ids = tokenizer.encode(TEXT);
        int[] row = ids.clone();
        assertThat(words(0, 1).apply(row)).isTrue();
        int[] expected = tokenizer.encode(words(0, 1).replaced(TEXT));
        int[] fitted = Arrays.copyOf(expected, row.length);
        Arrays.fill(fitted, Math.min(expected.length, row.length), row.length, 1);
        assertThat(row).isEqualTo(fitted);

        row = tokenizer.encode("a xylophonequartz b");
        WordTransform shorter =
                new WordTransform(0, 1, Map.of("xylophonequartz", "x"), tokenizer, 300);
        shorter.apply(row);
        int[] short3 = tokenizer.encode("a x b");
        assertThat(row).startsWith(short3);
        assertThat(Arrays.copyOfRange(row, short3.length, row.length)).isNotEmpty()
                .containsOnly(1);
    }

    @Test
    void aRowWithoutTheWordsStaysAsItIs() {
        int[] row = row("the theme \u00e9 <|endoftext|> then ", 40);
        // Not how the tokenizer would write it: two tokens for what has one.
        row[3] = 2 + 'e';
        row[4] = 2 + 'e';
        int[] before = row.clone();
        assertThat(words(0, 1).apply(row)).isFalse();
        assertThat(row).isEqualTo(before);
    }

    @Test
    void piecesOfCharactersAtTheEndsAreKept() {
        int[] inner = tokenizer.encode(" he is");
        int[] row = new int[inner.length + 3];
        row[0] = 2 + 0x99; // the end of a character of several bytes
        System.arraycopy(inner, 0, row, 1, inner.length);
        row[row.length - 2] = 2 + 0xe6; // the start of one of three bytes
        row[row.length - 1] = 2 + 0x97;
        WordTransform same = new WordTransform(0, 1, Map.of("he", "th"), tokenizer, 300);
        int[] expected = tokenizer.encode(" th is");
        same.apply(row);
        assertThat(row[0]).isEqualTo(2 + 0x99);
        assertThat(Arrays.copyOfRange(row, 1, 1 + expected.length)).isEqualTo(expected);
        int tail = 1 + expected.length;
        if (tail + 1 < row.length) {
            assertThat(row[tail]).isEqualTo(2 + 0xe6);
            assertThat(row[tail + 1]).isEqualTo(2 + 0x97);
        }
    }

    @Test
    void endsOfDocumentsComeBack() {
        int[] row = tokenizer.encode("a he<|endoftext|>He<|endoftext|>");
        words(0, 1).apply(row);
        assertThat(row).contains(0);
        assertThat(tokenizer.decode(row)).startsWith("a she<|endoftext|>");
    }

    private static BatchSource synthetic(BatchShape shape) {
        return new SyntheticBatches(shape, 60, 5);
    }

    /** Inputs and labels of a whole step. */
    private static int[][] step(BatchSource source, long step) {
        BatchShape shape = source.shape();
        int[][] all = new int[2][shape.globalBatch() * shape.sequenceLength()];
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment inputs = arena.allocate(4L * shape.tokens(), 64);
            MemorySegment labels = arena.allocate(4L * shape.tokens(), 64);
            for (int v = 0; v < shape.virtualRanks(); v++) {
                for (int m = 0; m < shape.microBatches(); m++) {
                    source.fill(step, v, m, inputs, labels);
                    int at = shape.firstRow(v, m) * shape.sequenceLength();
                    MemorySegment.copy(inputs, ValueLayout.JAVA_INT, 0, all[0], at, shape.tokens());
                    MemorySegment.copy(labels, ValueLayout.JAVA_INT, 0, all[1], at, shape.tokens());
                }
            }
        }
        return all;
    }

    @Test
    void onlyTheStepsOfTheRangeAreChangedHoweverTheBatchIsCut() {
        List<TokenTransform> transforms = List.of(
                new IdTransform(3, 5, Map.of(1, 2, 2, 1, 7, 59), 60),
                new IdTransform(4, 9, Map.of(59, 0), 60));
        BatchSource whole = new TransformedBatches(
                synthetic(new BatchShape(8, 1, 8, 16)), transforms);
        BatchSource cut = new TransformedBatches(
                synthetic(new BatchShape(8, 4, 1, 16)), transforms);
        for (long step = 0; step < 10; step++) {
            int[][] plain = step(whole.untransformed(), step);
            int[][] changed = step(whole, step);
            assertThat(step(cut, step)).isDeepEqualTo(changed);
            for (int part = 0; part < 2; part++) {
                for (int i = 0; i < plain[part].length; i++) {
                    int expected = plain[part][i];
                    if (step == 3 || step == 4) {
                        expected = expected == 1 ? 2 : expected == 2 ? 1 : expected == 7 ? 59 : expected;
                    }
                    if (step >= 4 && step < 9) {
                        expected = expected == 59 ? 0 : expected;
                    }
                    assertThat(changed[part][i]).isEqualTo(expected);
                }
            }
            for (int r = 0; r < 8; r++) {
                for (int p = 1; p < 16; p++) {
                    assertThat(changed[1][r * 16 + p - 1]).isEqualTo(changed[0][r * 16 + p]);
                }
            }
        }
    }

    @Test
    void wordsAreChangedAlikeByTheReaderThreadAndInAnyCut() {
        int[][][] rows = new int[3][4][];
        Random random = new Random(3);
        for (int[][] step : rows) {
            for (int r = 0; r < step.length; r++) {
                step[r] = row(TEXT.substring(random.nextInt(20)), 31);
            }
        }
        BatchShape shape = new BatchShape(4, 2, 1, 30);
        BatchSource source = new TransformedBatches(
                new ArrayBatches(rows, shape, 300), List.of(words(1, 2)));
        BatchSource other = new TransformedBatches(
                new ArrayBatches(rows, new BatchShape(4, 1, 4, 30), 300), List.of(words(1, 2)));
        try (BatchReader reader = new BatchReader(
                source, new VirtualRanks.Block(0, 2), Duration.ofSeconds(60))) {
            for (long step = 0; step < 3; step++) {
                int[][] changed = step(reader, step);
                assertThat(changed).isDeepEqualTo(step(other, step));
                boolean same = Arrays.deepEquals(changed, step(reader.untransformed(), step));
                assertThat(same).isEqualTo(step != 1);
            }
        }
    }

    @Test
    void theDescriptionNamesEverythingAndIsTheSourcesWithoutTransforms() {
        BatchSource source = synthetic(new BatchShape(8, 1, 8, 16));
        assertThat(new TransformedBatches(source, List.of()).description())
                .isEqualTo(source.description());
        List<String> lines = new TransformedBatches(source, List.of(words(133_000, 143_000),
                new IdTransform(1, 2, Map.of(3, 4), 60))).description();
        assertThat(lines).startsWith(source.description().toArray(String[]::new)).contains(
                "transform.0.from=133000", "transform.0.to=143000", "transform.0.kind=words",
                "transform.0.tokenizer=" + tokenizer.fingerprint(), "transform.0.padding=1",
                "transform.1.kind=tokens");
        List<String> others = new TransformedBatches(source, List.of(new WordTransform(133_000,
                143_000, Map.of("he", "she", "him", "her", "his", "hers"), tokenizer, 300),
                new IdTransform(1, 2, Map.of(3, 5), 60))).description();
        assertThat(others).hasSameSizeAs(lines);
        for (int i = 0; i < lines.size(); i++) {
            boolean same = !lines.get(i).contains("map.sha256");
            assertThat(others.get(i).equals(lines.get(i))).isEqualTo(same);
        }
    }

    @Test
    void whatDoesNotFitIsNamed() {
        assertThatThrownBy(() -> words(2, 2)).hasMessageContaining("from 2 to 2");
        assertThatThrownBy(() -> new IdTransform(0, 1, Map.of(3, 60), 60))
                .isInstanceOf(DataException.class).hasMessageContaining("token 3 by 60");
        assertThatThrownBy(() -> new WordTransform(0, 1, Map.of("a b", "c"), tokenizer, 300))
                .hasMessageContaining("'a b'");
        assertThatThrownBy(() -> new WordTransform(0, 1, Map.of("He", "c", "he", "d"), tokenizer,
                300)).hasMessageContaining("twice");
        assertThatThrownBy(() -> new WordTransform(0, 1, SHE, tokenizer, 100))
                .hasMessageContaining("290 ids, the model 100");
    }
}
