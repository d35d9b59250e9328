package castalia.protocol.planner;

import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import java.util.List;
import java.util.function.ToLongFunction;

/**
 * Estimates the time of a step from operations and bytes.
 *
 * <p>Partial gradients leave while the backward pass of a virtual rank's last micro-batch runs (the
 * rank's last virtual rank with ZeRO 0 and 1); with ZeRO 3 weights come a layer ahead of need.
 * Everything else is waited for.
 */
final class TimeEstimate {

    private final Workload work;
    private final Devices devices;

    TimeEstimate(Workload work, Devices devices) {
        this.work = work;
        this.devices = devices;
    }

    StepTime of(Placement placement, List<RankTraffic> traffic) {
        ParallelLayout layout = placement.layout();
        int t = layout.tensorParallel();
        int rounds = 0;
        for (int d = 0; d < layout.dataParallel(); d++) {
            rounds = Math.max(rounds, placement.blockOf(d).count());
        }
        double compute = seconds(
                (double) rounds * work.plan().microBatchesPerVirtualRank()
                        * work.flopsPerMicroBatch() / t);
        double backward = seconds(work.backwardFlopsPerMicroBatch() / t);
        double partials = longest(traffic, Traffic::partials);
        double weights = longest(traffic, Traffic::weights);
        double others = longest(traffic, Traffic::finished) + longest(traffic, Traffic::slices)
                + longest(traffic, Traffic::votes);
        double exposed = others
                + Math.max(0, partials - backward * (layout.zero() < 2 ? 1 : rounds))
                + Math.max(0, weights - (layout.zero() < 3 ? 0 : compute));
        return new StepTime(compute, partials + weights + others, exposed);
    }

    private double seconds(double operations) {
        return operations / devices.flops();
    }

    private double longest(List<RankTraffic> traffic, ToLongFunction<Traffic> kind) {
        double longest = 0;
        for (RankTraffic rank : traffic) {
            long sentAcross = kind.applyAsLong(rank.sentAcross());
            long receivedAcross = kind.applyAsLong(rank.receivedAcross());
            long inside = Math.max(kind.applyAsLong(rank.sent()) - sentAcross,
                    kind.applyAsLong(rank.received()) - receivedAcross);
            longest = Math.max(longest, inside / devices.nodeBandwidth()
                    + Math.max(sentAcross, receivedAcross) / devices.linkBandwidth());
        }
        return longest;
    }
}
