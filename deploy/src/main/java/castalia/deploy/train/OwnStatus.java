package castalia.deploy.train;

import castalia.checkpoints.RunFolder;
import castalia.deploy.shell.Storage;
import castalia.deploy.status.RunStatus;
import castalia.deploy.status.StatusFile;
import castalia.protocol.layout.ParallelLayout;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;

/** The status file of a run whose ranks are threads of this process. */
final class OwnStatus {

    private static final long PERIOD_NANOS = 1_000_000_000L;

    private final StatusFile file;
    private final ParallelLayout layout;
    private final long steps;
    private final String self = Storage.attempt(RunFolder::thisProcess);
    private final List<String> members;
    private long written;

    OwnStatus(Path folder, ParallelLayout layout, long steps) {
        this.file = new StatusFile(RunFolder.status(folder));
        this.layout = layout;
        this.steps = steps;
        this.members = IntStream.range(0, layout.ranks()).mapToObj(rank -> "rank " + rank).toList();
    }

    /** Says it at once. */
    void tell(long step, long saved) {
        written = System.nanoTime();
        file.write(new RunStatus(self, System.currentTimeMillis(), true, "", RunStatus.RUNNING, "-",
                step, steps, saved, layout, null, null, members, List.of(), null, null));
    }

    /** Says it once a second. */
    void stepped(long step, long saved) {
        if (System.nanoTime() - written >= PERIOD_NANOS) {
            tell(step, saved);
        }
    }
}
