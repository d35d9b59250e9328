package castalia.protocol;

import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.control.Committed;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.GenerationPlan;
import castalia.protocol.control.HolderReport;
import castalia.protocol.control.HolderReport.Held;
import castalia.protocol.control.Progress;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Endpoint;
import castalia.protocol.identity.Fence;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.layout.ReshardPlan;
import castalia.protocol.layout.SliceBlock;
import castalia.protocol.step.ScalarState;
import castalia.protocol.step.Scaling;
import castalia.protocol.step.StateDigest;
import castalia.protocol.step.Verdict;
import java.util.List;
import java.util.Optional;

/** One control message of each kind, and of each shape where a kind has several. */
public final class ControlSamples {

    private static final Fence FENCE = new Fence(3, 17);
    private static final Incarnation WORKER = new Incarnation(0x8123456789abcdefL);
    private static final ScalarState SCALARS = new ScalarState(7, 6, 4096, 7, 3, 2);
    private static final Committed COMMITTED = new Committed(
            7, new Verdict.Apply(1.25, 5.5, new StateDigest(-2, 9), 0.0625f));

    private static final Committed SKIPPED = new Committed(
            7, new Verdict.Skip(Double.POSITIVE_INFINITY, new StateDigest(-2, 9)));

    private ControlSamples() {}

    public static Member member(int rank) {
        Optional<String> socket = rank % 2 == 0 ? Optional.of("/run/w" + rank) : Optional.empty();
        return new Member(new Incarnation(0x1000L + rank), "w" + rank, "node-π",
                4000 + rank, new Endpoint("127.0.0.1", 40_000 + rank, socket));
    }

    public static List<WorkerMessage> worker() {
        List<ChunkEntry> entries = Samples.manifest().chunks();
        return List.of(
                new WorkerMessage.Registered(
                        member(2), "c0ffee", "cpu-1", "b01d", "cpu, 2 threads", Fence.NONE),
                new WorkerMessage.Reported(report(List.of(
                        new Held(0, 7, true, new StateDigest(1, -1)),
                        new Held(1, 7, true, StateDigest.ZERO),
                        new Held(2, 8, false, new StateDigest(Long.MIN_VALUE, 3)),
                        new Held(9, 8, false, new StateDigest(4, 5))))),
                new WorkerMessage.Reported(new HolderReport(
                        FENCE, WORKER, Optional.empty(), List.of(), -1, SliceBlock.NONE, Optional.empty())),
                new WorkerMessage.Installed(FENCE, WORKER),
                new WorkerMessage.Stepped(FENCE, WORKER, new Progress(
                        41, 5.5, Double.NaN, 1e-4, new StateDigest(5, 6), 32,
                        new Progress.Totals(1, 2, 3, 4, 5),
                        new Progress.Nanos(6, 7, 8, 9, 1L << 40, 11))),
                new WorkerMessage.Validated(FENCE, 100, 4.75),
                new WorkerMessage.Paused(FENCE, WORKER, 42),
                new WorkerMessage.Suspects(FENCE, WORKER, new Incarnation(-1), true, "vote of 41"),
                new WorkerMessage.Stored(FENCE, SCALARS, entries.subList(0, 3), entries.size()),
                new WorkerMessage.CaughtUp(FENCE, WORKER, 43),
                new WorkerMessage.Finished(FENCE, WORKER, 150, new StateDigest(1, 2)),
                new WorkerMessage.Failed(FENCE, WORKER, ErrorCode.STORAGE_FAILED, "disk is full"),
                new WorkerMessage.Stepped(FENCE, WORKER, new Progress(
                        42, 5.5, Double.NaN, 1e-4, new StateDigest(5, 6), 32,
                        Optional.of(new Scaling(4096, true, 3)),
                        new Progress.Totals(1, 2, 3, 4, 5), new Progress.Nanos(6, 7, 8, 9, 10, 0))),
                new WorkerMessage.Reported(new HolderReport(
                        FENCE, WORKER, Optional.of(SCALARS), List.of(), 7,
                        SliceBlock.NONE, Optional.of(SKIPPED))));
    }

    public static HolderReport report(List<Held> chunks) {
        return new HolderReport(
                FENCE, WORKER, Optional.of(SCALARS), chunks, 7, new SliceBlock(1, 1), Optional.of(COMMITTED));
    }

    public static List<CoordinatorMessage> coordinator() {
        return List.of(
                new CoordinatorMessage.Query(FENCE),
                install(new GenerationPlan.Start.Initial()),
                install(new GenerationPlan.Start.Memory(SCALARS, Optional.empty(), List.of())),
                install(new GenerationPlan.Start.Memory(SCALARS, Optional.of(COMMITTED),
                        List.of(new ReshardPlan.Move(1, 2, 0, 2), new ReshardPlan.Move(3, 1, 1, 0)))),
                install(new GenerationPlan.Start.Checkpoint(12)),
                new CoordinatorMessage.Start(FENCE),
                new CoordinatorMessage.Pause(FENCE, 42, true),
                new CoordinatorMessage.Feed(FENCE, member(1), List.of(3, 4, 5, 900, 2)),
                new CoordinatorMessage.Learn(FENCE, List.of()),
                new CoordinatorMessage.Dismiss(FENCE, "another build"),
                new CoordinatorMessage.Saved(FENCE, 512),
                new CoordinatorMessage.FlipBit(FENCE, 1L << 33, 31),
                install(new GenerationPlan.Start.Memory(
                        SCALARS, Optional.of(SKIPPED), List.of())));
    }

    private static CoordinatorMessage install(GenerationPlan.Start start) {
        Placement placement = Placement.of(ParallelLayout.of(3), 4, 2, 3,
                new Placement.Holdings(new int[] {0, 0, 1, 2},
                        new int[][] {{1, 2, 2, Placement.NONE}}, new int[] {0, 1, 1, -1}));
        return new CoordinatorMessage.Install(new GenerationPlan(
                FENCE, List.of(member(0), member(1), member(2)), placement, start, true, -1));
    }
}
