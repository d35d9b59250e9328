package castalia.workers.rank;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.specification.Precision;
import castalia.protocol.specification.TrainingPlan;
import castalia.protocol.step.StateDigest;
import castalia.workers.rank.TinyRun.Layout;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Training goes on after every kind of change of layout, with up to 64 ranks in this process, and no
 * step's digest is another than that of a single rank.
 */
@Timeout(value = 15, unit = TimeUnit.MINUTES)
class LayoutChainTest {

    @Test
    void theChainCoversEveryPairOfSettings() {
        List<ParallelLayout> chain = LayoutChain.of(TinyRun.STAGES);
        Set<Object> covered = new HashSet<>();
        for (int i = 1; i < chain.size(); i++) {
            covered.addAll(LayoutChain.pairs(chain.get(i - 1), chain.get(i)));
        }
        int perLayout = 6 * 4 + 6 * TinyRun.STAGES.size() + 6 * 3 + 4 * TinyRun.STAGES.size()
                + 4 * 3 + TinyRun.STAGES.size() * 3;
        int settings = 6 + 4 + TinyRun.STAGES.size() + 3;
        assertThat(covered).hasSize(2 * perLayout + settings * settings);
        assertThat(chain).hasSizeLessThan(80);
    }

    /** What a transition goes through. */
    private enum Way {
        /** Chunks move between ranks. */
        MEMORY,
        /** Saved by the ranks of one layout, loaded by others in the next. */
        CHECKPOINT,
        /** One after the other. */
        BOTH;

        boolean stored(int transition) {
            return this == CHECKPOINT || (this == BOTH && transition % 2 == 0);
        }
    }

    private static void follow(List<ParallelLayout> chain, Precision precision, Way way) {
        TrainingPlan plan = TinyRun.in(
                TinyRun.eightSlices().trainSteps(chain.size()).build(), precision);
        List<StateDigest> alone = TinyRun.trace(plan, Layout.plain(), chain.size());
        int most = chain.stream().mapToInt(ParallelLayout::ranks).max().orElseThrow();
        try (Workers workers = new Workers(plan, most)) {
            ParallelLayout now = chain.getFirst();
            workers.begin(now, (_, transport) -> transport);
            workers.onAll(rank -> rank.loaded(rank.initialScalars()));
            workers.step();
            for (int i = 1; i < chain.size(); i++) {
                ParallelLayout next = chain.get(i);
                if (way.stored(i)) {
                    workers.restore(
                            Placement.of(workers.grid(), plan.virtualRanks(), next));
                } else {
                    // who has no place any more stays to send what it holds
                    workers.reshape(Placement.of(workers.grid(), plan.virtualRanks(), next,
                            Math.max(now.ranks(), next.ranks())));
                }
                now = next;
                assertThat(workers.digest()).as("%s, %d", now, i).isEqualTo(alone.get(i));
                workers.step();
                assertThat(workers.digest()).as("after a step in %s", now)
                        .isEqualTo(alone.get(i + 1));
            }
        }
    }

    @Tag("default")
    @ParameterizedTest
    @CsvSource({"FP32, BOTH"})
    void trainingGoesOnAfterAShareOfTheChanges(Precision precision, Way way) {
        List<ParallelLayout> chain = LayoutChain.of(TinyRun.STAGES);
        follow(chain.subList(0, chain.size() / 2), precision, way);
    }

    @Tag("full")
    @ParameterizedTest
    @CsvSource({"FP32, MEMORY", "FP32, CHECKPOINT", "BF16, BOTH", "FP16, BOTH"})
    void trainingGoesOnAfterEveryKindOfChange(Precision precision, Way way) {
        follow(LayoutChain.of(TinyRun.STAGES), precision, way);
    }
}
