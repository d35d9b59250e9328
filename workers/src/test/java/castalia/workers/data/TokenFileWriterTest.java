package castalia.workers.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class TokenFileWriterTest {
    @TempDir Path folder;

    static Stream<Fixtures.Case> cases() {
        return Fixtures.Case.all();
    }

    private List<String> names() throws IOException {
        try (Stream<Path> files = Files.list(folder)) {
            return files.map(path -> path.getFileName().toString()).sorted().toList();
        }
    }

    @ParameterizedTest
    @MethodSource("cases")
    void theFilesOfGptNeoxAreWrittenByteForByte(Fixtures.Case c) throws IOException {
        Path copy = folder.resolve("below/copy");
        try (TokenFile file = TokenFile.open(Fixtures.prefix(c.name()));
                TokenFileWriter writer = TokenFileWriter.create(copy, 50_304)) {
            for (long s = 0; s < file.sequences(); s++) {
                int[] tokens = new int[file.size(s) + 3];
                for (int i = 0; i < file.size(s); i++) {
                    tokens[i] = file.token(s, i);
                }
                writer.addDocument(tokens, file.size(s));
            }
            writer.finish();
            assertThat(writer.tokens()).isEqualTo(file.tokens());
        }
        assertThat(TokenFile.indexPath(copy))
                .hasSameBinaryContentAs(Fixtures.file(c.name() + ".idx"));
        assertThat(TokenFile.binPath(copy))
                .hasSameBinaryContentAs(Fixtures.file(c.name() + ".bin"));
    }

    @Test
    void largeVocabulariesAreWrittenAsInt32() {
        Path prefix = folder.resolve("wide");
        assertThat(TokenDtype.forVocabulary(65_499)).isEqualTo(TokenDtype.UINT16);
        try (TokenFileWriter writer = TokenFileWriter.create(prefix, 65_500)) {
            writer.addSequence(new int[] {65_499, 2}, 0, 2);
            writer.addSequence(new int[] {0, 3, 4}, 1, 2);
            writer.endDocument();
            writer.finish();
        }
        try (TokenFile file = TokenFile.open(prefix)) {
            assertThat(file.dtype()).isEqualTo(TokenDtype.INT32);
            assertThat(file.sequences()).isEqualTo(2);
            assertThat(file.documentIndexLength()).isEqualTo(2);
            assertThat(file.token(0, 0)).isEqualTo(65_499);
            assertThat(file.token(1, 0)).isEqualTo(3);
        }
    }

    @Test
    void manySequencesAndMoreThanABufferOfTokensAreWritten() {
        Path prefix = folder.resolve("many");
        try (TokenFileWriter writer = TokenFileWriter.create(prefix, 1000)) {
            int[] tokens = new int[300];
            for (int s = 0; s < 5000; s++) {
                java.util.Arrays.fill(tokens, s % 1000);
                writer.addDocument(tokens, s % 300 + 1);
            }
            writer.finish();
        }
        try (TokenFile file = TokenFile.open(prefix)) {
            for (int s = 0; s < 5000; s++) {
                assertThat(file.size(s)).isEqualTo(s % 300 + 1);
                assertThat(file.token(s, s % 300)).isEqualTo(s % 1000);
            }
        }
    }

    @Test
    void anUnfinishedWriterLeavesNothing() throws IOException {
        try (TokenFileWriter writer = TokenFileWriter.create(folder.resolve("half"), 100)) {
            writer.addDocument(new int[] {1, 2}, 2);
            assertThat(names()).hasSize(1).first().asString().startsWith("half.bin.partial");
        }
        assertThat(names()).isEmpty();
    }

    @Test
    void anIdOutsideTheVocabularyIsRefused() {
        try (TokenFileWriter writer = TokenFileWriter.create(folder.resolve("bad"), 100)) {
            assertThatThrownBy(() -> writer.addDocument(new int[] {1, 100}, 2))
                    .isInstanceOf(DataException.class)
                    .hasMessageContainingAll("bad", "100");
            assertThatThrownBy(() -> writer.addDocument(new int[] {-1}, 1))
                    .isInstanceOf(DataException.class);
        }
    }

    @Test
    void anExistingDataSetIsNotOverwritten() throws IOException {
        Files.createFile(folder.resolve("kept.idx"));
        assertThatThrownBy(() -> TokenFileWriter.create(folder.resolve("kept"), 10))
                .isInstanceOf(DataException.class)
                .hasMessageContainingAll("kept.idx", "exists already");
        assertThat(names()).containsExactly("kept.idx");
    }

    @Test
    void aFolderThatCannotBeMadeIsNamed() throws IOException {
        Files.createFile(folder.resolve("file"));
        assertThatThrownBy(() -> TokenFileWriter.create(folder.resolve("file/data"), 10))
                .isInstanceOf(DataException.class)
                .hasMessageContainingAll("file", "cannot be written");
    }

    @Test
    void nothingAtAllIsRefused() {
        try (TokenFileWriter writer = TokenFileWriter.create(folder.resolve("empty"), 10)) {
            assertThatThrownBy(writer::finish)
                    .isInstanceOf(DataException.class)
                    .hasMessageContaining("nothing to write");
        }
    }
}
