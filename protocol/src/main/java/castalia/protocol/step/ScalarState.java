package castalia.protocol.step;

/**
 * The part of the state that is not a tensor.
 *
 * @param step completed steps; the next step reads the samples of this number
 * @param appliedUpdates steps that changed the weights; drives schedule and bias correction
 * @param lossScale current loss scale; 1 where precision needs none
 * @param scalerIteration iterations the loss scaler has seen
 * @param lastOverflow iteration of the last overflow, -1 for none
 * @param hysteresis overflows still tolerated before the scale shrinks
 */
public record ScalarState(
        long step,
        long appliedUpdates,
        double lossScale,
        long scalerIteration,
        long lastOverflow,
        int hysteresis) {

    public ScalarState {
        if (step < 0 || appliedUpdates < 0 || appliedUpdates > step) {
            throw new IllegalArgumentException(
                    "step " + step + " with " + appliedUpdates + " applied updates");
        }
        if (!(lossScale > 0) || !Double.isFinite(lossScale)) {
            throw new IllegalArgumentException("loss scale " + lossScale);
        }
    }

    /** The state before the first step of a run without loss scaling. */
    public static ScalarState initial() {
        return new ScalarState(0, 0, 1, 0, -1, 1);
    }

    /** The state after a step that applied an update, where there is no loss scaling. */
    public ScalarState applied() {
        return new ScalarState(
                step + 1, appliedUpdates + 1, lossScale, scalerIteration, lastOverflow, hysteresis);
    }
}
