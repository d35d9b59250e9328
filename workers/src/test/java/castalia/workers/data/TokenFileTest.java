package castalia.workers.data;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatCode;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

class TokenFileTest {
    private static final int N = 40;
    private static final int POINTERS = 34 + 4 * N;
    private static final int DOCUMENTS = 34 + 12 * N;

    @TempDir Path folder;
    private Path prefix;

    static Stream<Fixtures.Case> cases() {
        return Fixtures.Case.all();
    }

    @BeforeEach
    void copyAFixture() throws IOException {
        prefix = folder.resolve("copy");
        Files.copy(Fixtures.file("multi_epoch.idx"), TokenFile.indexPath(prefix));
        Files.copy(Fixtures.file("multi_epoch.bin"), TokenFile.binPath(prefix));
    }

    private void edit(String extension, int at, int bytes, long value) throws IOException {
        Path path = folder.resolve("copy" + extension);
        byte[] content = Files.readAllBytes(path);
        ByteBuffer of = ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN);
        switch (bytes) {
            case 1 -> of.put(at, (byte) value);
            case 4 -> of.putInt(at, (int) value);
            case 8 -> of.putLong(at, value);
            default -> throw new AssertionError(bytes);
        }
        Files.write(path, content);
    }

    private void refused(String file, String... words) {
        assertThatThrownBy(() -> TokenFile.open(prefix).close())
                .isInstanceOf(DataException.class)
                .hasMessageContaining(folder.resolve(file).toString())
                .hasMessageContainingAll(words)
                .message()
                .doesNotContain("\n");
    }

    @ParameterizedTest
    @MethodSource("cases")
    void aFixtureReadsBackItsSizesAndHashes(Fixtures.Case c) {
        try (TokenFile file = TokenFile.open(Fixtures.prefix(c.name()))) {
            int[] sizes = c.ints("sizes");
            assertThat(file.dtype()).isEqualTo(TokenDtype.UINT16);
            assertThat(file.sequences()).isEqualTo(sizes.length);
            assertThat(file.documentIndexLength()).isEqualTo(sizes.length + 1);
            long tokens = 0;
            for (int i = 0; i < sizes.length; i++) {
                assertThat(file.size(i)).isEqualTo(sizes[i]);
                assertThat(file.pointer(i)).isEqualTo(2 * tokens);
                tokens += sizes[i];
            }
            assertThat(file.tokens()).isEqualTo(tokens);
            assertThat(file.digest())
                    .isEqualTo(new DataDigest(c.name(), tokens, sizes.length, TokenDtype.UINT16,
                            c.text("sha256_idx"), c.text("sha256_bin")));
            assertThat(file.digest().lines())
                    .contains("data.tokens=" + tokens, "data.dtype=UINT16");
        }
    }

    @ParameterizedTest
    @EnumSource(TokenDtype.class)
    void everyTypeReadsItsTokens(TokenDtype dtype) throws IOException {
        int[] tokens = {1, 0, 100, 127};
        ByteBuffer bin =
                ByteBuffer.allocate(tokens.length * dtype.bytes()).order(ByteOrder.LITTLE_ENDIAN);
        for (int token : tokens) {
            switch (dtype) {
                case UINT8, INT8 -> bin.put((byte) token);
                case INT16, UINT16 -> bin.putShort((short) token);
                case INT32 -> bin.putInt(token);
                case INT64 -> bin.putLong(token);
                case FLOAT32 -> bin.putFloat(token);
                case FLOAT64 -> bin.putDouble(token);
            }
        }
        write(dtype, bin.array(), 3, 1);
        try (TokenFile file = TokenFile.open(prefix)) {
            assertThat(file.dtype()).isEqualTo(dtype);
            assertThat(new int[] {
                        file.token(0, 0), file.token(0, 1), file.token(0, 2), file.token(1, 0)
                    })
                    .isEqualTo(tokens);
        }
    }

    @ParameterizedTest
    @CsvSource({
        "UINT8, 1, ff, 255",
        "INT8, 1, ff, -1",
        "INT16, 2, ffff, -1",
        "UINT16, 2, ffff, 65535",
        "INT32, 4, ffffffff, -1",
    })
    void signsFollowTheType(TokenDtype dtype, int bytes, String bits, int expected)
            throws IOException {
        ByteBuffer one = ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN)
                .putLong(0, Long.parseUnsignedLong(bits, 16));
        write(dtype, java.util.Arrays.copyOf(one.array(), bytes), 1);
        try (TokenFile file = TokenFile.open(prefix)) {
            assertThat(file.token(0, 0)).isEqualTo(expected);
        }
    }

    @Test
    void aValueThatIsNoIntIsRefusedWithItsPlace() throws IOException {
        byte[] bin = ByteBuffer.allocate(24).order(ByteOrder.LITTLE_ENDIAN)
                .putDouble(7).putDouble(2.5).putDouble(3e9).array();
        write(TokenDtype.FLOAT64, bin, 1, 2);
        try (TokenFile file = TokenFile.open(prefix)) {
            assertThat(file.token(0, 0)).isEqualTo(7);
            assertThatThrownBy(() -> file.token(1, 0))
                    .isInstanceOf(DataException.class)
                    .hasMessageContainingAll("copy.bin", "byte 8", "sequence 1", "2.5");
            assertThatThrownBy(() -> file.token(1, 1)).hasMessageContaining("3.0E9");
        }
        write(TokenDtype.INT64, ByteBuffer.allocate(8).order(ByteOrder.LITTLE_ENDIAN)
                .putLong(1L << 31).array(), 1);
        try (TokenFile file = TokenFile.open(prefix)) {
            assertThatThrownBy(() -> file.token(0, 0)).hasMessageContaining("2147483648");
        }
    }

    private void write(TokenDtype dtype, byte[] bin, int... sizes) throws IOException {
        Files.write(TokenFile.binPath(prefix), bin);
        Files.write(TokenFile.indexPath(prefix), index(dtype, sizes));
    }

    private static byte[] index(TokenDtype dtype, int... sizes) {
        ByteBuffer index = ByteBuffer.allocate(34 + 20 * sizes.length + 8)
                .order(ByteOrder.LITTLE_ENDIAN);
        index.put(TokenIndex.MAGIC).putLong(1).put((byte) dtype.code());
        index.putLong(sizes.length).putLong(sizes.length + 1);
        for (int size : sizes) {
            index.putInt(size);
        }
        long pointer = 0;
        for (int size : sizes) {
            index.putLong(pointer);
            pointer += (long) size * dtype.bytes();
        }
        for (int i = 0; i <= sizes.length; i++) {
            index.putLong(i);
        }
        return index.array();
    }

    @Test
    void tokensBeyondTwoGigabytesAreRead() throws IOException {
        int half = 800_000_000;
        write(TokenDtype.UINT16, new byte[0], half, half);
        try (RandomAccessFile sparse =
                new RandomAccessFile(TokenFile.binPath(prefix).toFile(), "rw")) {
            sparse.setLength(4L * half);
            sparse.seek(4L * half - 2);
            sparse.write(new byte[] {0x34, 0x12});
        }
        try (TokenFile file = TokenFile.open(prefix)) {
            assertThat(file.tokens()).isEqualTo(2L * half);
            assertThat(file.token(1, half - 1)).isEqualTo(0x1234);
            assertThat(file.token(1, half - 2)).isZero();
        }
    }

    @Test
    void aMissingFileIsNamed() throws IOException {
        Files.delete(folder.resolve("copy.bin"));
        refused("copy.bin", "no such file");
        Files.delete(folder.resolve("copy.idx"));
        refused("copy.idx", "no such file", "data prepare");
    }

    @Test
    void aTruncatedIndexIsRefusedAtEveryLength() throws IOException {
        byte[] whole = Files.readAllBytes(folder.resolve("copy.idx"));
        for (int length = 0; length < whole.length; length++) {
            Files.write(folder.resolve("copy.idx"), java.util.Arrays.copyOf(whole, length));
            refused("copy.idx", "" + length);
        }
        Files.write(folder.resolve("copy.idx"), java.util.Arrays.copyOf(whole, whole.length + 1));
        refused("copy.idx", "truncated or corrupt");
    }

    @Test
    void aTruncatedOrForeignTokenFileIsRefused() throws IOException {
        byte[] whole = Files.readAllBytes(folder.resolve("copy.bin"));
        Files.write(folder.resolve("copy.bin"),
                java.util.Arrays.copyOf(whole, whole.length - 2));
        refused("copy.bin", "2854 bytes", "2856", "copy.idx");
        Files.write(folder.resolve("copy.bin"), new byte[0]);
        refused("copy.bin", "0 bytes");
        Files.copy(Fixtures.file("single_epoch.bin"), folder.resolve("copy.bin"),
                java.nio.file.StandardCopyOption.REPLACE_EXISTING);
        refused("copy.bin", "2786 bytes");
    }

    @ParameterizedTest(name = "{4}")
    @CsvSource({
        "0, 1, 78, MMIDIDX, no magic",
        "9, 8, 2, version 2, a later version",
        "17, 1, 0, type code 0, no type",
        "17, 1, 9, type code 9, an unknown type",
        "18, 8, 0, no sequences, nothing",
        "18, 8, -1, 18446744073709551615, a negative count",
        "18, 8, 4611686018427387904, 4611686018427387904, a count that overflows",
        "18, 8, 39, 39 sequences, a smaller count",
        "26, 8, 0, 0 document, no documents",
        "26, 8, 1152921504606846976, 1152921504606846976, documents that overflow",
        "34, 4, 0, sequence 1 has offset, an empty sequence where there was none",
        "38, 4, -5, sequence 1 has size -5, a negative size",
        "38, 4, 27, sequence 2 has offset, a size that moves the next",
        "194, 8, -8, sequence 0 has offset -8, a negative offset",
        "202, 8, 1099511627776, sequence 1 has offset 1099511627776, an offset outside",
        "514, 8, 3, document entry 0 is 3, a document index that starts late",
        "522, 8, 41, document entry 1 is 41, a document outside",
        "522, 8, -1, document entry 1 is -1, a negative document",
        "834, 8, 39, ends at sequence 39, a document index that ends early",
    })
    void aCorruptIndexIsRefused(int at, int bytes, long value, String words, String name)
            throws IOException {
        assertThat(POINTERS).isEqualTo(194);
        assertThat(DOCUMENTS).isEqualTo(514);
        edit(".idx", at, bytes, value);
        refused("copy.idx", words, "data prepare");
    }

    @Test
    void theOlderFormatIsNamed() throws IOException {
        Files.write(folder.resolve("copy.idx"), "TNTIDX\0\0 and more than the header needs".getBytes(
                java.nio.charset.StandardCharsets.US_ASCII));
        refused("copy.idx", "TNTIDX");
    }

    @Test
    void aMergedFileWithoutDocumentsIsAccepted() throws IOException {
        byte[] whole = Files.readAllBytes(folder.resolve("copy.idx"));
        Files.write(folder.resolve("copy.idx"),
                java.util.Arrays.copyOf(whole, DOCUMENTS + 8));
        edit(".idx", 26, 8, 1);
        try (TokenFile file = TokenFile.open(prefix)) {
            assertThat(file.documentIndexLength()).isEqualTo(1);
        }
    }

    @Test
    void randomDamageNeverEndsInAnythingButAReadableFileOrARefusal() throws IOException {
        byte[] whole = Files.readAllBytes(folder.resolve("copy.idx"));
        Random random = new Random(5);
        for (int i = 0; i < 2000; i++) {
            byte[] damaged = whole.clone();
            for (int k = random.nextInt(4); k >= 0; k--) {
                damaged[random.nextInt(k == 0 ? 34 : whole.length)] = (byte) random.nextInt();
            }
            Files.write(folder.resolve("copy.idx"), damaged);
            assertThatCode(() -> {
                try (TokenFile file = TokenFile.open(prefix)) {
                    for (long s = 0; s < file.sequences(); s++) {
                        file.token(s, file.size(s) - 1);
                    }
                } catch (DataException e) {
                    assertThat(e).hasMessageContaining("copy.");
                }
            }).doesNotThrowAnyException();
        }
    }

    @Test
    void readsOutsideASequenceAreRefused() {
        try (TokenFile file = TokenFile.open(prefix)) {
            assertThatThrownBy(() -> file.token(0, 24))
                    .isInstanceOf(IndexOutOfBoundsException.class);
            assertThatThrownBy(() -> file.size(N)).isInstanceOf(IndexOutOfBoundsException.class);
        }
    }
}
