package castalia.deploy.train;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.testing.NotRun;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class MetricsLogTest {

    private record Line(long step) {}

    @TempDir Path folder;

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 7, 4095, 4096, 4097, 10_000})
    void aLineCutOffIsTakenBackBeforeTheNext(int cutOff) throws IOException {
        Path file = folder.resolve("metrics.jsonl");
        try (MetricsLog log = new MetricsLog(file)) {
            log.append(new Line(1));
            log.append(new Line(2));
        }
        Files.writeString(file, Files.readString(file) + "x".repeat(cutOff));
        try (MetricsLog log = new MetricsLog(file)) {
            log.append(new Line(3));
        }
        assertThat(file).hasContent("{\"step\":1}\n{\"step\":2}\n{\"step\":3}\n");
    }

    @Test
    void aFileWithoutAnyWholeLineBeginsAnew() throws IOException {
        Path file = folder.resolve("metrics.jsonl");
        Files.writeString(file, "{\"st" + " ".repeat(5000));
        try (MetricsLog log = new MetricsLog(file)) {
            log.append(new Line(1));
        }
        assertThat(file).hasContent("{\"step\":1}\n");
    }

    @Test
    void aLineForWhichThereIsNoRoomIsAnErrorThatNamesTheFile() throws IOException {
        Path full = Path.of("/dev/full");
        NotRun.unlessFile("metrics on a full disk", full);
        Path file = Files.createSymbolicLink(folder.resolve("metrics.jsonl"), full);
        try (MetricsLog log = new MetricsLog(file)) {
            assertThatThrownBy(() -> log.append(new Line(1)))
                    .isInstanceOfSatisfying(CastaliaException.class,
                            e -> assertThat(e.code()).isEqualTo(ErrorCode.STORAGE_FAILED))
                    .hasMessage("cannot write " + file + ": No space left on device");
        }
    }

    @Test
    void aFileThatCannotBeOpenedIsNamed() throws IOException {
        Path file = Files.createDirectory(folder.resolve("metrics.jsonl"));
        assertThatThrownBy(() -> new MetricsLog(file).close())
                .isInstanceOfSatisfying(CastaliaException.class,
                        e -> assertThat(e.code()).isEqualTo(ErrorCode.STORAGE_FAILED))
                .hasMessageContaining(file.toString());
    }
}
