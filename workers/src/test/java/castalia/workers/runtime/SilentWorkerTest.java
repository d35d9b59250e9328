package castalia.workers.runtime;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.protocol.layout.LayoutWish;
import castalia.protocol.planner.Recomputation;
import castalia.protocol.run.RunNews;
import castalia.protocol.specification.TrainingPlan;
import castalia.workers.rank.RankSettings;
import castalia.workers.rank.TinyRun.Layout;
import castalia.workers.rank.TinyRun;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A worker stops answering, its peers and its coordinator alike, and comes back when it is too late. */
@Tag("default")
@Timeout(value = 2, unit = TimeUnit.MINUTES, threadMode = Timeout.ThreadMode.SEPARATE_THREAD)
class SilentWorkerTest {

    private static final int STEPS = 60;
    private static final int VIRTUAL_RANK = 5;
    /** Longer than a machine stands still, in which those who are well do not answer either. */
    private static final Duration GATHERING = Duration.ofSeconds(8);

    private static void await(CountDownLatch latch) {
        try {
            assertThat(latch.await(60, TimeUnit.SECONDS)).isTrue();
        } catch (InterruptedException e) {
            throw new IllegalStateException(e);
        }
    }

    @ParameterizedTest
    @CsvSource({"2, 2, 2", "3, 1, 1"})
    void itIsNamedAndLeftBehindAndTheSpareTakesItsPlace(
            int dataParallel, int tensorParallel, int zero) {
        TrainingPlan plan = TinyRun.eightSlices().trainSteps(STEPS).build();
        RankSettings settings = RankSettings.of(plan, Recomputation.NONE);
        AtomicBoolean hangs = new AtomicBoolean();
        CountDownLatch over = new CountDownLatch(1);
        Kit kit = new Kit(settings, new MemoryCheckpoints(settings.grid()),
                virtualRank -> {
                    if (virtualRank == VIRTUAL_RANK && hangs.compareAndSet(true, false)) {
                        await(over);
                    }
                    return 1;
                },
                STEPS, _ -> false, Optional.empty());
        LayoutWish layout = new LayoutWish(dataParallel, tensorParallel, zero, 1);
        try (LiveRun run = new LiveRun(kit, TinyRun.trace(plan, Layout.plain(), STEPS),
                layout.ranks(), layout, LiveRun.local(), GATHERING)) {
            run.script(news -> {
                if (news instanceof RunNews.Stepped stepped
                        && stepped.progress().step() == STEPS / 3 && stepped.rank() == 0) {
                    hangs.set(true);
                }
                if (news instanceof RunNews.Detected) {
                    over.countDown();
                }
            });
            for (int i = 0; i <= layout.ranks(); i++) {
                run.add();
            }
            try {
                run.finish(Duration.ofMinutes(1));
            } finally {
                over.countDown(); // who hangs does not end
            }
            assertThat(run.log()).filteredOn(line -> line.startsWith("Suspects")).isNotEmpty()
                    .allSatisfy(line -> assertThat(line).contains("broken=false"));
            assertThat(run.log()).filteredOn(line -> line.startsWith("Detected"))
                    .singleElement().asString().contains("how=did not answer a query");
            assertThat(run.state().plan().orElseThrow().placement().layout())
                    .isEqualTo(layout.fit(layout.ranks(), plan.virtualRanks()));
            assertThat(run.fromDisk).as("only the start").isEqualTo(1);
        }
    }
}
