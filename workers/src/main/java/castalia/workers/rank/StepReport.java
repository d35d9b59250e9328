package castalia.workers.rank;

import castalia.protocol.step.Scaling;
import castalia.protocol.step.StateDigest;
import java.util.Optional;

/**
 * What a rank says of a step it executed. Everything but its sequences and times is the same on
 * every rank.
 *
 * @param step number of the step, from 0; the state is now at {@code step + 1}
 * @param loss mean loss over the tokens of the global batch
 * @param gradientNorm global norm before clipping; NaN where the update was skipped
 * @param learningRate what the update used, or would have used
 * @param stateBefore digest of the state before the update
 * @param sequences sequences this rank computed; those of a replica count once, where it speaks for it
 * @param scaling what loss scaling did, where the precision needs it
 * @param times where this rank's time went
 */
public record StepReport(
        long step,
        double loss,
        double gradientNorm,
        double learningRate,
        StateDigest stateBefore,
        int sequences,
        Optional<Scaling> scaling,
        Times times) {

    /**
     * Nanoseconds of one step on one rank.
     *
     * @param data filling token buffers
     * @param forward forward passes
     * @param backward backward passes and the head's sweep
     * @param reduction folding, reducing and voting
     * @param optimizer update and gather of weights
     * @param waited what of these was waiting for other ranks: communication that no computation hides
     */
    public record Times(
            long data, long forward, long backward, long reduction, long optimizer, long waited) {

        /** Sum of the parts. */
        public long total() {
            return data + forward + backward + reduction + optimizer;
        }
    }
}
