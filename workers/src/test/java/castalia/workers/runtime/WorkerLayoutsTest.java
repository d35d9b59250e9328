package castalia.workers.runtime;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.control.GenerationPlan.Start;
import castalia.protocol.control.HolderReport;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.layout.PlacementPlanner;
import castalia.protocol.layout.ReshardPlan;
import castalia.protocol.run.RollForward;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.StateDigest;
import castalia.workers.rank.RankGroup;
import castalia.workers.rank.TinyRun;
import castalia.workers.rank.TinyRun.Layout;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Workers that share replicas, and workers that hold chunks and compute nothing. */
@Tag("default")
@Timeout(value = 2, unit = TimeUnit.MINUTES, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class WorkerLayoutsTest {

    private static final int STEPS = 20;
    private static final TrainingPlan PLAN =
            TinyRun.plan(TinyRun.shape()).tensorSlices(2).build();

    @ParameterizedTest
    @CsvSource({"0, 0", "1, 1", "1, 3", "2, 2", "2, 1", "3, 0"})
    void afterALossTheLastGroupComputesTheOthersHoldAndEverythingElseIsAsBefore(int zero, int lost) {
        WorkerParts.Validation validation =
                new WorkerParts.Validation(TinyRun.sources(PLAN, 1).getFirst(), STEPS, 2);
        double expected;
        StateDigest end;
        try (RankGroup group = TinyRun.group(PLAN, Layout.plain())) {
            for (int s = 0; s < STEPS; s++) {
                group.step(TinyRun.sources(PLAN, 1));
            }
            expected = group.validate(TinyRun.sources(PLAN, 1), 2);
            end = group.digest();
        }
        try (Crew crew = new Crew(PLAN, STEPS, step -> step % 3 == 0, Optional.of(validation))) {
            crew.fillMillis = 2;
            crew.held = 9;
            List<Member> members = IntStream.range(0, 4).mapToObj(crew::add).toList();
            crew.query(members);
            Placement first =
                    Placement.of(crew.grid, PLAN.virtualRanks(), new ParallelLayout(2, 2, zero, 1));
            crew.begin(members, first, new Start.Initial(), true, -1);
            crew.awaitStep(5);
            crew.kill(members.get(lost));
            List<Member> left = new ArrayList<>(members);
            left.remove(lost);
            // the member of the broken replica comes last: it computes nothing any more
            Member single = members.get(lost ^ 1);
            left.remove(single);
            left.add(single);
            recover(crew, left, new ParallelLayout(1, 2, zero, 1));
            assertThat(crew.finish(3)).isEqualTo(end);
            assertThat(crew.heard(WorkerMessage.Validated.class))
                    .extracting(WorkerMessage.Validated::loss).containsExactly(expected);
            assertThat(crew.heard(WorkerMessage.Stored.class))
                    .allSatisfy(stored -> assertThat(stored.entries()).hasSize(crew.grid.size()))
                    .extracting(stored -> stored.scalars().step())
                    .contains(0L, 3L, 6L, 9L, 12L, 15L, 18L, 20L);
            assertThat(crew.heard(WorkerMessage.Stepped.class).stream()
                    .filter(s -> s.progress().step() == STEPS - 1)
                    .mapToInt(s -> s.progress().sequences()).sum())
                    .as("each sequence counts once").isEqualTo(PLAN.globalBatch());
        }
    }

    /** As a coordinator does: chunks stay where they are, and weights that are there stay too. */
    private static void recover(Crew crew, List<Member> members, ParallelLayout layout) {
        List<HolderReport> reports = crew.query(members);
        RollForward.Memory memory =
                (RollForward.Memory) RollForward.of(reports, crew.grid.size());
        List<List<Integer>> holders = memory.holders().stream()
                .map(who -> IntStream.range(0, members.size())
                        .filter(r -> who.contains(members.get(r).incarnation())).boxed().toList())
                .toList();
        List<String> nodes = Collections.nCopies(members.size(), "n");
        Placement placement = PlacementPlanner.of(
                crew.grid, PLAN.virtualRanks(), layout, holders, nodes);
        long version = memory.scalars().step();
        boolean gather = !layout.fetchesWeights() && IntStream.range(0, layout.ranks())
                .anyMatch(r -> reports.stream().noneMatch(report ->
                        report.worker().equals(members.get(r).incarnation())
                                && report.weights() == version
                                && report.slices().equals(placement.slices(r))));
        crew.begin(members, placement, new Start.Memory(memory.scalars(), memory.update(),
                ReshardPlan.of(crew.grid, placement, holders, nodes).moves()), gather, -1);
    }
}
