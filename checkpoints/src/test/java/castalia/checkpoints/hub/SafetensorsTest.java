package castalia.checkpoints.hub;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.checkpoints.CheckpointException;
import castalia.checkpoints.DamagedFileException;
import castalia.checkpoints.FileOperations;
import castalia.checkpoints.Fixtures;
import castalia.checkpoints.InterruptedFiles;
import castalia.checkpoints.StorageFullException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class SafetensorsTest {

    @TempDir Path folder;

    private Path file(String header, int dataBytes) throws IOException {
        return file(header.getBytes(StandardCharsets.UTF_8), dataBytes);
    }

    private Path file(byte[] header, int dataBytes) throws IOException {
        ByteBuffer bytes = ByteBuffer.allocate(8 + header.length + dataBytes)
                .order(ByteOrder.LITTLE_ENDIAN);
        bytes.putLong(header.length).put(header);
        return Files.write(folder.resolve("x.safetensors"), bytes.array());
    }

    private static void openAndClose(Path file) throws IOException {
        try (Safetensors opened = Safetensors.open(file)) {
            for (TensorInfo tensor : opened.tensors()) {
                assertThat(opened.data(tensor.name()).byteSize()).isEqualTo(tensor.bytes());
            }
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "hf-tiny/model.safetensors",
        "neox-tiny/model.safetensors",
        "neox-sequential/model.safetensors",
        "neox-sequential/reference.safetensors"
    })
    void writingTheTensorsOfAReferenceFileGivesItsBytes(String name) throws IOException {
        Path original = Fixtures.folder(name);
        Path copy = folder.resolve("copy.safetensors");
        try (Safetensors from = Safetensors.open(original)) {
            long bytes = Safetensors.write(
                    FileOperations.real(), copy, from.tensors(), from.metadata(),
                    (tensor, offset, destination) -> destination.copyFrom(
                            from.data(tensor.name()).asSlice(offset, destination.byteSize())));
            assertThat(bytes).isEqualTo(Files.size(original));
        }
        assertThat(Files.mismatch(original, copy)).isEqualTo(-1);
    }

    @Test
    void namesTypesAndShapesAreRead() throws IOException {
        try (Safetensors file =
                Safetensors.open(Fixtures.folder("neox-sequential/reference.safetensors"))) {
            assertThat(file.info("input_ids"))
                    .isEqualTo(new TensorInfo("input_ids", TensorType.I64, List.of(20L, 2L, 22L)));
            assertThat(file.metadata()).isEmpty();
            assertThatThrownBy(() -> file.data("no_such"))
                    .isInstanceOf(CheckpointException.class).hasMessageContaining("no_such");
        }
    }

    @Test
    void emptyTensorsAndSingleNumbersAreAllowed() throws IOException {
        openAndClose(file("{\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},"
                + "\"b\":{\"dtype\":\"F32\",\"shape\":[0,7],\"data_offsets\":[4,4]}}", 4));
        openAndClose(file("{}  ", 0));
    }

    @ParameterizedTest
    @CsvSource(delimiter = '|', value = {
        "0,8 | 8,12 | [2] | [1] | 12 | ",
        "0,8 | 4,8 | [2] | [1] | 8 | inside",
        "0,8 | 12,16 | [2] | [1] | 16 | gap",
        "0,8 | 8,16 | [2] | [1] | 16 | takes 4 bytes",
        "0,8 | 8,12 | [2] | [1] | 11 | truncated",
        "0,8 | 8,12 | [2] | [1] | 13 | belong to none",
        "4,12 | 12,16 | [2] | [1] | 16 | gap",
        "8,0 | 8,12 | [2] | [1] | 12 | data_offsets",
        "0,8 | 8,12 | [2] | [1,1,1,1] | 12 | ",
        "0,8 | 8,12 | [2] | [-1] | 12 | out of range",
        "0,8 | 8,12 | [2] | [1.0] | 12 | damaged",
        "0,8 | 8,12 | [2] | 1 | 12 | damaged",
        "0,8 | 8,12 | [2] | [4294967296,4294967296] | 12 | larger than any file",
        "0,8 | 8,12 | [2] | [99999999999999999999999] | 12 | JSON",
        "0,8 | 8,12 | [2] | [9223372036854775807,0,2] | 12 | larger than any file",
    })
    void offsetsMustFillTheDataExactly(
            String a, String b, String shapeA, String shapeB, int bytes, String complaint)
            throws IOException {
        Path file = file("{\"a\":{\"dtype\":\"F32\",\"shape\":" + shapeA + ",\"data_offsets\":["
                + a + "]},\"b\":{\"dtype\":\"F32\",\"shape\":" + shapeB + ",\"data_offsets\":["
                + b + "]}}", bytes);
        if (complaint == null) {
            openAndClose(file);
        } else {
            assertThatThrownBy(() -> openAndClose(file))
                    .isInstanceOf(DamagedFileException.class)
                    .hasMessageContaining(complaint)
                    .hasMessageContaining(file.toString());
        }
    }

    @ParameterizedTest
    @ValueSource(strings = {
        "",
        "{",
        "[]",
        "{}{}",
        "{\"a\":1}",
        "{\"a\":{}}",
        "{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}",
        "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
                + "\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}",
        "{\"__metadata__\":{\"a\":1}}",
        "{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}",
        "{\"a\":[[[[[[[[[[]]]]]]]]]]}",
    })
    void aHeaderThatIsNotOneIsRefused(String header) throws IOException {
        Path file = file(header, 4);
        assertThatThrownBy(() -> openAndClose(file)).isInstanceOf(DamagedFileException.class);
    }

    @Test
    void aDeclaredHeaderOfAnySizeIsRefusedBeforeMemoryIsTaken() throws IOException {
        for (long length : new long[] {1L << 60, -1, Long.MIN_VALUE, 100_000_001, 1, 0, 50}) {
            byte[] bytes = new byte[40];
            ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN).putLong(0, length);
            Path file = Files.write(folder.resolve("y.safetensors"), bytes);
            assertThatThrownBy(() -> Safetensors.open(file))
                    .isInstanceOf(DamagedFileException.class)
                    .hasMessageContaining(Long.toUnsignedString(length));
        }
    }

    @Test
    void aFileCutAnywhereIsRefused() throws IOException {
        byte[] whole = Files.readAllBytes(
                file("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8));
        for (int length = 0; length < whole.length; length++) {
            Path file = Files.write(folder.resolve("cut"), Arrays.copyOf(whole, length));
            assertThatThrownBy(() -> openAndClose(file)).isInstanceOf(DamagedFileException.class);
        }
        Path missing = folder.resolve("missing");
        assertThatThrownBy(() -> Safetensors.open(missing))
                .isInstanceOf(CheckpointException.class).hasMessageContaining("does not exist");
    }

    @Test
    void anyDamageToTheHeaderIsRefusedOrHarmless() throws IOException {
        byte[] whole = Files.readAllBytes(file("{\"__metadata__\":{\"format\":\"pt\"},"
                + "\"a\":{\"dtype\":\"BF16\",\"shape\":[2,2],\"data_offsets\":[0,8]},"
                + "\"b\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[8,16]}}", 16));
        Random random = new Random(5);
        Path file = folder.resolve("damaged");
        int refused = 0;
        for (int i = 0; i < 2000; i++) {
            byte[] damaged = whole.clone();
            for (int k = 0; k <= i % 3; k++) {
                damaged[random.nextInt(damaged.length - 16)] = (byte) random.nextInt();
            }
            Files.write(file, damaged);
            try {
                openAndClose(file);
            } catch (DamagedFileException e) {
                refused++;
            }
        }
        assertThat(refused).isGreaterThan(1500);
    }

    @Test
    void aFullDiskIsNamedWithItsFolder() {
        Path file = folder.resolve("full");
        assertThatThrownBy(() -> Safetensors.write(
                InterruptedFiles.failingAt(2, "No space left on device"), file,
                List.of(new TensorInfo("a", TensorType.F32, List.of(100L))),
                new LinkedHashMap<>(), (_, _, _) -> {}))
                .isInstanceOf(StorageFullException.class)
                .hasMessageContaining(folder.toString())
                .hasMessageContaining("472 bytes");
    }
}
