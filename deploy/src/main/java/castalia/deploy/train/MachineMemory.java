package castalia.deploy.train;

import castalia.deploy.doctor.MemoryInfo;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.planner.Devices;
import castalia.protocol.planner.LayoutPlanner;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.planner.Workload;
import castalia.protocol.specification.TrainingPlan;
import java.io.IOException;
import java.nio.file.Path;

/** Whether this machine has the memory for a layout, asked before anything is allocated. */
public final class MachineMemory {

    /** Speeds play no part in what fits; the fastest layouts are named as if links were no matter. */
    private static final double SOME_FLOPS = 1e11;
    private static final double SOME_BANDWIDTH = 4e9;

    private MachineMemory() {}

    /** Memory that may be used: what the system calls available, within the control groups' limits. */
    public static long usableBytes() {
        try {
            return MemoryInfo.read(Path.of("/")).usableBytes();
        } catch (IOException e) {
            return Runtime.getRuntime().maxMemory();
        }
    }

    /**
     * The fastest way to compute, of those that fit the memory; the smallest, where none fits. Ranks are
     * taken to hold all state each, so that the answer stands through every change of layout.
     *
     * @param hosting ranks and memory of this machine
     * @param earlyBytes most bytes of frames a rank keeps; 0 for ranks of one process
     */
    public static Recomputation fitting(TrainingPlan plan, Hosting hosting, long earlyBytes) {
        return fitting(plan, hosting.usableBytes() / hosting.ranks(), earlyBytes);
    }

    /** As the other, of the memory that one rank may use. */
    public static Recomputation fitting(TrainingPlan plan, long bytes, long earlyBytes) {
        int ranks = early(earlyBytes) > 0 && plan.virtualRanks() > 1 ? 2 : 1; // frames come from others
        ParallelLayout whole = new ParallelLayout(ranks, 1, 0, 0);
        long share = Math.max(1, bytes);
        long usable = share > Long.MAX_VALUE / ranks ? share : ranks * share;
        for (Recomputation each : Recomputation.values()) {
            if (planner(plan, each, whole, earlyBytes, usable).refusal(whole).isEmpty()) {
                return each;
            }
        }
        return Recomputation.BLOCK;
    }

    /** Frames that come early lie in the machine's memory, not in a GPU's. */
    private static long early(long bytes) {
        return DeviceChoice.ofProcess().cuda() ? 0 : bytes;
    }

    /** Whether ranks that divide nothing have room, each on an equal share of what may be used. */
    public static boolean fits(TrainingPlan plan, Hosting hosting) {
        ParallelLayout layout = ParallelLayout.of(hosting.ranks());
        return planner(plan, hosting.recomputation(), layout, 0, hosting.usableBytes()).fits(layout);
    }

    private static LayoutPlanner planner(
            TrainingPlan plan, Recomputation recomputation, ParallelLayout layout, long earlyBytes,
            long usableBytes) {
        return new LayoutPlanner(
                Workload.of(plan, recomputation, DeviceChoice.ofProcess().head()),
                new Devices(layout.ranks(), layout.ranks(), usableBytes, true, early(earlyBytes), SOME_FLOPS,
                        SOME_BANDWIDTH, SOME_BANDWIDTH));
    }

    /**
     * Refuses a layout that has no room on this machine, all of whose ranks would be here.
     *
     * @param earlyBytes most bytes of frames a rank keeps; 0 for ranks of one process
     * @param usableBytes what all ranks together may use
     * @throws CastaliaException naming what would fit
     */
    public static void require(
            TrainingPlan plan, Recomputation recomputation, ParallelLayout layout, long earlyBytes,
            long usableBytes) {
        if (layout.ranks() > Devices.MOST) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, layout + " has " + layout.ranks()
                    + " ranks; at most " + Devices.MOST + " can run");
        }
        if (usableBytes <= 0) {
            throw new CastaliaException(ErrorCode.OUT_OF_MEMORY, "this machine, or the control group that"
                    + " this process runs in, has no memory left: free some, or raise the limit");
        }
        planner(plan, recomputation, layout, earlyBytes, usableBytes).refusal(layout).ifPresent(why -> {
            throw new CastaliaException(ErrorCode.OUT_OF_MEMORY, why
                    + ". Or choose a smaller micro-batch, recomputation, or "
                    + (DeviceChoice.ofProcess().cuda() ? "GPUs" : "a machine")
                    + " with more memory; ./castalia layouts shows more");
        });
    }
}
