package castalia.deploy.status;

import castalia.protocol.layout.LayoutWish;
import castalia.protocol.layout.ParallelLayout;
import java.util.Optional;

/** What became of a layout that was asked for. */
public sealed interface LayoutWait {

    /** Not yet. */
    record Waiting(String why) implements LayoutWait {}

    /** It runs. */
    record Runs(RunStatus status) implements LayoutWait {}

    /** There are too few workers for it: the nearest that they can have runs. */
    record Fewer(RunStatus status) implements LayoutWait {}

    /** Nobody trains: the next start takes it. */
    record NobodyLeads() implements LayoutWait {}

    /** One process trains, whose ranks change their layout between starts only. */
    record OneProcess(String leader) implements LayoutWait {}

    /**
     * Judges.
     *
     * @param wish what was asked for
     * @param leader the process that trains
     * @param said the newest status in the folder
     */
    static LayoutWait of(LayoutWish wish, Optional<String> leader, Optional<RunStatus> said) {
        if (leader.isEmpty()) {
            return new NobodyLeads();
        }
        Optional<RunStatus> current = said.filter(s -> s.leader().equals(leader.get()));
        if (current.isEmpty()) {
            return new Waiting(leader.get() + " leads and has said nothing yet");
        }
        RunStatus status = current.get();
        if (status.oneProcess()) {
            return new OneProcess(status.leader());
        }
        ParallelLayout layout = status.layout();
        ParallelLayout nearest = status.nearest();
        if (!wish.equals(status.wish()) || nearest == null) {
            return new Waiting("its coordinator has not heard of it yet");
        }
        if (layout == null || !status.phase().equals(RunStatus.RUNNING)) {
            return new Waiting("the run is " + status.phase());
        }
        boolean there = wish.dataParallel() > 0
                ? wish.metBy(layout) : wish.metBy(layout) && layout.equals(nearest);
        if (there) {
            return new Runs(status);
        }
        return layout.equals(nearest) && !wish.metBy(nearest)
                ? new Fewer(status) : new Waiting(layout + " runs");
    }
}
