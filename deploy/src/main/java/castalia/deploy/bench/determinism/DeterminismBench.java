package castalia.deploy.bench.determinism;

import castalia.deploy.shell.CastaliaHome;
import castalia.protocol.specification.TrainingPlan;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Consumer;
import java.util.function.IntFunction;

/**
 * What it costs that sums are taken in an order that nothing changes.
 *
 * <p>At one tensor slice the same step is timed twice: as training does it, with a gradient per virtual
 * rank that is folded along the canonical tree; and with every rank's micro-batches accumulated into
 * one gradient and the ranks' gradients summed in the order in which they arrive. More tensor slices
 * are timed beside one.
 */
public final class DeterminismBench {

    /**
     * A step beside what it is compared with.
     *
     * @param what what was compared
     * @param step_s seconds of the step, median
     * @param base_s seconds of the other
     * @param cost_percent median over pairs of the excess
     */
    @SuppressWarnings("MemberName") // the names of the JSON line
    public record Cost(String what, double step_s, double base_s, double cost_percent) {}

    /**
     * What to measure.
     *
     * @param ranks ranks of the comparison at one slice, as threads
     * @param slices numbers of tensor slices that are compared with one, on one rank
     * @param threads computing threads together
     * @param pairs timed steps of each, in turns
     */
    public record Settings(int ranks, List<Integer> slices, int threads, int pairs) {

        public Settings {
            slices = List.copyOf(slices);
        }
    }

    /** Plans of the measured model. */
    public interface Plans {

        /**
         * A plan.
         *
         * @param virtualRanks parts of the global batch, which is the same for all
         */
        TrainingPlan plan(int virtualRanks, int sequences, int tensorSlices);
    }

    private static final int WARM_STEPS = 2;

    private DeterminismBench() {}

    /**
     * Measures.
     *
     * @param virtualRanks virtual ranks of the comparison at one slice
     * @param found told of each result
     */
    public static void run(Settings settings, int virtualRanks, Plans plans, CastaliaHome home,
            Consumer<Cost> found) {
        int ranks = settings.ranks();
        Arrivals arrivals = new Arrivals();
        try (TimedRanks ordered = new TimedRanks(plans.plan(virtualRanks, virtualRanks, 1), ranks,
                        settings.threads(), home, transport -> transport);
                TimedRanks arriving = new TimedRanks(plans.plan(ranks, virtualRanks, 1), ranks,
                        settings.threads(), home,
                        transport -> new ArrivalOrderTransport(transport, arrivals))) {
            found.accept(cost("fixed order of sums beside order of arrival", List.of(
                    arriving, ordered), settings.pairs()).getFirst());
        }
        IntFunction<TimedRanks> sliced = slices -> new TimedRanks(
                plans.plan(1, 1, slices), 1, settings.threads(), home, transport -> transport);
        List<TimedRanks> all = new ArrayList<>();
        try {
            all.add(sliced.apply(1));
            for (int slices : settings.slices()) {
                all.add(sliced.apply(slices));
            }
            List<Cost> costs = cost("", all, settings.pairs());
            for (int i = 0; i < costs.size(); i++) {
                Cost cost = costs.get(i);
                found.accept(new Cost(settings.slices().get(i) + " tensor slices beside one",
                        cost.step_s, cost.base_s, cost.cost_percent));
            }
        } finally {
            all.forEach(TimedRanks::close);
        }
    }

    /** Times steps in turns; one result for each but the first, which all are compared with. */
    private static List<Cost> cost(String what, List<TimedRanks> all, int pairs) {
        double[][] seconds = new double[all.size()][pairs];
        for (int i = -WARM_STEPS; i < pairs; i++) {
            for (int n = 0; n < all.size(); n++) {
                int k = i % 2 == 0 ? n : all.size() - 1 - n; // neither is always the first
                double taken = all.get(k).step();
                if (i >= 0) {
                    seconds[k][i] = taken;
                }
            }
        }
        List<Cost> costs = new ArrayList<>();
        for (int k = 1; k < all.size(); k++) {
            double[] one = seconds[k];
            double[] ratios = new double[pairs];
            Arrays.setAll(ratios, i -> one[i] / seconds[0][i]);
            costs.add(new Cost(what, round(median(one)), round(median(seconds[0])),
                    round((median(ratios) - 1) * 100)));
        }
        return costs;
    }

    private static double median(double[] values) {
        double[] sorted = values.clone();
        Arrays.sort(sorted);
        return (sorted[(sorted.length - 1) / 2] + sorted[sorted.length / 2]) / 2;
    }

    private static double round(double value) {
        return Math.round(value * 10_000) / 10_000.0;
    }
}
