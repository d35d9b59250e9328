package castalia.deploy.console;

import castalia.deploy.status.RunStatus;
import castalia.deploy.status.RunStatus.Change;
import castalia.protocol.control.Progress;
import castalia.protocol.identity.Incarnation;
import castalia.protocol.identity.Member;
import castalia.protocol.layout.LayoutWish;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.run.RunNews;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/**
 * What is known of a run, kept up from its news. Written by one thread, read by many; every list is
 * bounded.
 */
public final class RunView {

    private static final int MOST_EVENTS = 200;
    private static final int MOST_WORKERS = 4096;

    private final LongSupplier nanos;
    private final long began;
    private final Facts facts;
    private final Map<Incarnation, Worker> workers = new LinkedHashMap<>();
    private final Deque<Happening> happenings = new ArrayDeque<>();
    private long step;
    private double loss;
    private double norm;
    private double tokensPerSecond;
    private long lastStepNanos;
    private String generation = "-";
    private String phase = "forming";
    private long saved = -1;
    private String lastFailure = "";
    private @Nullable ParallelLayout layout;
    private @Nullable LayoutWish wish;
    private @Nullable ParallelLayout nearest;
    private @Nullable Change change;
    private long stillSince = -1;
    private long movedBytes;
    private long stale;

    /**
     * What does not change.
     *
     * @param run the run's short name
     * @param folder its folder
     * @param steps steps of the whole run
     * @param tokensPerStep tokens of the global batch
     * @param virtualRanks V
     */
    public record Facts(
            String run, String folder, long steps, long tokensPerStep, int virtualRanks) {}

    /** One worker as the page shows it. */
    public record Worker(
            String name,
            String node,
            long pid,
            String incarnation,
            String state,
            int rank,
            long step,
            double stepSeconds,
            Progress.Totals totals) {

        Worker with(String newState, int newRank) {
            return new Worker(
                    name, node, pid, incarnation, newState, newRank, step, stepSeconds, totals);
        }
    }

    /**
     * Something that happened.
     *
     * @param seconds since this process leads or follows the run
     */
    public record Happening(double seconds, String kind, String text) {}

    /**
     * Everything at one moment.
     *
     * @param layout of the newest generation, null before the first
     * @param layoutWords the same in words, and what is wanted if that is another
     * @param wish the layout that was asked for last, null for none
     * @param nearest what the workers could have that were there then, or when a generation began to run
     * @param change how the newest generation that ran came about
     */
    public record Snapshot(
            Facts facts,
            String phase,
            String generation,
            @Nullable ParallelLayout layout,
            String layoutWords,
            @Nullable LayoutWish wish,
            @Nullable ParallelLayout nearest,
            @Nullable Change change,
            long step,
            double loss,
            double gradientNorm,
            double tokensPerSecond,
            long saved,
            String lastFailure,
            long staleMessages,
            double seconds,
            List<Worker> workers,
            List<Happening> happenings) {}

    /** @param nanos a clock that never goes back */
    public RunView(Facts facts, LongSupplier nanos) {
        this.facts = facts;
        this.nanos = nanos;
        this.began = nanos.getAsLong();
    }

    private double seconds() {
        return (nanos.getAsLong() - began) * 1e-9;
    }

