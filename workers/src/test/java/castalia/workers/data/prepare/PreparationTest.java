package castalia.workers.data.prepare;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.workers.data.DataException;
import castalia.workers.data.PartialTokenFile;
import castalia.workers.data.PrepareJournal;
import castalia.workers.data.TokenDtype;
import castalia.workers.data.TokenFile;
import castalia.workers.data.TokenFileWriter;
import castalia.workers.data.Tokenizer;
import castalia.workers.data.prepare.TextPreparer.Options;
import castalia.workers.data.prepare.TextPreparer.Summary;
import castalia.workers.data.text.TextOptions;
import com.github.luben.zstd.ZstdOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.atomic.AtomicLong;
import java.util.zip.GZIPOutputStream;
import java.util.zip.ZipEntry;
import java.util.zip.ZipOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Every kind of input, interruptions, and input that is broken. */
class PreparationTest {
    @TempDir Path folder;

    private static Options options(TextOptions text, int threads) {
        return new Options(text, true, threads, false);
    }

    private static Options plain(int threads) {
        return options(TextOptions.PLAIN, threads);
    }

    private Summary prepare(Options options, Tokenizer tokenizer, String out, Path... inputs) {
        return TextPreparer.prepare(
                List.of(inputs), tokenizer, options, folder.resolve("out").resolve(out));
    }

    private List<String> texts(String out) {
        List<String> texts = new ArrayList<>();
        try (TokenFile file = TokenFile.open(folder.resolve("out").resolve(out))) {
            assertThat(file.documentIndexLength()).isEqualTo(file.sequences() + 1);
            for (long s = 0; s < file.sequences(); s++) {
                int[] ids = new int[file.size(s)];
                for (int i = 0; i < ids.length; i++) {
                    ids[i] = file.token(s, i);
                }
                texts.add(new ByteTokenizer().decode(ids));
            }
        }
        return texts;
    }

    private byte[] bytes(String name) throws IOException {
        return Files.readAllBytes(folder.resolve("out").resolve(name));
    }

    private Path write(String name, String content) throws IOException {
        Path path = folder.resolve(name);
        Files.createDirectories(path.getParent());
        byte[] utf8 = content.getBytes(StandardCharsets.UTF_8);
        try (OutputStream file = Files.newOutputStream(path);
                OutputStream out = name.endsWith(".gz") ? new GZIPOutputStream(file)
                        : name.endsWith(".zst") ? new ZstdOutputStream(file).setChecksum(true) : file) {
            out.write(utf8);
        }
        return path;
    }

    private static String json(String... texts) {
        StringBuilder lines = new StringBuilder();
        for (String text : texts) {
            lines.append("{\"meta\": {\"text\": \"not this\", \"n\": [1, {}]}, \"text\": \"")
                    .append(text.replace("\n", "\\n")).append("\", \"id\": 3}\n");
        }
        return lines.toString();
    }

    @Test
    void everyKindOfInputIsReadInOrder() throws IOException {
        Path zip = folder.resolve("z.zip");
        try (ZipOutputStream out = new ZipOutputStream(Files.newOutputStream(zip))) {
            for (String name : List.of("b/two.txt", "a.jsonl", "c.bin", "b/one.txt")) {
                out.putNextEntry(new ZipEntry(name));
                out.write((name.endsWith(".jsonl") ? json("zip json") : "zip " + name)
                        .getBytes(StandardCharsets.UTF_8));
            }
        }
        write("in/2.jsonl.zst", json("zst é🙂", "two\nlines"));
        write("in/1.jsonl.gz", json("gz") + "\n  \n" + json("after blanks"));
        write("in/3.txt.gz", "packed text\n");
        write("in/4.bin", "not read");
        Path lines = write("lines.jsonl", json("json", "") + "{\"text\":\"no end of line\"}");

        Summary summary = prepare(plain(2), new ByteTokenizer(), "all", lines,
                folder.resolve("in"), zip);
        assertThat(texts("all")).containsExactly("json", "", "no end of line", "gz",
                "after blanks", "zst é🙂", "two\nlines", "packed text\n", "zip json",
                "zip b/one.txt", "zip b/two.txt");
        assertThat(summary.files()).isEqualTo(7);
        assertThat(summary.bytes()).isEqualTo(texts("all").stream()
                .mapToLong(text -> text.getBytes(StandardCharsets.UTF_8).length).sum());
        assertThat(folder.resolve("out/all.partial")).doesNotExist();
    }

