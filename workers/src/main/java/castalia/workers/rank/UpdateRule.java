package castalia.workers.rank;

import castalia.kernels.AdamW;
import castalia.protocol.specification.OptimizerSettings;
import java.util.function.LongToDoubleFunction;

/**
 * The scalars of AdamW's updates, the same wherever a chunk is held.
 *
 * @param optimizer the plan's optimizer
 * @param learningRate learning rate of the update after n applied updates
 */
record UpdateRule(OptimizerSettings optimizer, LongToDoubleFunction learningRate) {

    /**
     * One update.
     *
     * @param rate its learning rate
     * @param decaying for chunks that decay
     * @param plain for chunks that do not
     */
    record Scalars(double rate, AdamW decaying, AdamW plain) {}

    /**
     * The update that follows {@code applied} applied ones.
     *
     * @param gradientFactor what each gradient element is multiplied with
     */
    Scalars after(long applied, float gradientFactor) {
        double rate = learningRate.applyAsDouble(applied);
        return new Scalars(rate,
                scalars(applied + 1, gradientFactor, rate, (float) optimizer.weightDecay()),
                scalars(applied + 1, gradientFactor, rate, 0));
    }

    private AdamW scalars(long n, float gradientFactor, double rate, float decay) {
        OptimizerSettings o = optimizer;
        return new AdamW(gradientFactor, (float) rate, (float) o.beta1(), (float) o.beta2(),
                (float) o.epsilon(), decay,
                (float) (1 / (1 - StrictMath.pow(o.beta1(), (double) n))),
                (float) (1 / (1 - StrictMath.pow(o.beta2(), (double) n))));
    }
}
