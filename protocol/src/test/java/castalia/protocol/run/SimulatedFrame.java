package castalia.protocol.run;

import castalia.protocol.control.Committed;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.VirtualRanks;

/** What simulated ranks send each other. */
sealed interface SimulatedFrame {
    /** Virtual ranks of the sender, folded, for every chunk the receiver owns. */
    record Partial(long step, VirtualRanks.Block block) implements SimulatedFrame {}

    /** Finished gradients, from owner to buddy. */
    record Gradient(long step, int chunk) implements SimulatedFrame {}

    record Vote(long step) implements SimulatedFrame {}

    record Weights(long step) implements SimulatedFrame {}

    record Stored(long step) implements SimulatedFrame {}

    /** To a learner: a step that is stored and not known to be published. */
    record Unpublished(ScalarState scalars) implements SimulatedFrame {}

    /** A chunk for a member that lacks it, when a generation begins. */
    record Moved(int chunk, long version) implements SimulatedFrame {}

    /** Base copy of a chunk. */
    record State(int chunk, long version) implements SimulatedFrame {}

    /** The committed gradient of a chunk. */
    record Update(int chunk, Committed committed) implements SimulatedFrame {}
}
