package castalia.workers.runtime;

import castalia.protocol.identity.Incarnation;
import castalia.protocol.layout.LayoutWish;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.run.RunEvent;
import castalia.protocol.run.RunNews;
import castalia.protocol.specification.TrainingPlan;
import castalia.workers.rank.TinyRun;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Random;
import java.util.Set;

/**
 * Asks a {@link LiveRun} for another layout, drawn from a seed, as soon as one runs or a step later;
 * kills workers at random moments, if it is to, and starts others in their place.
 */
final class LayoutChanges {

    private static final int LONGEST_WAIT = 400;
    /** Every so many layouts asked for have replicas of unlike numbers of virtual ranks. */
    private static final int UNEVEN = 4;

    private final LiveRun run;
    private final Random random;
    private final int workers;
    private final int virtualRanks;
    private final int wanted;
    private final long steps;
    private int kills;
    private int asks;
    private int lastRanks;
    private Optional<ParallelLayout> now = Optional.empty();
    private boolean asked = true;
    final Set<ParallelLayout> seen = new HashSet<>();
    /** Generations with another layout or number of members than the one before. */
    int changes;
    /** Generations whose replicas have not the same number of virtual ranks. */
    int uneven;

    /** Changes and kills spread over the steps of a run that has {@code workers} workers. */
    LayoutChanges(
            LiveRun run, long seed, int workers, TrainingPlan plan, int wanted, int kills) {
        this.run = run;
        this.random = new Random(seed);
        this.workers = workers;
        this.virtualRanks = plan.virtualRanks();
        this.steps = plan.trainSteps();
        this.wanted = wanted;
        this.kills = kills;
    }

    void on(RunNews news) {
        switch (news) {
            case RunNews.Resharding of -> {
                ParallelLayout next = of.plan().placement().layout();
                int ranks = of.plan().members().size();
                changes += now.isPresent() && !(now.get().equals(next) && ranks == lastRanks) ? 1 : 0;
                now = Optional.of(next);
                lastRanks = ranks;
                seen.add(next);
                uneven += virtualRanks % next.dataParallel() == 0 ? 0 : 1;
            }
            case RunNews.Running running -> {
                asked = changes >= wanted;
                boolean late = 4L * changes * steps < 5 * wanted * running.version();
                if (random.nextBoolean() || late) {
                    ask();
                }
                if (kills > 0 && random.nextInt(Math.max(1, (wanted - changes) / kills)) == 0) {
                    kills--;
                    run.after(random.nextInt(LONGEST_WAIT), this::kill);
                }
            }
            case RunNews.Stepped _ -> ask();
            default -> {
                // Nothing to be done.
            }
        }
    }

    private void ask() {
        if (!asked) {
            asked = true;
            run.ask(new RunEvent.LayoutRequested(another()));
        }
    }

    private LayoutWish another() {
        boolean even = ++asks % UNEVEN != 0;
        while (true) {
            int t = 1 << random.nextInt(Integer.numberOfTrailingZeros(workers) + 1);
            LayoutWish wish = new LayoutWish(1 + random.nextInt(workers / t), t,
                    TinyRun.STAGES.get(random.nextInt(TinyRun.STAGES.size())),
                    random.nextInt(ParallelLayout.MOST_BUDDIES + 1));
            ParallelLayout layout = wish.fit(workers, virtualRanks);
            if (!layout.equals(now.orElseThrow())
                    && (even || virtualRanks % layout.dataParallel() != 0)) {
                return wish;
            }
        }
    }

    private void kill() {
        List<Incarnation> alive = run.alive();
        run.kill(alive.get(random.nextInt(alive.size())));
        run.after(random.nextInt(LONGEST_WAIT), run::add);
    }

    /** Kills that are still to come. */
    int killsLeft() {
        return kills;
    }
}
