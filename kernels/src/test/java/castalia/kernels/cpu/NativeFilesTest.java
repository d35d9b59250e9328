package castalia.kernels.cpu;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Libraries unpacked, kept when whole, replaced when not. */
class NativeFilesTest {

    @Test
    void librariesAreUnpackedOnceAndReplacedWhenDamaged(@TempDir Path natives) throws IOException {
        Path folder = NativeFiles.unpack(natives.toString()).toPath();
        assertThat(folder.getParent()).isEqualTo(natives.toAbsolutePath());
        assertThat(folder.getFileName()).hasToString(NativeFiles.version());
        Path library = folder.resolve(NativeFiles.DNNL);
        Path openMp = folder.resolve(NativeFiles.OPENMP);
        long size = Files.size(library);
        byte[] whole = Files.readAllBytes(openMp);
        FileTime unpacked = Files.getLastModifiedTime(library);

        // One byte of one is changed, the other is cut short.
        try (RandomAccessFile file = new RandomAccessFile(openMp.toFile(), "rw")) {
            file.seek(1000);
            file.write(whole[1000] ^ 1);
        }
        NativeFiles.unpack(natives.toString());
        assertThat(Files.readAllBytes(openMp)).isEqualTo(whole);
        assertThat(Files.getLastModifiedTime(library)).isEqualTo(unpacked);

        try (RandomAccessFile file = new RandomAccessFile(library.toFile(), "rw")) {
            file.setLength(size / 2);
        }
        NativeFiles.unpack(natives.toString());
        assertThat(Files.size(library)).isEqualTo(size);

        Files.delete(openMp);
        NativeFiles.unpack(natives.toString());
        assertThat(Files.readAllBytes(openMp)).isEqualTo(whole);
        try (var files = Files.list(folder)) {
            assertThat(files).containsExactlyInAnyOrder(library, openMp);
        }
    }
}