    @Test
    void otherFieldsAndOtherFilesCanBeNamed() throws IOException {
        Path lines = write("a.jsonl", "{\"content\": \"x\", \"text\": 1}\n");
        prepare(options(new TextOptions(Optional.empty(), "content", Optional.empty()), 1),
                new ByteTokenizer(), "field", lines);
        assertThat(texts("field")).containsExactly("x");
        write("src/deep/A.java", "class A");
        write("src/B.java", "class B");
        write("src/b.txt", "text");
        TextOptions java = new TextOptions(Optional.empty(), "text", Optional.of("*.java"));
        prepare(options(java, 1), new ByteTokenizer(), "java", folder.resolve("src"));
        assertThat(texts("java")).containsExactly("class B", "class A");
        TextOptions deep = new TextOptions(Optional.empty(), "text", Optional.of("deep/*"));
        prepare(options(deep, 1), new ByteTokenizer(), "deep", folder.resolve("src"));
        assertThat(texts("deep")).containsExactly("class A");
        assertThatThrownBy(() -> new TextOptions(Optional.empty(), "text", Optional.of("[")))
                .isInstanceOf(DataException.class);
    }

    private List<Path> corpus() throws IOException {
        Random random = new Random(5);
        List<Path> files = new ArrayList<>();
        for (int f = 0; f < 3; f++) {
            String[] texts = new String[400];
            for (int i = 0; i < texts.length; i++) {
                texts[i] = "w" + random.nextInt(10) + " ".repeat(random.nextInt(2000)) + f + "." + i;
            }
            files.add(write("c" + f + ".jsonl", json(texts)));
        }
        return files;
    }

    @Test
    void theFilesDoNotDependOnThreads() throws IOException {
        Path[] corpus = corpus().toArray(Path[]::new);
        for (int threads : new int[] {1, 2, 5}) {
            prepare(plain(threads), new ByteTokenizer(), "t" + threads, corpus);
        }
        for (String end : List.of(".bin", ".idx")) {
            assertThat(bytes("t2" + end)).isEqualTo(bytes("t1" + end));
            assertThat(bytes("t5" + end)).isEqualTo(bytes("t1" + end));
        }
        // The same bytes as the writer for whoever has all tokens at hand.
        try (TokenFileWriter writer =
                TokenFileWriter.create(folder.resolve("out/plain"), 257)) {
            for (String text : texts("t1")) {
                int[] ids = new ByteTokenizer().encode(text);
                writer.addDocument(Arrays.copyOf(ids, ids.length + 1), ids.length + 1);
            }
            writer.finish();
        }
        assertThat(bytes("t1.idx")).isEqualTo(bytes("plain.idx"));
        assertThat(bytes("t1.bin")).isEqualTo(bytes("plain.bin"));
    }

    /** Fails as a full disk or a killed process would, after some documents. */
    private static final class Failing extends ByteTokenizer {
        final AtomicLong left;
        final AtomicLong done = new AtomicLong();

        Failing(long documents) {
            left = new AtomicLong(documents);
        }

        @Override
        public int[] encode(String text) {
            if (left.getAndDecrement() <= 0) {
                throw new DataException("planned failure");
            }
            done.incrementAndGet();
            return super.encode(text);
        }
    }

    @Test
    void whatWasInterruptedGoesOnAndEndsAlike() throws IOException {
        Path[] corpus = corpus().toArray(Path[]::new);
        prepare(plain(2), new ByteTokenizer(), "whole", corpus);
        Path partial = folder.resolve("out/again.partial");
        long[] stops = {350, 300, 300};
        for (long stop : stops) {
            assertThatThrownBy(() -> prepare(plain(1), new Failing(stop), "again", corpus))
                    .hasMessage("planned failure");
            assertThat(folder.resolve("out/again.idx")).doesNotExist();
            assertThat(folder.resolve("out/again.bin")).doesNotExist();
            // What a killed process wrote after its last journal does not count.
            Files.write(partial.resolve("tokens"), new byte[777], StandardOpenOption.APPEND);
            Files.write(partial.resolve("sizes"), new byte[31], StandardOpenOption.APPEND);
        }
        Failing last = new Failing(Long.MAX_VALUE);
        Summary summary = prepare(plain(3), last, "again", corpus);
        assertThat(summary.continuedAt()).isPositive();
        assertThat(last.done.get()).isEqualTo(1200 - summary.continuedAt());
        assertThat(summary.documents()).isEqualTo(1200);
        assertThat(bytes("again.bin")).isEqualTo(bytes("whole.bin"));
        assertThat(bytes("again.idx")).isEqualTo(bytes("whole.idx"));
        assertThat(partial).doesNotExist();
    }

