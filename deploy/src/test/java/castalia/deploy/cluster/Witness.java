package castalia.deploy.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.actors.node.AgentNews;
import castalia.protocol.control.GenerationPlan.Start;
import castalia.protocol.control.Progress;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.run.RunNews;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.function.BiConsumer;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/** Hears all news of a run that this process leads, keeps them, and may act on them. */
class Witness implements RunCluster.Listener {

    private final List<RunNews> heard = new ArrayList<>();
    private final List<AgentNews> agents = new ArrayList<>();
    private final Map<Incarnation, Progress> last = new HashMap<>();
    private final Map<Long, Long> sequences = new TreeMap<>();
    private List<Member> members = List.of();
    private long committed;
    private long lost;
    private @Nullable RunCluster cluster;
    private String console = "";
    private final BiConsumer<Witness, Progress> onStep;

    /** @param onStep told of each step that rank 0 executed, on the thread that brings news */
    Witness(BiConsumer<Witness, Progress> onStep) {
        this.onStep = onStep;
    }

    Witness() {
        this((witness, progress) -> {});
    }

    synchronized Witness of(RunCluster running) {
        cluster = running;
        return this;
    }

    synchronized void console(String text) {
        console = text;
    }

    synchronized RunCluster cluster() {
        assertThat(cluster).isNotNull();
        return java.util.Objects.requireNonNull(cluster);
    }

    @Override
    public void run(RunNews news) {
        boolean first = false;
        synchronized (this) {
            if (news instanceof RunNews.Stepped(_, Incarnation worker, int rank, Progress progress)) {
                last.put(worker, progress);
                sequences.merge(progress.step(), (long) progress.sequences(), Long::sum);
                committed = Math.max(committed, progress.step() + 1);
                first = rank == 0;
            } else {
                heard.add(news);
            }
            if (news instanceof RunNews.Resharding reshard) {
                members = reshard.plan().members();
                lost += Math.max(0, committed - reshard.version());
            }
            notifyAll();
        }
        if (first) {
            onStep.accept(this, ((RunNews.Stepped) news).progress());
        }
    }

    @Override
    public synchronized void agent(AgentNews news) {
        agents.add(news);
        notifyAll();
    }

    /** The members of the newest generation. */
    synchronized List<Member> members() {
        return members;
    }

    /** Waits for news of the run. */
    synchronized void await(String what, Predicate<RunNews> wanted) throws InterruptedException {
        await(what, () -> heard.stream().anyMatch(wanted));
    }

    /** Waits for news of this node. */
    synchronized void awaitAgent(String what, Predicate<AgentNews> wanted)
            throws InterruptedException {
        await(what, () -> agents.stream().anyMatch(wanted));
    }

    private void await(String what, java.util.function.BooleanSupplier until)
            throws InterruptedException {
        long end = System.nanoTime() + 60_000_000_000L;
        while (!until.getAsBoolean()) {
            long left = (end - System.nanoTime()) / 1_000_000;
            if (left <= 0) {
                throw new AssertionError(what + " did not happen\n" + this);
            }
            wait(left);
        }
    }

    /** How many times something was heard. */
    synchronized long count(Predicate<RunNews> what) {
        return heard.stream().filter(what).count();
    }

    /** Whether anybody else was dismissed because it, or its machine, stood still for seconds. */
    boolean dismissedAnyBut(Optional<Member> member) {
        return count(news -> news instanceof RunNews.Detected(Member who, String how)
                && how.equals("did not answer a query") && !Optional.of(who).equals(member)) > 0;
    }

    /** Committed steps that a later generation started before. */
    synchronized long lost() {
        return lost;
    }

    /** Generations that read a checkpoint. */
    synchronized long fromDisk() {
        return heard.stream().filter(news -> news instanceof RunNews.Resharding reshard
                && reshard.plan().start() instanceof Start.Checkpoint).count();
    }

    /** Bytes of checkpoints read by all workers. */
    synchronized long diskBytes() {
        return last.values().stream().mapToLong(p -> p.totals().diskBytes()).sum();
    }

    /** Sequences computed by all workers that ever lived. */
    synchronized long sequences() {
        return last.values().stream().mapToLong(p -> p.totals().sequences()).sum();
    }

    /** Sequences by step, summed over the workers. */
    synchronized Map<Long, Long> sequencesByStep() {
        return new TreeMap<>(sequences);
    }

    /** Bytes that all workers sent over their data planes. */
    synchronized long dataPlaneBytes() {
        return last.values().stream().mapToLong(p -> p.totals().sentBytes()).sum();
    }

    /** Largest number of frames that one worker dropped because they were stale. */
    synchronized long staleFrames() {
        return last.values().stream().map(p -> p.totals().staleFrames())
                .max(Comparator.naturalOrder()).orElse(0L);
    }

    @Override
    public synchronized String toString() {
        return heard + "\n" + agents + "\n" + console;
    }
}
