package castalia.protocol.planner;

import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.stream.Collectors;

/** Says of a workload and devices which layouts fit, and what each costs. */
public final class LayoutPlanner {

    private static final int NAMED = 3;
    private static final int LARGEST_FACTOR = 64;

    private final Workload work;
    private final Devices devices;
    private final TimeEstimate time;

    public LayoutPlanner(Workload work, Devices devices) {
        this.work = work;
        this.devices = devices;
        this.time = new TimeEstimate(work, devices);
    }

    /**
     * The layouts that were looked at.
     *
     * @param fitting those that fit, the fastest first, of equally fast ones the smallest
     * @param tooLarge the others, the one that lacks least first
     */
    public record Offer(List<LayoutEstimate> fitting, List<LayoutEstimate> tooLarge) {}

    /**
     * A number of virtual ranks V for a run on up to {@code replicas} replicas: the smallest multiple of
     * it that cuts the global batch evenly, so that all replicas have equal work; where there is none,
     * the smallest number not below it, or as many as there are micro-batches.
     *
     * @param globalBatch sequences of a step
     * @param microBatch sequences that go through at once
     * @param replicas the most data-parallel ranks worth having
     */
    public static int virtualRanks(int globalBatch, int microBatch, int replicas) {
        int batches = globalBatch / microBatch;
        for (int factor = 1; factor <= LARGEST_FACTOR && factor * replicas <= batches; factor++) {
            if (globalBatch % microBatch == 0 && batches % (factor * replicas) == 0) {
                return factor * replicas;
            }
        }
        for (int v = Math.min(replicas, batches); v < batches; v++) {
            if (batches % v == 0) {
                return v;
            }
        }
        return Math.max(1, batches);
    }

    /**
     * All layouts worth a look: every t, stage and number of buddies; D where fewer replicas would have
     * more virtual ranks each, and as many replicas as there are devices for.
     */
    public List<ParallelLayout> candidates() {
        List<ParallelLayout> all = new ArrayList<>();
        int virtualRanks = work.plan().virtualRanks();
        for (int t = 1; t <= mostTensorParallel(); t *= 2) {
            int most = Math.min(virtualRanks, devices.count() / t);
            for (int d = 1; d <= most; d++) {
                if (d == 1 || d == most || rounds(virtualRanks, d) < rounds(virtualRanks, d - 1)) {
                    stages(d, t, all);
                }
            }
        }
        return List.copyOf(all);
    }

    /** All layouts with {@code replicas} replicas: none where V or the devices do not allow it. */
    public List<ParallelLayout> candidates(int replicas) {
        List<ParallelLayout> all = new ArrayList<>();
        for (int t = 1; t <= mostTensorParallel(); t *= 2) {
            if (replicas >= 1 && replicas <= Math.min(
                    work.plan().virtualRanks(), devices.count() / t)) {
                stages(replicas, t, all);
            }
        }
        return List.copyOf(all);
    }

    private int mostTensorParallel() {
        return Math.min(work.plan().tensorSlices(), devices.count());
    }

    private static int rounds(int virtualRanks, int replicas) {
        return (virtualRanks + replicas - 1) / replicas;
    }

    /** A single rank has nothing to divide; with ZeRO 0 everybody holds what a buddy would. */
    private static void stages(int d, int t, List<ParallelLayout> all) {
        all.add(new ParallelLayout(d, t, 0, 0));
        for (int zero = 1; zero < ParallelLayout.STAGES && d * t > 1; zero++) {
            for (int b = 0; b <= Math.min(ParallelLayout.MOST_BUDDIES, d * t - 1); b++) {
                all.add(new ParallelLayout(d, t, zero, b));
            }
        }
    }

    /** Looks at all {@link #candidates}. */
    public Offer offer() {
        return offer(candidates());
    }

    /** Looks at some layouts. */
    public Offer offer(List<ParallelLayout> layouts) {
        List<LayoutEstimate> all = layouts.stream().map(this::estimate).toList();
        return new Offer(
                all.stream().filter(LayoutEstimate::fits)
                        .sorted(Comparator.comparingDouble((LayoutEstimate e) -> e.time().total())
                                .thenComparingLong(e -> e.memory().total()))
                        .toList(),
                all.stream().filter(e -> !e.fits())
                        .sorted(Comparator.comparingLong(LayoutEstimate::excessBytes)).toList());
    }

    /**
     * What a layout costs.
     *
     * @throws IllegalArgumentException if it does not fit V and T
     */
    public LayoutEstimate estimate(ParallelLayout layout) {
        Placement placement =
                Placement.of(work.grid(), work.plan().virtualRanks(), layout);
        List<RankTraffic> traffic = PlacementTraffic.of(work, placement, devices.perNode());
        RankMemory memory = PlacementMemory.of(work, placement, devices.earlyBytes()).stream()
                .max(Comparator.comparingLong(RankMemory::total)).orElseThrow();
        return new LayoutEstimate(layout, memory,
                traffic.stream().map(RankTraffic::sent)
                        .max(Comparator.comparingLong(Traffic::total)).orElseThrow(),
                traffic.stream().map(RankTraffic::received)
                        .max(Comparator.comparingLong(Traffic::total)).orElseThrow(),
                time.of(placement, traffic), memory.total() - devices.memoryOf(layout.ranks()));
    }

    /** Whether there are devices enough for a layout, and memory enough on each. */
    public boolean fits(ParallelLayout layout) {
        return layout.fits(work.plan().virtualRanks(), work.plan().tensorSlices())
                && layout.ranks() <= devices.count() && estimate(layout).fits();
    }

    /** Why a layout cannot be had, and what would fit, in one line; nothing if it can. */
    public Optional<String> refusal(ParallelLayout layout) {
        try {
            layout.require(work.plan().virtualRanks(), work.plan().tensorSlices());
        } catch (IllegalArgumentException e) {
            return Optional.of(e.getMessage() + "; " + whatFits());
        }
        if (layout.ranks() > devices.count()) {
            return Optional.of(layout + " needs " + layout.ranks() + " devices and there are "
                    + devices.count() + "; " + whatFits());
        }
        LayoutEstimate estimate = estimate(layout);
        return estimate.fits() ? Optional.empty()
                : Optional.of(layout + " needs " + text(estimate.memory().total())
                        + " of memory per rank, " + text(estimate.excessBytes()) + " more than the "
                        + text(devices.memoryOf(layout.ranks()))
                        + (devices.shared() ? " of each rank's share; " : " of a device; ")
                        + whatFits());
    }

    /** The fastest layouts that fit, or the one that comes closest. */
    public String whatFits() {
        Offer offer = offer();
        if (offer.fitting().isEmpty()) {
            LayoutEstimate closest = offer.tooLarge().getFirst();
            return "no layout fits; the smallest, " + closest.layout() + ", needs "
                    + text(closest.memory().total());
        }
        return "what fits: " + offer.fitting().stream().limit(NAMED)
                .map(e -> e.layout() + " (" + text(e.memory().total()) + ")")
                .collect(Collectors.joining(", "));
    }

    /** A number of bytes for people. */
    public static String text(long bytes) {
        double value = bytes;
        String[] units = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB"};
        int unit = 0;
        while (value >= 1024 && unit < units.length - 1) {
            value /= 1024;
            unit++;
        }
        return unit == 0 ? bytes + " bytes" : String.format(Locale.ROOT, "%.1f %s", value, units[unit]);
    }
}
