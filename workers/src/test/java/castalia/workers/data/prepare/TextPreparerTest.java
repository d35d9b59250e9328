package castalia.workers.data.prepare;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.workers.data.DataException;
import castalia.workers.data.TokenFile;
import castalia.workers.data.prepare.TextPreparer.Options;
import castalia.workers.data.prepare.TextPreparer.Summary;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class TextPreparerTest {
    @TempDir Path folder;

    private List<String> prepared(Options options, Path... inputs) {
        Path prefix = folder.resolve("out/data");
        Summary summary =
                TextPreparer.prepare(List.of(inputs), new ByteTokenizer(), options, prefix);
        List<String> texts = new ArrayList<>();
        try (TokenFile file = TokenFile.open(prefix)) {
            assertThat(summary.documents()).isEqualTo(file.sequences());
            assertThat(summary.tokens()).isEqualTo(file.tokens());
            for (long s = 0; s < file.sequences(); s++) {
                int[] ids = new int[file.size(s)];
                for (int i = 0; i < ids.length; i++) {
                    ids[i] = file.token(s, i);
                }
                assertThat(ids[ids.length - 1] == 0).isEqualTo(options.appendEndOfDocument());
                texts.add(new ByteTokenizer().decode(ids));
            }
        }
        return texts;
    }

    private Path text(String name, String content) throws IOException {
        Path path = folder.resolve(name);
        Files.createDirectories(path.getParent());
        return Files.writeString(path, content);
    }

    @Test
    void aFileIsOneDocumentWithoutASeparator() throws IOException {
        Path file = text("a.txt", "one\n%%\r\ntwo");
        assertThat(prepared(new Options(Optional.empty(), true), file))
                .containsExactly("one\n%%\r\ntwo");
    }

    @Test
    void separatorLinesCutDocumentsExactly() throws IOException {
        Path file = text("a.txt", "%%\none\n\n%%\n%%\r\n%%%\n %%\ntwo \r\n%%\nthree");
        assertThat(prepared(new Options(Optional.of("%%"), false), file))
                .containsExactly("one\n\n", "%%%\n %%\ntwo \r\n", "three");
    }

    @Test
    void aFolderIsReadInTheOrderOfItsPaths() throws IOException {
        text("in/b.txt", "b");
        text("in/a/z.txt", "z");
        text("in/B.txt", "B");
        text("in/a.txt", "a");
        text("in/c.md", "not text");
        Path extra = text("x.md", "given by name");
        assertThat(prepared(new Options(Optional.empty(), true), extra, folder.resolve("in")))
                .containsExactly("given by name", "B", "a", "z", "b");
    }

    @Test
    void documentsLongerThanTheReadBufferAndCutCharactersAreKept() throws IOException {
        String longText = "é日🙂".repeat(40_000) + "\n";
        Path file = text("a.txt", longText + "%%\n" + longText + longText);
        assertThat(prepared(new Options(Optional.of("%%"), true), file))
                .containsExactly(longText, longText + longText);
    }

    @Test
    void textThatIsNotUtf8IsRefusedWithItsPlaceAndLeavesNothing() throws IOException {
        Path file = folder.resolve("a.txt");
        Files.write(file, new byte[] {'a', '\n', '%', '%', '\n', 'b', (byte) 0xe9, 'c'});
        assertThatThrownBy(() -> prepared(new Options(Optional.of("%%"), true), file))
                .isInstanceOf(DataException.class)
                .hasMessageContainingAll("a.txt", "byte 6");
        try (Stream<Path> left = Files.list(folder.resolve("out"))) {
            assertThat(left).isEmpty();
        }
    }

    @Test
    void aCharacterCutOffAtTheEndIsRefused() throws IOException {
        Path file = folder.resolve("a.txt");
        Files.write(file, new byte[] {'a', (byte) 0xe6, (byte) 0x97});
        assertThatThrownBy(() -> prepared(new Options(Optional.empty(), true), file))
                .hasMessageContainingAll("a.txt", "byte 1");
    }

    @Test
    void missingAndEmptyInputsAreNamed() throws IOException {
        Options options = new Options(Optional.empty(), true);
        assertThatThrownBy(() -> prepared(options, folder.resolve("none")))
                .isInstanceOf(DataException.class)
                .hasMessageContaining("none");
        Path empty = Files.createDirectory(folder.resolve("empty"));
        assertThatThrownBy(() -> prepared(options, empty))
                .hasMessageContainingAll("empty", "no .txt or .jsonl file");
        Path blank = text("blank.txt", "");
        assertThatThrownBy(() -> prepared(options, blank)).hasMessageContaining("nothing to write");
        assertThatThrownBy(() -> new Options(Optional.of("a\nb"), true))
                .isInstanceOf(DataException.class);
    }
}
