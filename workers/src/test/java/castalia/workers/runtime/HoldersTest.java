package castalia.workers.runtime;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.control.GenerationPlan.Start;
import castalia.protocol.control.HolderReport;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.layout.Placement.Holdings;
import castalia.protocol.run.RollForward;
import castalia.protocol.specification.TrainingPlan;
import castalia.workers.rank.TinyRun;
import castalia.workers.rank.TinyRun.Layout;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

/** Ranks that hold chunks and do not compute. */
@Tag("default")
@Timeout(value = 1, unit = TimeUnit.MINUTES, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class HoldersTest {

    private static final TrainingPlan PLAN = TinyRun.plan(TinyRun.shape()).build();

    /** What a rank holds on behalf of others it keeps, though nobody sends it weights it has no use for. */
    @Test
    void aMemberThatStopsComputingGoesOnHoldingWithoutAGather() {
        try (Crew crew = new Crew(PLAN, 20, _ -> false, Optional.empty())) {
            crew.fillMillis = 3;
            crew.held = 6;
            List<Member> members = List.of(crew.add(0), crew.add(1), crew.add(2));
            crew.query(members);
            Placement all = Placement.of(crew.grid, 4, 3);
            crew.begin(members, all, new Start.Initial(), true, -1);
            crew.awaitStep(3);
            List<HolderReport> reports = crew.query(members);
            RollForward.Memory memory =
                    (RollForward.Memory) RollForward.of(reports, crew.grid.size());
            int[] owners = new int[crew.grid.size()];
            int[] buddies = new int[crew.grid.size()];
            for (int c = 0; c < owners.length; c++) {
                owners[c] = all.owner(c);
                buddies[c] = all.buddy(c);
            }
            Placement one = Placement.of(new ParallelLayout(1, 1, 1, 1), 4,
                    crew.grid.layout().tensorSlices(), 3,
                    Holdings.of(crew.grid, owners, buddies));
            boolean gather = reports.stream().noneMatch(
                    r -> r.worker().equals(members.getFirst().incarnation())
                            && r.weights() == memory.scalars().step());
            crew.begin(members, one,
                    new Start.Memory(memory.scalars(), memory.update(), List.of()), gather, -1);
            assertThat(crew.finish(3))
                    .isEqualTo(TinyRun.trace(PLAN, Layout.plain(), 20).getLast());
            assertThat(crew.heard(WorkerMessage.Stepped.class))
                    .filteredOn(s -> s.fence().equals(crew.fence)
                            && !s.worker().equals(members.getFirst().incarnation()))
                    .isNotEmpty().allSatisfy(s -> assertThat(s.progress().sequences()).isZero());
        }
    }
}
