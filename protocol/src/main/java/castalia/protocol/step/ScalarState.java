package castalia.protocol.step;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;

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
        if (scalerIteration < 0
                || lastOverflow < -1
                || lastOverflow > scalerIteration
                || hysteresis < 1) {
            throw new IllegalArgumentException("scaler iteration " + scalerIteration
                    + " with last overflow " + lastOverflow + " and hysteresis " + hysteresis);
        }
    }

    /** The state before the first step of a run without loss scaling. */
    public static ScalarState initial() {
        return new ScalarState(0, 0, 1, 0, -1, 1);
    }

    /** The state after a step that applied an update, where the loss scale stays. */
    public ScalarState applied() {
        return new ScalarState(
                step + 1, appliedUpdates + 1, lossScale, scalerIteration, lastOverflow, hysteresis);
    }

    /** The state after a step whose update was skipped, where the loss scale stays. */
    public ScalarState skipped() {
        return new ScalarState(
                step + 1, appliedUpdates, lossScale, scalerIteration, lastOverflow, hysteresis);
    }

    /**
     * The canonical bytes, for hashes: the six components in order as 64-bit little-endian
     * integers, the loss scale by its IEEE 754 bits.
     */
    public byte[] bytes() {
        return ByteBuffer.allocate(6 * Long.BYTES)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(step)
                .putLong(appliedUpdates)
                .putLong(Double.doubleToLongBits(lossScale))
                .putLong(scalerIteration)
                .putLong(lastOverflow)
                .putLong(hysteresis)
                .array();
    }
}
