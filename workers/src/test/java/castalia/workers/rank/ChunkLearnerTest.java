package castalia.workers.rank;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.StateDigest;
import castalia.workers.rank.TinyRun.Layout;
import castalia.workers.state.HeldChunks;
import java.util.Set;
import org.junit.jupiter.api.Test;

class ChunkLearnerTest {

    private static final int CHUNK = 2;

    @Test
    void aCopyWithOtherBitsThanTheOwnersIsNotKeptAndSaysThatTheyDiffer() {
        TrainingPlan plan = TinyRun.plan(TinyRun.shape()).build();
        ChunkGrid grid = RankSettings.of(plan, Recomputation.NONE).grid();
        try (RankGroup group = TinyRun.group(plan, Layout.plain())) {
            group.onRank(0, rank -> {
                HeldChunks held = rank.held();
                StateDigest right = held.digest(CHUNK);
                StateDigest wrong = new StateDigest(right.a() + 1, right.b());
                try (ChunkLearner learner = new ChunkLearner(rank, grid, Set.of(CHUNK))) {
                    CastaliaException found = catchThrowableOfType(CastaliaException.class,
                            () -> learner.base(CHUNK, rank.scalars(), wrong,
                                    held.weight(CHUNK).segment(),
                                    held.firstMoment(CHUNK).segment(),
                                    held.secondMoment(CHUNK).segment()));
                    assertThat(found.code()).isEqualTo(ErrorCode.NUMERIC_DIVERGED);
                    assertThat(found).hasMessageContaining("chunk " + CHUNK)
                            .hasMessageContaining(right.hex()).hasMessageContaining(wrong.hex());
                    assertThat(learner.complete()).isFalse();
                }
                return rank;
            });
        }
    }
}
