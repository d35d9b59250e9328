package castalia.protocol.control;

import castalia.protocol.step.Verdict;

/**
 * A step that all ranks voted for: it is rolled forward, never back.
 *
 * @param step version of the state the update is applied to
 * @param verdict the update or the skip, the same on every rank that derived it
 */
public record Committed(long step, Verdict.Outcome verdict) {

    public Committed {
        if (step < 0) {
            throw new IllegalArgumentException("committed step " + step);
        }
    }
}
