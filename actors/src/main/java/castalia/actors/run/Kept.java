package castalia.actors.run;

import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Fence;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** What a worker keeps for the next coordinator while there is none: results, not progress. */
final class Kept {

    private static final int MOST_PARTS = 64;

    private WorkerMessage.@Nullable Reported reported;
    private final List<WorkerMessage.Stored> stored = new ArrayList<>();
    private WorkerMessage.@Nullable Finished finished;
    private WorkerMessage.@Nullable Failed failed;

    /** Keeps a message if it matters; false if it is dropped. */
    boolean keep(WorkerMessage message) {
        return switch (message) {
            case WorkerMessage.Reported m -> {
                reported = m;
                yield true;
            }
            case WorkerMessage.Stored m -> keep(m);
            case WorkerMessage.Finished m -> {
                finished = m;
                yield true;
            }
            case WorkerMessage.Failed m -> {
                failed = m;
                yield true;
            }
            case WorkerMessage.Registered m -> false;
            case WorkerMessage.Installed m -> false;
            case WorkerMessage.Stepped m -> false;
            case WorkerMessage.Validated m -> false;
            case WorkerMessage.Paused m -> false;
            case WorkerMessage.Suspects m -> false;
            case WorkerMessage.CaughtUp m -> false;
        };
    }

    /** Parts of one step only, the newest. */
    private boolean keep(WorkerMessage.Stored part) {
        if (!stored.isEmpty()) {
            Fence fence = stored.getFirst().fence();
            if (!fence.equals(part.fence())
                    || stored.getFirst().scalars().step() != part.scalars().step()) {
                stored.clear();
            }
        }
        return stored.size() < MOST_PARTS && stored.add(part);
    }

    /** All that is kept, which is then kept no longer. */
    List<WorkerMessage> take() {
        List<WorkerMessage> all = new ArrayList<>(stored);
        if (reported != null) {
            all.add(reported);
        }
        if (finished != null) {
            all.add(finished);
        }
        if (failed != null) {
            all.add(failed);
        }
        stored.clear();
        reported = null;
        finished = null;
        failed = null;
        return all;
    }
}
