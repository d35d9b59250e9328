package castalia.workers.runtime;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.GenerationPlan.Start;
import castalia.protocol.control.WorkerMessage;
import castalia.protocol.identity.Member;
import castalia.workers.rank.TinyRun;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Tag("default")
@Timeout(value = 2, unit = TimeUnit.MINUTES, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class StoredStepsTest {

    private static long step(WorkerMessage.Stored stored) {
        return stored.scalars().step();
    }

    @Test
    void membersWaitAtADueStepWhileTooManyAreUnpublishedAndLeaveNoneOut() throws Exception {
        int most = 5;
        int steps = most + 3;
        try (Crew crew = new Crew(TinyRun.plan(TinyRun.shape()).build(), steps, _ -> true,
                Optional.empty())) {
            crew.storage.mostUnpublished = most;
            List<Member> members = List.of(crew.add(0), crew.add(1));
            crew.query(members);
            crew.begin(members, new Start.Initial(), -1);
            crew.await(WorkerMessage.Stepped.class, 2 * most);
            // without a bound the next step would follow at once
            assertThat(crew.said.poll(300, TimeUnit.MILLISECONDS)).isNull();
            for (long saved = 0; saved < 4; saved++) {
                for (Member member : members) {
                    crew.send(member, new CoordinatorMessage.Saved(crew.fence, saved));
                }
                assertThat(step(crew.await(WorkerMessage.Stored.class)))
                        .isEqualTo(most + saved);
            }
            crew.finish(2);
            assertThat(crew.heard(WorkerMessage.Stored.class)).extracting(StoredStepsTest::step)
                    .containsExactlyElementsOf(LongStream.rangeClosed(0, steps).boxed().toList());
        }
    }
}
