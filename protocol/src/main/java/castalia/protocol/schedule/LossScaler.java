package castalia.protocol.schedule;

import castalia.protocol.step.ScalarState;

/** How the loss scale follows the steps: a pure transition on the scalar state. */
public sealed interface LossScaler {

    /** The state before the first step. */
    ScalarState initial();

    /**
     * The state after a step.
     *
     * @param state before the step
     * @param overflow whether a gradient was not finite, so that the update was skipped
     */
    Result after(ScalarState state, boolean overflow);

    /** What a step does to the scalar state. */
    sealed interface Result {}

    /** The run goes on with {@code state}. */
    record Updated(ScalarState state) implements Result {}

    /**
     * The gradients overflow although the scale is the smallest one allowed: the run must stop.
     *
     * @param step the step that overflowed
     * @param scale the scale it used
     */
    record Abort(long step, double scale) implements Result {}

    /** No scaling: precisions with the exponent range of fp32. */
    record None() implements LossScaler {

        @Override
        public ScalarState initial() {
            return ScalarState.initial();
        }

        @Override
        public Result after(ScalarState state, boolean overflow) {
            return new Updated(overflow ? state.skipped() : state.applied());
        }
    }

    /**
     * One scale for the whole run. A step that overflows is skipped; nothing else changes.
     *
     * @param scale the scale
     */
    record Fixed(double scale) implements LossScaler {

        public Fixed {
            if (!(scale > 0) || !Double.isFinite(scale)) {
                throw new IllegalArgumentException(
                        "loss_scale " + scale + " must be finite and exceed 0");
            }
        }

        @Override
        public ScalarState initial() {
            return new ScalarState(0, 0, scale, 0, -1, 1);
        }

        @Override
        public Result after(ScalarState state, boolean overflow) {
            return new Updated(overflow ? state.skipped() : state.applied());
        }
    }

    /**
     * Dynamic scaling as DeeperSpeed v0.3.15 does it: an overflow first uses up the hysteresis,
     * then halves the scale; the scale doubles, and the hysteresis is refilled, whenever the
     * iterations since the last overflow are a multiple of the window.
     *
     * @param initialScale scale of the first step
     * @param window iterations without overflow between doublings
     * @param minimum smallest scale
     * @param hysteresis overflows before the scale shrinks, that one included
     */
    record Dynamic(double initialScale, long window, double minimum, int hysteresis)
            implements LossScaler {

        public Dynamic {
            if (!(minimum > 0) || !(initialScale >= minimum) || !Double.isFinite(initialScale)) {
                throw new IllegalArgumentException("loss scale " + initialScale
                        + " must be finite and at least min_loss_scale " + minimum
                        + ", which must exceed 0");
            }
            if (window < 1) {
                throw new IllegalArgumentException(
                        "loss_scale_window " + window + " must be at least 1");
            }
            if (hysteresis < 1) {
                throw new IllegalArgumentException(
                        "hysteresis " + hysteresis + " must be at least 1");
            }
        }

        /** The settings of the published runs: 4096, window 1000, minimum 1, hysteresis 2. */
        public static Dynamic published() {
            return new Dynamic(4096, 1000, 1, 2);
        }

        @Override
        public ScalarState initial() {
            return new ScalarState(0, 0, initialScale, 0, -1, hysteresis);
        }

        @Override
        public Result after(ScalarState state, boolean overflow) {
            long iteration = state.scalerIteration();
            double scale = state.lossScale();
            if (overflow) {
                boolean shrink = state.hysteresis() <= 1;
                if (shrink && scale <= minimum) {
                    return new Abort(state.step(), scale);
                }
                return new Updated(new ScalarState(
                        state.step() + 1,
                        state.appliedUpdates(),
                        shrink ? Math.max(scale / 2, minimum) : scale,
                        iteration + 1,
                        iteration,
                        shrink ? state.hysteresis() : state.hysteresis() - 1));
            }
            boolean grow = (iteration - state.lastOverflow()) % window == 0
                    && Double.isFinite(scale * 2);
            return new Updated(new ScalarState(
                    state.step() + 1,
                    state.appliedUpdates() + 1,
                    grow ? scale * 2 : scale,
                    iteration + 1,
                    state.lastOverflow(),
                    grow ? hysteresis : state.hysteresis()));
        }
    }
}