    @Test
    void tokensThatNobodyKnowsAreNotReplaced() throws IOException {
        Path[] corpus = corpus().toArray(Path[]::new);
        Files.createDirectories(folder.resolve("out"));
        Files.writeString(folder.resolve("out/mine.bin"), "precious");
        assertThatThrownBy(() -> prepare(plain(1), new ByteTokenizer(), "mine", corpus))
                .isInstanceOf(DataException.class)
                .hasMessageContainingAll("mine.bin", "exists already, without its index");
        assertThat(folder.resolve("out/mine.partial")).doesNotExist();
        assertThatThrownBy(() -> prepare(plain(1), new Failing(700), "begun", corpus))
                .hasMessage("planned failure");
        Files.writeString(folder.resolve("out/begun.bin"), "precious");
        Options anew = new Options(TextOptions.PLAIN, true, 1, true);
        for (Options options : List.of(plain(1), anew)) {
            assertThatThrownBy(() -> prepare(options, new ByteTokenizer(), "begun", corpus))
                    .hasMessageContaining("begun.bin: exists already");
        }
        for (String name : List.of("mine.bin", "begun.bin")) {
            assertThat(folder.resolve("out").resolve(name)).hasContent("precious");
        }
        Files.delete(folder.resolve("out/begun.bin"));
        assertThat(prepare(plain(1), new ByteTokenizer(), "begun", corpus).continuedAt())
                .isPositive();
    }

    @Test
    void usedUpInputMustNotChangeAndLaterInputMay() throws IOException {
        List<Path> corpus = corpus();
        Path[] inputs = corpus.toArray(Path[]::new);
        assertThatThrownBy(() -> prepare(plain(1), new Failing(700), "p", inputs))
                .hasMessage("planned failure");
        String second = Files.readString(corpus.get(1));
        Files.writeString(corpus.get(1), "{\"text\": \"other\"}\n" + second);
        assertThatThrownBy(() -> prepare(plain(1), new ByteTokenizer(), "p", inputs))
                .isInstanceOf(DataException.class)
                .hasMessageContainingAll("c1.jsonl", "has changed", "--restart");
        Files.writeString(corpus.get(1), second);
        String first = Files.readString(corpus.get(0));
        Files.writeString(corpus.get(0), first + "{\"text\": \"other\"}\n");
        assertThatThrownBy(() -> prepare(plain(1), new ByteTokenizer(), "p", inputs))
                .hasMessageContainingAll("c0.jsonl", "has changed");
        assertThatThrownBy(() -> prepare(new Options(TextOptions.PLAIN, false, 1, false),
                        new ByteTokenizer(), "p", inputs))
                .hasMessageContainingAll("other options", "append-eod false");
        Files.writeString(corpus.get(2), "{\"text\": \"last\"}\n");
        Options anew = new Options(TextOptions.PLAIN, true, 1, true);
        assertThat(prepare(anew, new ByteTokenizer(), "p", inputs).continuedAt()).isZero();
        assertThat(texts("p")).hasSize(802).endsWith("last");
        assertThatThrownBy(() -> prepare(anew, new ByteTokenizer(), "p", inputs))
                .hasMessageContaining("exists already");
    }

    @Test
    void aBrokenLineIsMendedAndThePreparationGoesOn() throws IOException {
        Path good = write("a.jsonl", json("one", "two".repeat(200_000)));
        Path bad = write("b.jsonl", json("three") + "{\"text\": 5}\n" + json("four"));
        assertThatThrownBy(() -> prepare(plain(1), new ByteTokenizer(), "m", good, bad))
                .hasMessageContainingAll("b.jsonl: line 2", "no text in the field 'text'");
        write("b.jsonl", json("three") + json("mended") + json("four"));
        Summary summary = prepare(plain(1), new ByteTokenizer(), "m", good, bad);
        assertThat(summary.continuedAt()).isPositive();
        assertThat(texts("m")).endsWith("three", "mended", "four").hasSize(5);
    }

