package castalia.deploy.demo;

import castalia.actors.node.AgentNews;
import castalia.deploy.cluster.ClusterTraining;
import castalia.deploy.cluster.RunCluster;
import castalia.deploy.train.ProgressLine;
import castalia.deploy.train.TrainingJob;
import castalia.protocol.control.CoordinatorMessage;
import castalia.protocol.control.Progress;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.layout.FlatLayout;
import castalia.protocol.layout.Placement;
import castalia.protocol.run.RunNews;
import castalia.protocol.specification.RunSpecification;
import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * Kills a worker of the demo in the middle of a step, and measures what it costs; flips a bit of
 * another's weights where sabotage was asked for. Everything but {@link #report} runs on the news
 * thread.
 */
final class Recovery {

    private static final int SABOTAGED_BIT = 6;

    private final ProgressLine line;
    private final long killAfter;
    private final long sabotageAfter;
    private final Map<Incarnation, Progress.Totals> totals = new HashMap<>();
    private Optional<Member> victim = Optional.empty();
    private long committed;
    private long diskBefore;
    private long diskAfter;
    private long killed;
    private long detected;
    private long fenced;
    private long reformed;
    private long resumed;
    private long resumedAt = -1;
    private long lastStep;
    private boolean joined;
    private boolean sabotaged;
    private long membersBefore;

    /**
     * What a failure cost. Times are milliseconds after the kill.
     *
     * @param killed whether a worker was killed at all
     * @param detected until the coordinator knew of it
     * @param fenced until older generations were fenced off
     * @param running until all survivors stepped again
     * @param firstStep until a step after the failure was executed
     * @param resumedAt step the survivors went on from
     * @param lostSteps committed steps that were lost
     * @param diskBytes bytes that were read from disk to recover
     * @param spareJoined whether the spare became a member
     */
    public record Cost(
            boolean killed,
            double detected,
            double fenced,
            double running,
            double firstStep,
            long resumedAt,
            long lostSteps,
            long diskBytes,
            boolean spareJoined) {}

    Recovery(ProgressLine line, long steps, boolean sabotage) {
        this.line = line;
        this.killAfter = steps / 3;
        this.sabotageAfter = sabotage ? steps / 4 : Long.MAX_VALUE;
    }

    /** Beside the run. */
    ClusterTraining.Companion companion(TrainingJob job) {
        return cluster -> new Watcher(cluster, job.specification());
    }

    private final class Watcher implements RunCluster.Listener {

        private final RunCluster cluster;
        private final RunSpecification specification;
        private RunNews.@Nullable Resharding generation;

        Watcher(RunCluster cluster, RunSpecification specification) {
            this.cluster = cluster;
            this.specification = specification;
        }

        @Override
        public void run(RunNews news) {
            switch (news) {
                case RunNews.Resharding resharding -> {
                    boolean spare = generation != null && killed > 0
                            && resharding.plan().members().size() > membersBefore - 1;
                    joined |= spare;
                    generation = resharding;
                }
                case RunNews.Detected(Member member, _) -> {
                    if (killed > 0 && detected == 0
                            && member.equals(victim.orElse(null))) {
                        detected = System.nanoTime();
                    }
                }
                case RunNews.Gathering _ -> {
                    if (killed > 0 && fenced == 0) {
                        fenced = System.nanoTime();
                    }
                }
                case RunNews.Running(_, _, long version, _) -> {
                    if (fenced > 0 && reformed == 0) {
                        reformed = System.nanoTime();
                        resumedAt = version;
                    }
                }
                case RunNews.Stepped(_, Incarnation worker, int rank, Progress progress) ->
                        stepped(worker, rank, progress);
                case RunNews.Led _, RunNews.Joined _, RunNews.Refused _, RunNews.Learning _,
                        RunNews.CaughtUp _, RunNews.Validated _, RunNews.Saved _,
                        RunNews.StaleMessage _, RunNews.LayoutWanted _ -> {
                    // The console shows them.
                }
            }
        }

        private void stepped(Incarnation worker, int rank, Progress progress) {
            totals.put(worker, progress.totals());
            long disk = totals.values().stream().mapToLong(Progress.Totals::diskBytes).sum();
            lastStep = Math.max(lastStep, progress.step() + 1);
            if (killed == 0) {
                committed = lastStep;
                diskBefore = disk;
            } else if (reformed > 0 && resumed == 0) {
                resumed = System.nanoTime();
                diskAfter = disk;
            }
            if (rank == 0 && !sabotaged && lastStep >= sabotageAfter && generation != null) {
                sabotage(generation);
            }
            if (rank == 0 && killed == 0 && lastStep >= killAfter && generation != null
                    && generation.plan().members().size() > 2) {
                kill(generation, progress);
            }
        }

        private void sabotage(RunNews.Resharding of) {
            sabotaged = true;
            Member member = of.plan().members().get(1);
            line.say("sabotage    one bit of the weights of " + member.label() + " is flipped");
            cluster.inject(member.incarnation(), new CoordinatorMessage.FlipBit(
                    of.plan().fence(), received(of.plan().placement(), 1), SABOTAGED_BIT));
        }

        /**
         * A weight of a chunk that a rank does not hold, near the middle: those it holds are the
         * state's in fp32, and the next vote would find that they differ from their buddy's.
         */
        private long received(Placement placement, int rank) {
            ChunkGrid grid = ChunkGrid.of(FlatLayout.of(
                    specification.model(), specification.tensorSlices()));
            int chunk = grid.size() / 2;
            for (int i = 1; i < grid.size() && placement.holds(rank, chunk); i++) {
                chunk = (chunk + 1) % grid.size();
            }
            return grid.chunk(chunk).offset() + grid.chunk(chunk).length() / 2;
        }

        /** In the middle of the step that runs now. */
        private void kill(RunNews.Resharding of, Progress progress) {
            Member member = of.plan().members().get(2);
            victim = Optional.of(member);
            membersBefore = of.plan().members().size();
            pause(progress.nanos().total() / 2);
            line.say("kill        " + member.label() + ", pid " + member.pid()
                    + ", with SIGKILL in the middle of step " + (lastStep + 1));
            killed = System.nanoTime();
            cluster.kill(member.name());
        }

        private static void pause(long nanos) {
            try {
                Thread.sleep(nanos / 1_000_000);
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
            }
        }

        @Override
        public void agent(AgentNews news) {
            // The console shows them.
        }
    }

    private double millis(long at) {
        return at == 0 ? -1 : (at - killed) * 1e-6;
    }

    /** What the failure cost, after the run. */
    Cost cost() {
        return new Cost(killed > 0, millis(detected), millis(fenced), millis(reformed),
                millis(resumed), resumedAt, Math.max(0, committed - resumedAt),
                Math.max(0, diskAfter - diskBefore), joined);
    }

    /** Says what the failure cost. */
    void report() {
        Cost cost = cost();
        if (!cost.killed()) {
            line.say("no worker was killed");
            return;
        }
        line.say(String.format(Locale.ROOT, "recovery    detected after %.0f ms, fenced after"
                + " %.0f ms, new generation running after %.0f ms, first step done after %.0f ms",
                cost.detected(), cost.fenced(), cost.running(), cost.firstStep()));
        line.say("            resumed at step " + cost.resumedAt() + "; committed steps lost "
                + cost.lostSteps() + "; bytes read from disk " + cost.diskBytes()
                + (cost.spareJoined() ? "; the spare joined" : "; the spare did not join"));
    }
}