    /** Takes the news in. */
    public synchronized void accept(RunNews news) {
        switch (news) {
            case RunNews.Led(long term, String node) ->
                    happened("leader", node + " leads since term " + term);
            case RunNews.Joined(Member member, String device) -> {
                put(member, "spare");
                happened("joined", member.label() + ", pid " + member.pid() + ", " + device);
            }
            case RunNews.Refused(Member member, String why) ->
                    happened("refused", member.label() + ": " + why);
            case RunNews.Detected(Member member, String how) -> {
                workers.remove(member.incarnation());
                lastFailure = member.label() + " " + how;
                happened("detected", lastFailure);
            }
            case RunNews.Gathering(var fence, String cause) -> {
                phase = "gathering";
                stillSince = stillSince < 0 ? nanos.getAsLong() : stillSince;
                happened("fenced", "generation " + fence + ": " + cause);
            }
            case RunNews.Resharding resharding -> {
                phase = "resharding";
                generation = resharding.plan().fence().toString();
                layout = resharding.plan().placement().layout();
                movedBytes = resharding.movedBytes();
                step = resharding.version();
                Map<Incarnation, Worker> before = new HashMap<>(workers);
                before.forEach((id, worker) -> workers.put(id, worker.with("spare", -1)));
                List<Member> members = resharding.plan().members();
                for (int r = 0; r < members.size(); r++) {
                    Member member = members.get(r);
                    put(member, "member");
                    workers.computeIfPresent(
                            member.incarnation(), rank(members.indexOf(member)));
                }
                happened("generation", generation + " with " + members.size() + " ranks, " + layout
                        + ", from step " + resharding.version());
            }
            case RunNews.Running(var fence, int ranks, long version, var possible) -> {
                nearest = possible;
                phase = RunStatus.RUNNING;
                long still = stillSince < 0 ? 0 : nanos.getAsLong() - stillSince;
                stillSince = -1;
                change = new Change(version, still / 1_000_000, movedBytes);
                happened("running", "generation " + fence + ", " + ranks + " ranks, step " + version);
            }
            case RunNews.LayoutWanted(var asked, var possible, int there) -> {
                wish = asked;
                nearest = possible;
                happened("layout", asked.words() + " wanted"
                        + (there == 0 ? "" : "; " + there + " workers can have " + possible));
            }
            case RunNews.Learning(Member member, int chunks) -> {
                workers.computeIfPresent(member.incarnation(), (_, w) ->
                        w.rank() < 0 ? w.with("learner", -1) : w);
                happened("learning", member.label() + " learns " + chunks + " chunks");
            }
            case RunNews.CaughtUp(Member member, long version) ->
                    happened("caught up", member.label() + " at step " + version);
            case RunNews.Stepped(_, Incarnation worker, int rank, Progress progress) ->
                    stepped(worker, rank, progress);
            case RunNews.Validated(long at, double value) ->
                    happened("validated", "step " + at + ", loss " + value);
            case RunNews.Saved(long at, String hash) -> {
                saved = Math.max(saved, at);
                happened("checkpoint", "step " + at + ", state " + hash);
            }
            case RunNews.StaleMessage(var fence, Incarnation worker, String what) -> {
                stale++;
                happened("stale", what + " of generation " + fence + ", from " + worker
                        + ", dropped");
            }
        }
    }

    private static java.util.function.BiFunction<Incarnation, Worker, Worker> rank(int rank) {
        return (_, worker) -> worker.with("member", rank);
    }

    private void put(Member member, String state) {
        if (workers.size() < MOST_WORKERS) {
            workers.putIfAbsent(member.incarnation(), new Worker(member.name(), member.node(),
                    member.pid(), member.incarnation().toString(), state, -1, 0, 0,
                    new Progress.Totals(0, 0, 0, 0, 0)));
        }
    }

    private void stepped(Incarnation id, int rank, Progress progress) {
        workers.computeIfPresent(id, (_, w) -> new Worker(w.name(), w.node(), w.pid(),
                w.incarnation(), "member", rank, progress.step() + 1,
                progress.nanos().total() * 1e-9, progress.totals()));
        if (progress.step() + 1 > step) {
            long now = nanos.getAsLong();
            if (lastStepNanos > 0) {
                double rate = facts.tokensPerStep() / ((now - lastStepNanos) * 1e-9);
                tokensPerSecond =
                        tokensPerSecond == 0 ? rate : 0.8 * tokensPerSecond + 0.2 * rate;
            }
            lastStepNanos = now;
            step = progress.step() + 1;
            loss = Double.isFinite(progress.loss()) ? progress.loss() : loss;
            norm = Double.isFinite(progress.gradientNorm()) ? progress.gradientNorm() : norm;
        }
    }

    private void happened(String kind, String text) {
        if (happenings.size() == MOST_EVENTS) {
            happenings.removeFirst();
        }
        happenings.addLast(new Happening(seconds(), kind, text));
    }

    private String layoutWords() {
        if (layout == null) {
            return "-";
        }
        return wish == null || wish.metBy(layout)
                ? layout.toString() : layout + " (" + wish.words() + " wanted)";
    }

    /** Everything at this moment. */
    public synchronized Snapshot snapshot() {
        return new Snapshot(facts, phase, generation, layout, layoutWords(), wish, nearest,
                change, step, loss, norm, tokensPerSecond, saved,
                lastFailure, stale, seconds(), new ArrayList<>(workers.values()),
                new ArrayList<>(happenings));
    }
}