    @Test
    void ofSeveralFaultsTheFirstIsReported() throws IOException {
        StringBuilder lines = new StringBuilder();
        for (int i = 1; i <= 3000; i++) {
            lines.append(i == 1234 || i > 1500 ? "broken\n" : json("x".repeat(i)));
        }
        Path file = write("many.jsonl", lines.toString());
        for (int threads = 1; threads < 5; threads++) {
            int n = threads;
            assertThatThrownBy(() -> prepare(plain(n), new ByteTokenizer(), "f" + n, file))
                    .hasMessageContaining("line 1234,");
        }
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "'{\"text\": \"a\"'|line 2, column",
        "'[1]'|line 2, column 1",
        "'{\"text\": \"a\"} x'|line 2, column",
        "'{\"other\": \"a\"}'|no text in the field 'text'; --field",
        "'{\"text\": null}'|no text in the field",
        "'{\"text\": \"\\ud800 alone\"}'|surrogate",
        "'\"text\"'|line 2, column",
    })
    void aLineThatIsNoDocumentIsNamed(String line, String message) throws IOException {
        Path file = write("bad.jsonl", json("fine") + line + "\n");
        assertThatThrownBy(() -> prepare(plain(1), new ByteTokenizer(), "b", file))
                .isInstanceOf(DataException.class)
                .hasMessageContainingAll("bad.jsonl: line 2", message)
                .message().doesNotContain("\n");
        assertThat(folder.resolve("out/b.partial")).doesNotExist();
    }

    @Test
    void aJsonLineThatIsNotUtf8IsNamed() throws IOException {
        Path file = folder.resolve("bad.jsonl");
        Files.write(file, new byte[] {'{', '}', '\n', '{', '"', (byte) 0xc3, '"'});
        assertThatThrownBy(() -> prepare(plain(1), new ByteTokenizer(), "b", file))
                .hasMessageContaining("bad.jsonl: line 1: has no text");
        Files.write(file, new byte[] {'\n', '{', '"', (byte) 0xc3, '"'});
        assertThatThrownBy(() -> prepare(plain(1), new ByteTokenizer(), "b", file))
                .hasMessageContaining("bad.jsonl: line 2, column 3: is not UTF-8");
    }

    @ParameterizedTest
    @ValueSource(strings = {"cut.jsonl.gz", "cut.jsonl.zst"})
    void aCutOffFileIsNamed(String name) throws IOException {
        String[] texts = new String[500];
        Random random = new Random(9);
        Arrays.setAll(texts, i -> Long.toHexString(random.nextLong()).repeat(9));
        Path whole = write(name, json(texts));
        byte[] all = Files.readAllBytes(whole);
        for (int length : new int[] {0, 3, all.length / 2, all.length - 1}) {
            Files.write(whole, Arrays.copyOf(all, length));
            assertThatThrownBy(() -> prepare(plain(2), new ByteTokenizer(), "c" + length, whole))
                    .as("%d of %d bytes", length, all.length)
                    .isInstanceOf(DataException.class)
                    .hasMessageContaining(name);
        }
        byte[] damaged = all.clone();
        damaged[all.length / 3] ^= 0x55;
        Files.write(whole, damaged);
        assertThatThrownBy(() -> prepare(plain(2), new ByteTokenizer(), "d", whole))
                .isInstanceOf(DataException.class)
                .hasMessageContaining(name);
    }

    @Test
    void compressedFilesAfterEachOtherAreOneAndDamageBetweenThemIsNamed() throws IOException {
        byte[] one = Files.readAllBytes(write("one.jsonl.gz", json("one")));
        byte[] two = Files.readAllBytes(write("two.jsonl.gz", json("two")));
        byte[] both = Arrays.copyOf(one, one.length + two.length);
        System.arraycopy(two, 0, both, one.length, two.length);
        Path file = folder.resolve("both.jsonl.gz");
        Files.write(file, both);
        prepare(plain(1), new ByteTokenizer(), "both", file);
        assertThat(texts("both")).containsExactly("one", "two");
        both[one.length] ^= 1;
        Files.write(file, both);
        assertThatThrownBy(() -> prepare(plain(1), new ByteTokenizer(), "damaged", file))
                .isInstanceOf(DataException.class)
                .hasMessageContaining("both.jsonl.gz");
    }

    @Test
    void aJournalThatIsNoneIsNamedWithTheWayOut() throws IOException {
        PrepareJournal.Key key = new PrepareJournal.Key(List.of(), List.of("a"));
        Path prefix = folder.resolve("out/journal");
        Path journal = folder.resolve("out/journal.partial/journal");
        Files.createDirectories(journal.getParent());
        for (String text : List.of("null", "{}", "{\"complete\": 1")) {
            Files.writeString(journal, text);
            assertThatThrownBy(() ->
                            PartialTokenFile.open(prefix, TokenDtype.UINT16, key, false))
                    .as(text).isInstanceOf(DataException.class)
                    .hasMessageContainingAll("is no journal", "--restart");
        }
    }

    @Test
    void anArchiveThatIsNoneIsNamed() throws IOException {
        Path zip = folder.resolve("no.zip");
        Files.writeString(zip, "no archive");
        assertThatThrownBy(() -> prepare(plain(1), new ByteTokenizer(), "z", zip))
                .isInstanceOf(DataException.class)
                .hasMessageContaining("no.zip");
    }

    @Test
    void aSecondProcessIsRefused() {
        PrepareJournal.Key key = new PrepareJournal.Key(List.of(), List.of());
        Path prefix = folder.resolve("out/locked");
        try (PartialTokenFile one =
                PartialTokenFile.open(prefix, TokenDtype.UINT16, key, false)) {
            one.add(new int[] {1});
            assertThatThrownBy(() ->
                            PartialTokenFile.open(prefix, TokenDtype.UINT16, key, false))
                    .isInstanceOf(DataException.class)
                    .hasMessageContaining("another process");
        }
    }
}
