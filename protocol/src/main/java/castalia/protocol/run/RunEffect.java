package castalia.protocol.run;

import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.GenerationPlan;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.step.ScalarState;
import java.time.Duration;
import java.util.List;

/** What a run's coordinator is to do. */
public sealed interface RunEffect {

    /** Say something to a worker. */
    record Send(Incarnation to, CoordinatorMessage message) implements RunEffect {}

    /** Look for the newest whole checkpoint; answered by {@link RunEvent.CheckpointFound}. */
    record FindCheckpoint(Fence fence) implements RunEffect {}

    /** Publish a checkpoint; answered by {@link RunEvent.Published}. */
    record Publish(ScalarState scalars, List<ChunkEntry> entries, long parentStep)
            implements RunEffect {
        public Publish {
            entries = List.copyOf(entries);
        }
    }

    /** Keep a generation's record, when there is time; nobody waits for it. */
    record LogGeneration(GenerationPlan plan) implements RunEffect {}

    /** Start a timer; one of the same kind that runs is replaced. */
    record StartTimer(RunTimer timer, Fence fence, Duration after) implements RunEffect {}

    /** Stop a timer, if it runs. */
    record CancelTimer(RunTimer timer) implements RunEffect {}

    /** Tell people and the console. */
    record Announce(RunNews news) implements RunEffect {}

    /** The run is over, for this coordinator. */
    record End(RunResult result) implements RunEffect {}
}
