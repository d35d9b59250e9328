package castalia.checkpoints;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import java.io.IOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ChunkStoreTest {

    @TempDir Path folder;

    @SuppressWarnings("MustBeClosedChecker") // Closed after each test.
    private final Arena arena = Arena.ofConfined();

    @AfterEach
    void closeArena() {
        arena.close();
    }

    private ChunkStore store() {
        return new ChunkStore(FileOperations.real(), folder);
    }

    private MemorySegment[] parts(int elements, long seed) {
        Random random = new Random(seed);
        MemorySegment[] parts = new MemorySegment[3];
        for (int i = 0; i < 3; i++) {
            parts[i] = arena.allocate(elements * 4L, 64);
            for (int k = 0; k < elements; k++) {
                parts[i].setAtIndex(ValueLayout.JAVA_INT, k, random.nextInt());
            }
        }
        return parts;
    }

    private MemorySegment[] read(String sha256, int elements) throws IOException {
        MemorySegment[] parts = parts(elements, 99);
        store().read(sha256, parts[0], parts[1], parts[2]);
        return parts;
    }

    private ChunkStore.Stored put(ChunkStore store, MemorySegment[] parts) throws IOException {
        return store.put(parts[0], parts[1], parts[2]);
    }

    /** Sizes below, at and above blocks and pieces. */
    @ParameterizedTest
    @ValueSource(ints = {16, 5456, 16384, 16400, 300_000, 1 << 20})
    void whatIsStoredIsReadBack(int elements) throws IOException {
        MemorySegment[] parts = parts(elements, elements);
        ChunkStore.Stored stored = put(store(), parts);
        Path file = store().path(stored.sha256());
        assertThat(file).hasSize(stored.bytes())
                .isEqualTo(folder.resolve(stored.sha256().substring(0, 2))
                        .resolve(stored.sha256() + ".chunk"));
        MemorySegment[] found = read(stored.sha256(), elements);
        for (int i = 0; i < 3; i++) {
            assertThat(found[i].mismatch(parts[i])).isEqualTo(-1);
        }
        assertThat(stored.reused()).isFalse();
        assertThat(put(store(), parts)).isEqualTo(
                new ChunkStore.Stored(stored.sha256(), stored.bytes(), true));
        assertThat(store().contains(stored.sha256(), elements)).isTrue();
        assertThat(store().contains(stored.sha256(), elements + 16)).isFalse();
    }

    @Test
    void theNameIsTheHashOfWeightsThenMoments() throws IOException {
        MemorySegment[] parts = parts(16, 1);
        byte[] payload = new byte[192];
        for (int i = 0; i < 3; i++) {
            MemorySegment.copy(parts[i], ValueLayout.JAVA_BYTE, 0, payload, i * 64, 64);
        }
        String sha256 = put(store(), parts).sha256();
        assertThat(sha256)
                .isEqualTo(HexFormat.of().formatHex(Hashing.sha256().digest(payload)));
        byte[] file = Files.readAllBytes(store().path(sha256));
        assertThat(Arrays.copyOfRange(file, file.length - 192, file.length)).isEqualTo(payload);
    }

    /** The sums were computed by another program. */
    @Test
    void theFormatDoesNotChange() throws IOException {
        MemorySegment zero = arena.allocate(64, 64);
        String sha256 = store().put(zero, zero, zero).sha256();
        byte[] file = Files.readAllBytes(store().path(sha256));
        assertThat(HexFormat.of().formatHex(file, 0, 64)).isEqualTo(
                "4341535443484e4b" + "01000000" + "10000000" + "00000100" + "01000000"
                        + "30783574" + "93607dea" + "00".repeat(32));
        assertThat(file).hasSize(64 + 192);
    }

    @Test
    void aDamagedFileIsReplacedWhenItsContentIsStoredAgain() throws IOException {
        MemorySegment[] parts = parts(16384, 3);
        String sha256 = put(store(), parts).sha256();
        Path file = store().path(sha256);
        byte[] whole = Files.readAllBytes(file);
        for (byte[] damaged : List.of(flipped(whole, 70_000), Arrays.copyOf(whole, 100),
                Arrays.copyOf(whole, whole.length + 1), flipped(whole, 3), new byte[0])) {
            Files.write(file, damaged);
            assertThat(put(store(), parts).reused()).isFalse();
            assertThat(file).hasBinaryContent(whole);
        }
    }

    private static byte[] flipped(byte[] bytes, int at) {
        byte[] damaged = bytes.clone();
        damaged[at] ^= 0x10;
        return damaged;
    }

    @Test
    void everyDamageIsDetectedAndNothingUnverifiedIsLeft() throws IOException {
        int elements = 16384;
        String sha256 = put(store(), parts(elements, 4)).sha256();
        Path file = store().path(sha256);
        byte[] whole = Files.readAllBytes(file);
        Random random = new Random(1);
        List<Integer> places = new ArrayList<>();
        for (int i = 0; i < ChunkFile.headerBytes(elements); i++) {
            places.add(i);
        }
        for (int i = 0; i < 150; i++) {
            places.add(random.nextInt(whole.length));
        }
        for (int at : places) {
            byte[] damaged = whole.clone();
            damaged[at] ^= (byte) (1 << random.nextInt(8));
            Files.write(file, damaged);
            MemorySegment[] into = parts(elements, 5);
            assertThatThrownBy(() -> store().read(sha256, into[0], into[1], into[2]))
                    .isInstanceOfSatisfying(DamagedFileException.class, e -> {
                        assertThat(e.file()).isEqualTo(file);
                        if (at >= ChunkFile.headerBytes(elements)) {
                            assertThat((long) at)
                                    .isBetween(e.offset(), e.offset() + ChunkFile.BLOCK_BYTES - 1);
                        }
                    });
            for (MemorySegment part : into) {
                assertThat(part.mismatch(arena.allocate(part.byteSize()))).isEqualTo(-1);
            }
        }
        for (int length : new int[] {0, 1, 27, 28, 63, 64, 65, whole.length - 1}) {
            Files.write(file, Arrays.copyOf(whole, length));
            assertThatThrownBy(() -> read(sha256, elements))
                    .isInstanceOf(DamagedFileException.class)
                    .hasMessageContaining(length + " bytes instead of " + whole.length);
        }
        Files.delete(file);
        assertThatThrownBy(() -> read(sha256, elements))
                .isInstanceOf(DamagedFileException.class).hasMessageContaining("missing");
    }

    @Test
    void aChunkUnderAnothersNameIsDetected() throws IOException {
        String a = put(store(), parts(16, 1)).sha256();
        String b = put(store(), parts(16, 2)).sha256();
        Files.delete(store().path(a));
        Files.copy(store().path(b), store().path(a));
        assertThatThrownBy(() -> read(a, 16))
                .isInstanceOf(DamagedFileException.class)
                .hasMessageContaining("not the one its name says");
    }

    @Test
    void aSymbolicLinkIsNoChunk() throws IOException {
        MemorySegment[] parts = parts(16, 1);
        Path file = store().path(put(store(), parts).sha256());
        Files.move(file, folder.resolve("elsewhere"));
        Files.createSymbolicLink(file, folder.resolve("elsewhere"));
        String sha256 = String.valueOf(file.getFileName()).substring(0, 64);
        assertThatThrownBy(() -> read(sha256, 16))
                .isInstanceOf(DamagedFileException.class).hasMessageContaining("symbolic link");
        assertThat(put(store(), parts).reused()).isFalse();
        assertThat(Files.isSymbolicLink(file)).isFalse();
        read(sha256, 16);
    }

    @Test
    void segmentsThatFitNoChunkAreRefused() {
        MemorySegment[] parts = parts(16, 1);
        MemorySegment heap = MemorySegment.ofArray(new byte[64]);
        for (MemorySegment odd : List.of(heap, parts[0].asSlice(0, 32), arena.allocate(0))) {
            assertThatThrownBy(() -> store().put(odd, parts[1], parts[2]))
                    .isInstanceOf(IllegalArgumentException.class);
        }
        for (String name : List.of("", "..", "AB".repeat(32), "/etc/passwd", "0".repeat(63))) {
            assertThatThrownBy(() -> store().path(name))
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }

    @Test
    void afterAFailedForceTheFileIsGivenUpAndANewOneTried() throws IOException {
        MemorySegment[] parts = parts(16, 1);
        List<Path> created = new ArrayList<>();
        int[] forces = {0};
        FileOperations flaky = new ForwardingFiles(FileOperations.real()) {
            @Override
            public Output create(Path file) throws IOException {
                created.add(file);
                Output output = super.create(file);
                return new Output() {
                    @Override
                    public void write(ByteBuffer bytes) throws IOException {
                        output.write(bytes);
                    }

                    @Override
                    public void force() throws IOException {
                        if (forces[0]++ == 0) {
                            throw new IOException("Input/output error");
                        }
                        output.force();
                    }

                    @Override
                    public void close() throws IOException {
                        output.close();
                    }
                };
            }
        };
        ChunkStore store = new ChunkStore(flaky, folder);
        assertThatThrownBy(() -> put(store, parts)).hasMessage("Input/output error");
        assertThat(created).hasSize(1).allSatisfy(file -> assertThat(file).doesNotExist());
        String sha256 = put(store, parts).sha256();
        assertThat(created).hasSize(2).doesNotHaveDuplicates();
        assertThat(forces[0]).isEqualTo(2);
        read(sha256, 16);
    }

    @Test
    void afterAFolderCouldNotBeForcedTheStoreTakesNoMore() throws IOException {
        boolean[] failing = {false};
        ChunkStore store = new ChunkStore(new ForwardingFiles(FileOperations.real()) {
            @Override
            public void forceDirectory(Path path) throws IOException {
                if (failing[0]) {
                    throw new IOException("Input/output error");
                }
                super.forceDirectory(path);
            }
        }, folder);
        put(store, parts(16, 1));
        failing[0] = true;
        assertThatThrownBy(store::settle).hasMessage("Input/output error");
        failing[0] = false;
        assertThatThrownBy(store::settle)
                .isInstanceOf(CheckpointException.class).hasMessageContaining("failed before");
        assertThatThrownBy(() -> put(store, parts(16, 2)))
                .isInstanceOf(CheckpointException.class)
                .hasMessageContaining("Input/output error");
    }

    @Test
    void aFullDiskIsNamedAndLeavesNoTemporaryFile() throws IOException {
        MemorySegment[] parts = parts(16384, 1);
        for (int n = 2; n < 8; n++) {
            ChunkStore store = new ChunkStore(
                    InterruptedFiles.failingAt(n, "No space left on device"), folder);
            assertThatThrownBy(() -> put(store, parts))
                    .isInstanceOf(StorageFullException.class)
                    .hasMessageContaining("writing needs " + ChunkFile.fileBytes(16384));
            for (Path sub : Fixtures.files(folder)) {
                assertThat(Fixtures.files(sub)).isEmpty();
            }
        }
        ChunkStore nearlyFull = new ChunkStore(new ForwardingFiles(FileOperations.real()) {
            @Override
            public long usableBytes(Path path) {
                return ChunkStore.RESERVED_BYTES;
            }
        }, folder);
        assertThatThrownBy(() -> put(nearlyFull, parts)).isInstanceOf(StorageFullException.class);
    }
}
