package castalia.deploy.cluster;

import castalia.actors.node.AgentNews;
import castalia.checkpoints.RunFolder;
import castalia.deploy.console.RunView;
import castalia.deploy.shell.Storage;
import castalia.deploy.status.RunStatus;
import castalia.deploy.status.StatusFile;
import castalia.protocol.run.RunNews;
import java.util.Comparator;
import java.util.List;
import java.util.function.LongSupplier;

/**
 * Keeps the status file of a run's folder, where this process coordinates: what happens is written at
 * once, how far steps are once a second.
 */
final class StatusKeeper implements RunCluster.Listener {

    private static final long PERIOD_NANOS = 1_000_000_000L;

    private final RunView view;
    private final StatusFile file;
    private final String page;
    private final RunStatus.Machine machine;
    private final String self = Storage.attempt(RunFolder::thisProcess);
    private final LongSupplier nanos;
    private long written;

    /**
     * Has written nothing yet.
     *
     * @param page address of the live page
     * @param machine this machine, before its workers began
     * @param nanos a clock that never goes back
     */
    StatusKeeper(RunView view, StatusFile file, String page, RunStatus.Machine machine,
            LongSupplier nanos) {
        this.view = view;
        this.file = file;
        this.page = page;
        this.machine = machine;
        this.nanos = nanos;
        this.written = nanos.getAsLong() - PERIOD_NANOS;
    }

    @Override
    public void run(RunNews news) {
        if (news instanceof RunNews.Led(_, String node) && !node.equals(machine.node())) {
            return; // another process leads, and says so itself
        }
        boolean often = news instanceof RunNews.Stepped || news instanceof RunNews.StaleMessage;
        if (!often || nanos.getAsLong() - written >= PERIOD_NANOS) {
            write();
        }
    }

    /** Replaces what another process said, which is not so any more. */
    void write() {
        written = nanos.getAsLong();
        file.write(status(view.snapshot()));
    }

    private RunStatus status(RunView.Snapshot now) {
        List<String> members = now.workers().stream().filter(w -> w.rank() >= 0)
                .sorted(Comparator.comparingInt(RunView.Worker::rank)).map(StatusKeeper::label).toList();
        List<String> waiting = now.workers().stream().filter(w -> w.rank() < 0)
                .map(StatusKeeper::label).toList();
        return new RunStatus(self, System.currentTimeMillis(), false, page, now.phase(),
                now.generation(), now.step(), now.facts().steps(), now.saved(), now.layout(),
                now.wish(), now.nearest(), members, waiting, now.change(), machine);
    }

    private static String label(RunView.Worker worker) {
        return worker.name() + "@" + worker.node();
    }

    @Override
    public void agent(AgentNews news) {
        // Workers that start and end are the coordinator's news too, where they matter.
    }
}
