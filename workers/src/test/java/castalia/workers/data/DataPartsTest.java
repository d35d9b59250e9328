package castalia.workers.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class DataPartsTest {
    @TempDir Path folder;
    private Path prefix;
    private Fixtures.Case fixture;

    @BeforeEach
    void copyAFixture() throws IOException {
        fixture = Fixtures.Case.named("single_epoch");
        prefix = folder.resolve("pile_document");
        Files.copy(Fixtures.file("single_epoch.idx"), TokenFile.indexPath(prefix));
        Files.copy(Fixtures.file("single_epoch.bin"), TokenFile.binPath(prefix));
    }

    private List<String> names() throws IOException {
        try (Stream<Path> all = Files.list(folder)) {
            return all.map(file -> file.getFileName().toString()).sorted().toList();
        }
    }

    /** Parts of odd sizes cut tokens in two. */
    @ParameterizedTest
    @ValueSource(longs = {61, 1000, 2785, 2786, 5_000_000})
    void partsReadAsTheWholeFile(long bytes) throws IOException {
        DataParts.Sums sums = DataParts.shard(prefix, prefix, bytes, DataProgress.none());
        long count = (2786 + bytes - 1) / bytes;
        assertThat(sums.parts()).hasSize((int) count);
        assertThat(sums.sha256()).isEqualTo(fixture.text("sha256_bin"));
        assertThat(names()).hasSize((int) count + 2).contains(
                String.format("pile_document-00000-of-%05d.bin", count - 1));
        int[][] whole = items();
        Files.delete(TokenFile.binPath(prefix));
        assertThat(items()).isEqualTo(whole);
        try (TokenFile file = TokenFile.open(prefix)) {
            assertThat(file.digest().binSha256()).isEqualTo(fixture.text("sha256_bin"));
            assertThat(file.describe(3, 2)).contains("-of-", "sequence 3, position 2");
        }
        assertThat(DataParts.checksum(prefix, DataProgress.none())).isEqualTo(sums);
        DataParts.Sums joined =
                DataParts.unshard(prefix, folder.resolve("joined"), DataProgress.none());
        assertThat(joined).isEqualTo(sums);
        assertThat(Files.readAllBytes(folder.resolve("joined.bin")))
                .isEqualTo(Files.readAllBytes(Fixtures.file("single_epoch.bin")));
        DataParts.shard(folder.resolve("joined"), folder.resolve("new/cut"), 1000,
                DataProgress.none());
        try (TokenFile file = TokenFile.open(folder.resolve("new/cut"))) {
            assertThat(file.digest().idxSha256()).isEqualTo(fixture.text("sha256_idx"));
            assertThat(file.digest().binSha256()).isEqualTo(fixture.text("sha256_bin"));
        }
    }

    private int[][] items() {
        try (TokenFile file = TokenFile.open(prefix)) {
            SampleReader reader = new SampleReader(
                    file, SampleOrder.build(file, fixture.request()));
            int[][] items = new int[(int) reader.length()][];
            for (int i = 0; i < items.length; i++) {
                items[i] = reader.item(i);
            }
            return items;
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 3, 5, 8})
    void aTokenOfEightBytesAcrossSeveralPartsIsRead(int bytes) throws IOException {
        ByteBuffer bin = ByteBuffer.allocate(24).order(ByteOrder.LITTLE_ENDIAN)
                .putLong(7).putLong(-3).putLong(1L << 40);
        Path wide = folder.resolve("wide");
        ByteBuffer index = ByteBuffer.allocate(34 + 12 + 16).order(ByteOrder.LITTLE_ENDIAN);
        index.put(TokenIndex.MAGIC).putLong(1).put((byte) TokenDtype.INT64.code());
        index.putLong(1).putLong(2).putInt(3).putLong(0).putLong(0).putLong(1);
        Files.write(TokenFile.indexPath(wide), index.array());
        Files.write(TokenFile.binPath(wide), bin.array());
        DataParts.shard(wide, wide, bytes, DataProgress.none());
        Files.delete(TokenFile.binPath(wide));
        try (TokenFile file = TokenFile.open(wide)) {
            assertThat(file.token(0, 0)).isEqualTo(7);
            assertThat(file.token(0, 1)).isEqualTo(-3);
            assertThatThrownBy(() -> file.token(0, 2))
                    .isInstanceOf(DataException.class)
                    .hasMessageContaining("1099511627776")
                    .hasMessageContaining(String.format("wide-%05d-of-%05d.bin: byte %d",
                            16 / bytes, 23 / bytes, 16 % bytes));
        }
    }

    @Test
    void tokensBeyondTwoGigabytesAreReadFromParts() throws IOException {
        int half = 1_500_000_001;
        Path large = folder.resolve("large");
        ByteBuffer index = ByteBuffer.allocate(34 + 24 + 24).order(ByteOrder.LITTLE_ENDIAN);
        index.put(TokenIndex.MAGIC).putLong(1).put((byte) TokenDtype.UINT16.code());
        index.putLong(2).putLong(3).putInt(half).putInt(half).putLong(0).putLong(2L * half);
        index.putLong(0).putLong(1).putLong(2);
        Files.write(TokenFile.indexPath(large), index.array());
        // The second part starts in the middle of the second sequence's token 999,999,999.
        long first = 2L * half + 1_999_999_999L;
        sparse(folder.resolve("large-00000-of-00001.bin"), first, first - 1, 0x34);
        sparse(folder.resolve("large-00001-of-00001.bin"), 4L * half - first, 0, 0x12);
        try (TokenFile file = TokenFile.open(large)) {
            assertThat(file.tokens()).isEqualTo(2L * half);
            assertThat(file.token(1, 999_999_999)).isEqualTo(0x1234);
            assertThat(file.token(1, 999_999_998)).isZero();
            assertThat(file.token(1, half - 1)).isZero();
        }
    }

    private static void sparse(Path path, long bytes, long at, int value) throws IOException {
        try (RandomAccessFile file = new RandomAccessFile(path.toFile(), "rw")) {
            file.setLength(bytes);
            file.seek(at);
            file.write(value);
        }
    }

    @Test
    void aMissingOrForeignPartIsNamed() throws IOException {
        DataParts.shard(prefix, prefix, 1000, DataProgress.none());
        Files.delete(TokenFile.binPath(prefix));
        Path middle = folder.resolve("pile_document-00001-of-00002.bin");
        byte[] bytes = Files.readAllBytes(middle);
        Files.write(middle, java.util.Arrays.copyOf(bytes, 998));
        assertThatThrownBy(() -> TokenFile.open(prefix).close())
                .isInstanceOf(DataException.class)
                .hasMessageContaining("3 parts")
                .hasMessageContaining("2784 bytes");
        Files.delete(middle);
        assertThatThrownBy(() -> TokenFile.open(prefix).close())
                .isInstanceOf(DataException.class)
                .hasMessageContaining(middle + ": this part is missing");
        Files.write(middle, bytes);
        Files.write(folder.resolve("pile_document-00000-of-00007.bin"), bytes);
        assertThatThrownBy(() -> TokenFile.open(prefix).close())
                .isInstanceOf(DataException.class)
                .hasMessageContaining("remove those that do not belong together");
    }

    @Test
    void nothingIsOverwrittenAndNothingHalfIsLeft() throws IOException {
        DataParts.shard(prefix, prefix, 1000, DataProgress.none());
        List<String> before = names();
        assertThatThrownBy(() -> DataParts.shard(prefix, prefix, 500, DataProgress.none()))
                .isInstanceOf(DataException.class).hasMessageContaining("exists already");
        assertThatThrownBy(() -> DataParts.unshard(prefix, prefix, DataProgress.none()))
                .isInstanceOf(DataException.class).hasMessageContaining("exists already");
        assertThatThrownBy(() -> DataParts.unshard(prefix, folder.resolve("new"),
                        (done, total) -> stopHalfway(done, total)))
                .isInstanceOf(IllegalStateException.class);
        assertThatThrownBy(() -> DataParts.shard(prefix, folder.resolve("more"), 100,
                        (done, total) -> stopHalfway(done, total)))
                .isInstanceOf(IllegalStateException.class);
        assertThat(names()).isEqualTo(before);
        assertThatThrownBy(() -> DataParts.unshard(
                        folder.resolve("none"), folder.resolve("x"), DataProgress.none()))
                .isInstanceOf(DataException.class).hasMessageContaining("there are no parts");
        assertThatThrownBy(() -> DataParts.checksum(folder.resolve("none"), DataProgress.none()))
                .isInstanceOf(DataException.class).hasMessageContaining("none.bin");
    }

    private static void stopHalfway(long done, long total) {
        if (2 * done > total) {
            throw new IllegalStateException("stopped");
        }
    }

    @Test
    void aPreshuffledFileIsReadInItsOwnOrder() {
        Path rows = folder.resolve("rows");
        try (TokenFileWriter writer = TokenFileWriter.create(rows, 1000)) {
            for (int i = 0; i < 20; i++) {
                writer.addDocument(new int[] {i, i + 1, i + 2, i + 3, i + 4}, 5);
            }
            writer.finish();
        }
        try (TokenFile file = TokenFile.open(rows)) {
            ShuffledSamples samples = new ShuffledSamples(file, 4);
            assertThat(samples.length()).isEqualTo(20);
            assertThat(samples.item(7)).isEqualTo(new int[] {7, 8, 9, 10, 11});
            assertThat(samples.pieces(7))
                    .containsExactly(new Samples.Piece(rows.toString(), 7, 0, 5));
            assertThat(samples.description()).contains("order=preshuffled", "order.sequence=4");
            TokenBatches batches = new TokenBatches(samples, new BatchShape(4, 2, 1, 4), 1000);
            assertThat(BatchesTest.rows(batches, 2, 1, 1).getFirst())
                    .isEqualTo(new int[] {11, 12, 13, 14, 15});
            assertThatThrownBy(() -> samples.item(20))
                    .isInstanceOf(DataException.class).hasMessageContaining("holds 20");
            assertThatThrownBy(() -> new ShuffledSamples(file, 5))
                    .isInstanceOf(DataException.class)
                    .hasMessageContainingAll("sequence 0", "5 tokens", "6");
        }
    }
}
