package castalia.protocol.specification;

/**
 * AdamW and the clip rule.
 *
 * @param beta1 decay of the first moment
 * @param beta2 decay of the second moment
 * @param epsilon added to the root of the second moment
 * @param weightDecay decoupled decay of the matrices
 * @param clip largest global gradient norm, 0 for no clipping
 */
public record OptimizerSettings(
        double beta1, double beta2, double epsilon, double weightDecay, double clip) {

    public OptimizerSettings {
        beta("first", beta1);
        beta("second", beta2);
        if (!(epsilon > 0) || !(epsilon < 1)) {
            throw new IllegalArgumentException(
                    "optimizer eps " + epsilon + " must lie between 0 and 1, both excluded");
        }
        if (!(weightDecay >= 0) || !Double.isFinite(weightDecay)) {
            throw new IllegalArgumentException(
                    "weight-decay " + weightDecay + " must be at least 0");
        }
        if (!(clip >= 0) || !Double.isFinite(clip)) {
            throw new IllegalArgumentException(
                    "gradient_clipping " + clip + " must be at least 0 (0: no clipping)");
        }
        beta1 = beta1 + 0.0; // -0.0 becomes 0.0: equal settings have equal bytes
        beta2 = beta2 + 0.0;
        weightDecay = weightDecay + 0.0;
        clip = clip + 0.0;
    }

    private static void beta(String which, double value) {
        if (!(value >= 0) || !(value < 1)) {
            throw new IllegalArgumentException("the " + which + " of the optimizer's betas is "
                    + value + "; it must be at least 0 and less than 1");
        }
    }

    /** The settings of the published runs: 0.9, 0.95, 1e-8, decay 0.1, clip 1. */
    public static OptimizerSettings published() {
        return new OptimizerSettings(0.9, 0.95, 1e-8, 0.1, 1);
    }
}
