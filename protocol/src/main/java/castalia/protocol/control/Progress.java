package castalia.protocol.control;

import castalia.protocol.step.Scaling;
import castalia.protocol.step.StateDigest;
import java.util.Optional;

/**
 * What a rank says of a step it executed.
 *
 * @param step number of the step, from 0; the state is now at {@code step + 1}
 * @param loss mean loss over the tokens of the global batch
 * @param gradientNorm global norm before clipping; NaN where the update was skipped
 * @param learningRate what the update used
 * @param stateBefore digest of the state before the update
 * @param sequences sequences this worker computed in this step
 * @param scaling what loss scaling did, where the precision needs it
 * @param totals what the worker counted since it started
 * @param nanos where the step's time went on this worker
 */
public record Progress(
        long step,
        double loss,
        double gradientNorm,
        double learningRate,
        StateDigest stateBefore,
        int sequences,
        Optional<Scaling> scaling,
        Totals totals,
        Nanos nanos) {

    /** Of a run without loss scaling. */
    public Progress(
            long step,
            double loss,
            double gradientNorm,
            double learningRate,
            StateDigest stateBefore,
            int sequences,
            Totals totals,
            Nanos nanos) {
        this(step, loss, gradientNorm, learningRate, stateBefore, sequences, Optional.empty(),
                totals, nanos);
    }

    /**
     * Counts of one process's life.
     *
     * @param sequences sequences computed, those of abandoned steps included
     * @param sentBytes payload bytes its data plane sent
     * @param receivedBytes payload bytes its data plane received
     * @param staleFrames frames dropped because their fence was old
     * @param diskBytes bytes read from checkpoints
     */
    public record Totals(
            long sequences, long sentBytes, long receivedBytes, long staleFrames, long diskBytes) {}

    /**
     * Where a step's time went, in nanoseconds.
     *
     * @param data filling token buffers
     * @param forward forward passes
     * @param backward backward passes and the head's sweep
     * @param reduction folding, reducing and voting
     * @param optimizer update and gather of weights
     * @param waited what of these was waiting for other workers: communication that no computation
     *     hides
     */
    public record Nanos(
            long data, long forward, long backward, long reduction, long optimizer, long waited) {

        /** Sum of the parts. */
        public long total() {
            return data + forward + backward + reduction + optimizer;
        }
    }
}
