package castalia.checkpoints;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.protocol.layout.LayoutWish;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class LayoutLogTest {

    @TempDir
    private Path folder;

    private LayoutLog log() {
        return new LayoutLog(FileOperations.real(), folder);
    }

    @Test
    void theNewestWishCountsAndOneSaidTwiceIsOneRecord() throws IOException {
        LayoutLog none = new LayoutLog(FileOperations.real(), folder.resolve("none"));
        assertThat(none.newest()).isEmpty();
        none.ask(LayoutWish.USUAL);
        assertThat(none.newest()).contains(LayoutWish.USUAL);
        Files.delete(folder.resolve("none").resolve("layout-000000000001"));
        Files.delete(folder.resolve("none"));
        assertThat(log().newest()).isEmpty();
        LayoutWish first = new LayoutWish(2, 4, 3, 0);
        log().ask(first);
        log().ask(first);
        assertThat(log().newest()).contains(first);
        LayoutWish second = new LayoutWish(0, 1, 1, 2);
        log().ask(second);
        assertThat(log().newest()).contains(second);
        log().ask(first);
        assertThat(log().newest()).contains(first);
        try (var files = Files.list(folder)) {
            assertThat(files.map(file -> file.getFileName().toString())).containsExactlyInAnyOrder(
                    "layout-000000000001", "layout-000000000002", "layout-000000000003");
        }
    }

    @Test
    void aRecordThatMakesNoSenseIsNamed() throws IOException {
        new ExclusiveRecords(FileOperations.real(), folder, 100)
                .publish("layout-000000000001", "zero 9".getBytes(StandardCharsets.UTF_8));
        assertThatThrownBy(() -> log().newest()).isInstanceOf(DamagedFileException.class)
                .hasMessageContaining("layout-000000000001").hasMessageContaining("four lines");
    }
}
