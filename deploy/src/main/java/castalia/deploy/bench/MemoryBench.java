package castalia.deploy.bench;

import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.train.Hosting;
import castalia.deploy.train.Wiring;
import castalia.kernels.Device;
import castalia.kernels.cpu.CpuDevice;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.planner.PlacementMemory;
import castalia.protocol.planner.RankMemory;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.planner.Workload;
import castalia.protocol.specification.Initialisation;
import castalia.protocol.specification.TrainingPlan;
import castalia.workers.data.SyntheticBatches;
import castalia.workers.rank.RankGroup;
import castalia.workers.rank.RankSettings;
import castalia.workers.rank.StateTransfer;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/** What the ranks of a layout take of this process's memory. */
public final class MemoryBench {

    private static final Duration DEADLINE = Duration.ofMinutes(5);

    private MemoryBench() {}

    /**
     * Memory of all ranks of this process together.
     *
     * @param layout the layout
     * @param planned_bytes the planner's formula
     * @param arena_bytes what the ranks' arenas allocated
     * @param device_bytes that and the devices' own working memory
     * @param peak_bytes peak resident memory of the process
     */
    @SuppressWarnings("MemberName") // the names of the JSON line
    public record Result(
            String layout, long planned_bytes, long arena_bytes, long device_bytes, long peak_bytes) {}

    /** Executes some steps on all ranks of a layout, in this process. */
    public static Result here(
            TrainingPlan plan, ParallelLayout layout, int steps, CastaliaHome home) {
        Hosting hosting = new Hosting(layout.ranks(), 1, Recomputation.NONE);
        List<Device> devices = Collections.synchronizedList(new ArrayList<>());
        try (RankGroup group = new RankGroup(RankSettings.of(plan, hosting.recomputation()), layout,
                rank -> {
                    Device device = Wiring.devices(hosting, home).apply(rank);
                    devices.add(device);
                    return device;
                }, DEADLINE)) {
            StateTransfer.initialise(group, (Initialisation.Drawn) plan.initialisation());
            SyntheticBatches source = new SyntheticBatches(
                    Wiring.batches(plan), plan.model().vocabulary(), plan.seed());
            for (int s = 0; s < steps; s++) {
                group.step(Collections.nCopies(layout.ranks(), source));
            }
            Workload work = Workload.of(plan, Recomputation.NONE);
            long planned = PlacementMemory.of(work, group.placement(), 0).stream()
                    .mapToLong(RankMemory::arenas).sum();
            long arenas = 0;
            for (int r = 0; r < layout.ranks(); r++) {
                arenas += group.rank(r).allocatedBytes();
            }
            long held = devices.stream()
                    .mapToLong(d -> d instanceof CpuDevice cpu ? cpu.heldBytes() : 0).sum();
            return new Result(layout.toString(), planned, arenas, held, StepBench.peakBytes());
        }
    }
}
