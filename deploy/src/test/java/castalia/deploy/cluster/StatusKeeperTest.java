package castalia.deploy.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.console.RunView;
import castalia.deploy.status.RunStatus;
import castalia.deploy.status.StatusFile;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.run.RunNews;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Who says in a run's folder what it does. */
class StatusKeeperTest {

    @Test
    void onlyWhoLeadsSaysWhatARunDoes(@TempDir Path folder) throws Exception {
        StatusFile file = new StatusFile(folder.resolve("status.json"));
        StatusKeeper keeper = new StatusKeeper(
                new RunView(new RunView.Facts("run", "folder", 10, 8, 4), () -> 0), file, "page",
                new RunStatus.Machine("here", 1, Recomputation.NONE), () -> 0);
        keeper.run(new RunNews.Led(2, "elsewhere"));
        assertThat(file.read()).isEmpty();
        keeper.run(new RunNews.Led(3, "here"));
        assertThat(file.read().orElseThrow().page()).isEqualTo("page");
    }
}
