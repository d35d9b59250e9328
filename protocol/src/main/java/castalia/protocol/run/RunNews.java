package castalia.protocol.run;

import castalia.protocol.control.GenerationPlan;
import castalia.protocol.control.Progress;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.LayoutWish;
import castalia.protocol.layout.ParallelLayout;
import java.util.List;

/** What people want to know of a run as it happens. */
public sealed interface RunNews {

    /** A node coordinates the run from now on, as its claim says; it may be this one. */
    record Led(long term, String node) implements RunNews {}

    /** A worker offered itself and fits. */
    record Joined(Member member, String device) implements RunNews {}

    /** A worker offered itself and does not fit. */
    record Refused(Member member, String why) implements RunNews {}

    /** A member is gone, silent or failed. */
    record Detected(Member member, String how) implements RunNews {}

    /** Members were asked what they hold; older generations are fenced off. */
    record Gathering(Fence fence, String cause) implements RunNews {}

    /**
     * A generation begins to take its places.
     *
     * @param excluded members of the one before that are not in it
     * @param version completed steps of the state it starts from
     * @param degraded chunks with one holder only
     * @param movedBytes bytes of weights and moments that members send each other before they go on
     */
    record Resharding(
            GenerationPlan plan, List<Member> excluded, long version, int degraded, long movedBytes)
            implements RunNews {}

    /**
     * All members step again.
     *
     * @param ranks members
     * @param version completed steps
     * @param nearest the layout that the workers that are there now can have, which may be a better one
     */
    record Running(Fence fence, int ranks, long version, ParallelLayout nearest)
            implements RunNews {}

    /**
     * A layout was asked for.
     *
     * @param nearest what the workers that are there now can have
     * @param workers how many they are
     */
    record LayoutWanted(LayoutWish wish, ParallelLayout nearest, int workers)
            implements RunNews {}

    /** A worker begins to learn chunks. */
    record Learning(Member member, int chunks) implements RunNews {}

    /** A learner has caught up. */
    record CaughtUp(Member member, long version) implements RunNews {}

    /** A member executed a step. */
    record Stepped(Fence fence, Incarnation worker, int rank, Progress progress)
            implements RunNews {}

    /** A validation loss. */
    record Validated(long step, double loss) implements RunNews {}

    /** A checkpoint exists. */
    record Saved(long step, String stateHash) implements RunNews {}

    /** A worker's message that was dropped: its fence was old, or the worker is excluded. */
    record StaleMessage(Fence fence, Incarnation worker, String what) implements RunNews {}
}
