package castalia.protocol.control;

import castalia.protocol.ErrorCode;
import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.StateDigest;
import java.util.List;

/** What a worker says to the coordinator. */
public sealed interface WorkerMessage {

    /**
     * A worker offers itself.
     *
     * @param run hash of the specification it would execute
     * @param numericVersion what its answers depend on
     * @param build fingerprint of its program
     * @param device what computes, for people
     * @param seen newest fence it has seen
     */
    record Registered(
            Member member,
            String run,
            String numericVersion,
            String build,
            String device,
            Fence seen)
            implements WorkerMessage {}

    /** The answer to a query. */
    record Reported(HolderReport report) implements WorkerMessage {}

    /** Placement and state of a generation are in place. */
    record Installed(Fence fence, Incarnation worker) implements WorkerMessage {}

    /** A step was executed. */
    record Stepped(Fence fence, Incarnation worker, Progress progress) implements WorkerMessage {}

    /** Validation loss after a completed step; from rank 0. */
    record Validated(Fence fence, long step, double loss) implements WorkerMessage {}

    /** The worker stands at the boundary before {@code step}, as it was asked to. */
    record Paused(Fence fence, Incarnation worker, long step) implements WorkerMessage {}

    /**
     * The worker waits for another longer than it should, or lost its connection.
     *
     * @param about whom it waits for
     * @param broken whether the connection ended, not only the patience
     * @param what what it waits for
     */
    record Suspects(
            Fence fence, Incarnation worker, Incarnation about, boolean broken, String what)
            implements WorkerMessage {}

    /**
     * Every chunk of a step is stored and settled. Every rank has all ranks' entries: rank 0 says
     * so when it happens, and every rank says it again when a generation starts, for each step it
     * was not told to be {@link CoordinatorMessage.Saved}. So nothing is lost with a coordinator.
     *
     * @param scalars the scalar state of that step
     * @param entries a part of them, ascending
     * @param total number of all entries
     */
    record Stored(Fence fence, ScalarState scalars, List<ChunkEntry> entries, int total)
            implements WorkerMessage {
        public Stored {
            entries = List.copyOf(entries);
        }
    }

    /** A learner has every chunk it was to learn, in step with its owner. */
    record CaughtUp(Fence fence, Incarnation worker, long version) implements WorkerMessage {}

    /** The last step is done and stored. */
    record Finished(Fence fence, Incarnation worker, long step, StateDigest digest)
            implements WorkerMessage {}

    /** The worker cannot go on. */
    record Failed(Fence fence, Incarnation worker, ErrorCode code, String message)
            implements WorkerMessage {}
}
