package castalia.protocol.schedule;

/**
 * The learning rate of an update. Time is counted in completed updates that changed the weights:
 * a step skipped by overflow does not advance it.
 *
 * <p>Arithmetic is F64 in the written order; the cosine is rounded to nearest.
 */
public sealed interface LearningRateSchedule {

    /**
     * The rate of the next update.
     *
     * @param appliedUpdates updates completed before it, 0 for the first
     */
    double at(long appliedUpdates);

    /** The name used in configuration. */
    String name();

    /** The largest rate. */
    double peak();

    /** Length of the linear warm-up in updates; it need not be whole. 0 for none. */
    double warmup();

    /**
     * GPT-NeoX v1.0, as the published Pythia runs used it: the first update has rate 0 where there
     * is a warm-up; the cosine has the period of the whole decay and falls towards 0, so the floor
     * is reached early and kept.
     *
     * @param peak rate at the end of the warm-up
     * @param floor lowest rate after the warm-up
     * @param warmup updates of warm-up
     * @param decay updates over which the rate falls (lr-decay-iters)
     */
    record NeoxV1(double peak, double floor, double warmup, long decay)
            implements LearningRateSchedule {

        /** Its name in configuration. */
        public static final String NAME = "neox-v1.0";

        public NeoxV1 {
            floor = checked(peak, floor, warmup, decay);
        }

        @Override
        public double at(long appliedUpdates) {
            double n = count(appliedUpdates);
            double k = Math.min(n, decay - warmup);
            if (warmup > 0 && n <= warmup) {
                return peak * k / warmup;
            }
            double cosine = Cosine.of(Math.PI * (k - warmup) / decay);
            return Math.max(peak / 2 * (cosine + 1), floor);
        }

        @Override
        public String name() {
            return NAME;
        }
    }

    /**
     * GPT-NeoX since 2026: the first update has the rate of the second; the cosine ends at the
     * floor when the decay does.
     *
     * @param peak rate at the end of the warm-up
     * @param floor rate at the end of the decay
     * @param warmup updates of warm-up
     * @param decay updates until the floor is reached, warm-up included
     */
    record NeoxCurrent(double peak, double floor, double warmup, long decay)
            implements LearningRateSchedule {

        /** Its name in configuration. */
        public static final String NAME = "neox-current";

        public NeoxCurrent {
            floor = checked(peak, floor, warmup, decay);
        }

        @Override
        public double at(long appliedUpdates) {
            double n = Math.min(count(appliedUpdates), (double) decay);
            if (warmup > 0 && n <= warmup) {
                return peak * Math.max(1, n) / warmup;
            }
            double cosine = Cosine.of(Math.PI * (n - warmup) / (decay - warmup));
            return Math.max(floor + (peak - floor) / 2 * (cosine + 1), floor);
        }

        @Override
        public String name() {
            return NAME;
        }
    }

    /**
     * A linear warm-up (the first update has the rate of the second), then the peak for ever.
     *
     * @param peak rate after the warm-up
     * @param warmup updates of warm-up
     */
    record Constant(double peak, double warmup) implements LearningRateSchedule {

        /** Its name in configuration. */
        public static final String NAME = "constant";

        public Constant {
            checked(peak, 0, warmup, Long.MAX_VALUE);
        }

        @Override
        public double at(long appliedUpdates) {
            double n = count(appliedUpdates);
            return n < warmup ? peak * Math.max(1, n) / warmup : peak;
        }

        @Override
        public String name() {
            return NAME;
        }
    }

    private static double checked(double peak, double floor, double warmup, long decay) {
        if (!(peak > 0) || !Double.isFinite(peak)) {
            throw new IllegalArgumentException("learning rate " + peak + " must exceed 0");
        }
        if (!(floor >= 0) || !(floor <= peak)) {
            throw new IllegalArgumentException("lowest learning rate (min_lr) " + floor
                    + " must lie between 0 and the learning rate " + peak);
        }
        if (decay < 1) {
            throw new IllegalArgumentException(
                    "the learning rate must decay over at least 1 update, not " + decay);
        }
        if (!(warmup >= 0) || !(warmup < decay)) {
            throw new IllegalArgumentException("warm-up of " + warmup
                    + " updates must be at least 0 and shorter than the decay of " + decay);
        }
        return floor + 0.0; // -0.0 becomes 0.0: equal schedules have equal bytes
    }

    private static double count(long appliedUpdates) {
        if (appliedUpdates < 0) {
            throw new IllegalArgumentException("applied updates " + appliedUpdates);
        }
        return appliedUpdates;
    }
}
