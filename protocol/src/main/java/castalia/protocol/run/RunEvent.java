package castalia.protocol.run;

import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.layout.LayoutWish;
import java.util.Optional;

/** What happens to a run, as its coordinator learns of it. */
public sealed interface RunEvent {

    /** A worker said something. */
    record FromWorker(WorkerMessage message) implements RunEvent {}

    /** A worker's process ended or its node left. */
    record WorkerGone(Incarnation worker, String how) implements RunEvent {}

    /** So many ranks are wanted now. */
    record TargetChanged(int ranks) implements RunEvent {}

    /** Another layout is wanted now; it fits the specification. */
    record LayoutRequested(LayoutWish wish) implements RunEvent {}

    /** The answer to {@link RunEffect.FindCheckpoint}: the newest whole checkpoint, if any. */
    record CheckpointFound(Fence fence, Optional<RunStorage.Newest> newest) implements RunEvent {}

    /** A manifest is in the catalogue. */
    record Published(long step, String stateHash) implements RunEvent {}

    /** Storage failed; the run cannot keep its checkpoints. */
    record StorageFailed(String message) implements RunEvent {}

    /** A timer that was started ran out. */
    record TimerFired(RunTimer timer, Fence fence) implements RunEvent {}

    /** Stop at a step's boundary, store the state and end. */
    record StopRequested() implements RunEvent {}

    /** Somebody claimed a newer term: this coordinator must not act any more. */
    record Deposed(long newerTerm) implements RunEvent {}
}
