package castalia.checkpoints.hub;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import castalia.checkpoints.CheckpointException;
import castalia.checkpoints.Fixtures;
import castalia.checkpoints.FlatWeights;
import castalia.checkpoints.InterruptedFiles;
import castalia.checkpoints.StorageFullException;
import castalia.protocol.layout.FlatLayout;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class HubExportTest {

    @TempDir Path folder;

    @Test
    void anExportInterruptedAnywhereLeavesNoFolderOrTheWhole() throws IOException {
        try (HubFolder hub = HubFolder.open(Fixtures.folder("hf-tiny"))) {
            FlatLayout layout = FlatLayout.of(hub.config().shape(), 1);
            FlatWeights weights = hub.weights(layout);
            HubExport.Options options = new HubExport.Options(
                    TensorType.F32, 200_000, 0, 0, hub.companions());
            boolean finished = false;
            for (int n = 0; !finished; n++) {
                Path root = Files.createDirectory(folder.resolve("n" + n));
                Path to = root.resolve("step0");
                try {
                    HubExport.write(
                            InterruptedFiles.dyingAt(n), to, layout, weights, options);
                    finished = true;
                } catch (IOException e) {
                    assertThat(e).hasMessage("the process died");
                }
                if (Files.exists(to)) {
                    HubFolder.open(to).close();
                }
                assertThat(Files.exists(to) || !finished).isTrue();
                Path other = Files.createDirectory(folder.resolve("m" + n));
                InterruptedFiles once = InterruptedFiles.failingAt(n, "Disk quota exceeded");
                try {
                    HubExport.write(once, other.resolve("step0"), layout, weights, options);
                } catch (StorageFullException e) {
                    assertThat(e.bytesNeeded()).isPositive();
                    assertThat(Fixtures.files(other)).isEmpty();
                } catch (IOException e) {
                    assertThat(e).hasMessage("Disk quota exceeded");
                }
            }
        }
    }

    @Test
    void anExistingFolderIsNotOverwritten() throws IOException {
        try (HubFolder hub = HubFolder.open(Fixtures.folder("hf-tiny"))) {
            FlatLayout layout = FlatLayout.of(hub.config().shape(), 1);
            assertThatThrownBy(() -> HubExport.write(folder, layout, hub.weights(layout),
                    HubExport.Options.of(TensorType.F32)))
                    .isInstanceOf(CheckpointException.class).hasMessageContaining("exists");
            assertThatThrownBy(() -> HubExport.write(folder.resolve("a/b"), layout,
                    hub.weights(layout), HubExport.Options.of(TensorType.F32)))
                    .isInstanceOf(CheckpointException.class).hasMessageContaining("parent");
            assertThatThrownBy(() -> new HubExport.Options(
                    TensorType.I64, 1, 0, 0, new LinkedHashMap<>(Map.of())))
                    .isInstanceOf(IllegalArgumentException.class);
        }
    }
}
