package castalia.protocol.run;

import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import java.time.Duration;
import java.util.HashSet;
import java.util.Set;

/** Lets members run to a boundary and stop there. */
final class RunDraining {

    /** How many steps ahead of the newest known version members are told to stop, at least. */
    private static final int AHEAD = 2;

    /**
     * How long they step on at least: all must have heard of the boundary before one is there, or
     * they stop at different ones and wait for each other until one of them says so.
     */
    private static final Duration HEARD = Duration.ofMillis(200);

    private final RunSettings settings;

    RunDraining(RunSettings settings) {
        this.settings = settings;
    }

    /**
     * Whether this coordinator knows how long a step takes. Before, nobody can say how far ahead a
     * boundary must be, nor how long to wait for it: the first step is waited for.
     */
    static boolean possible(RunDraft draft) {
        return draft.stepNanos > 0;
    }

    /** The boundary is one that none of them has passed, as far as known. */
    void begin(RunDraft draft, boolean stopping, String cause) {
        int ahead = Math.toIntExact(Math.clamp(
                HEARD.toNanos() / draft.stepNanos, AHEAD, HEARD.toMillis()));
        long step = Math.min(draft.version + ahead, settings.steps());
        Set<Incarnation> waiting = new HashSet<>();
        for (Member member : draft.liveMembers()) {
            waiting.add(member.incarnation());
        }
        if (!stopping) {
            waiting.addAll(draft.learning.chunks().keySet());
        }
        waiting.stream().sorted().forEach(worker ->
                draft.send(worker, new CoordinatorMessage.Pause(draft.fence, step, stopping)));
        draft.phase = new RunPhase.Draining(step, stopping, cause, waiting);
        draft.startTimer(RunTimer.PAUSING,
                RunGathering.atLeast(settings.patience().pausing(), draft, 2 * ahead + 2));
    }
}
