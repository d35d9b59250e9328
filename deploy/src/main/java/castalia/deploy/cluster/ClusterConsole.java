package castalia.deploy.cluster;

import castalia.actors.node.AgentNews;
import castalia.deploy.train.ProgressLine;
import castalia.deploy.train.RunMetrics;
import castalia.protocol.control.GenerationPlan.Start;
import castalia.protocol.control.Progress;
import castalia.protocol.identity.Member;
import castalia.protocol.run.RunNews;
import castalia.protocol.step.Scaling;
import java.util.Locale;
import java.util.function.LongSupplier;
import java.util.stream.Collectors;

/** Shows a run of several processes to a person, and writes its metrics. */
final class ClusterConsole implements RunCluster.Listener {

    private final ProgressLine line;
    private final RunMetrics metrics;
    private final long steps;
    private final long tokensPerStep;
    private final LongSupplier nanos;
    private long lastStepNanos;
    private long step = -1;
    private double rate;
    private int ranks;
    private String generation = "-";
    private String layout = "-";
    private long saved = -1;
    private long gathered;

    /** @param nanos a clock that never goes back */
    ClusterConsole(
            ProgressLine line, RunMetrics metrics, long steps, long tokensPerStep,
            LongSupplier nanos) {
        this.line = line;
        this.metrics = metrics;
        this.steps = steps;
        this.tokensPerStep = tokensPerStep;
        this.nanos = nanos;
    }

    @Override
    public void run(RunNews news) {
        switch (news) {
            case RunNews.Led(long term, String node) ->
                    line.say("leader      " + node + " leads the run since term " + term);
            case RunNews.Joined(Member member, String device) -> line.say("joined      "
                    + member.label() + ", pid " + member.pid() + ", data port "
                    + member.endpoint().port() + "; " + device);
            case RunNews.Refused(Member member, String why) ->
                    line.say("refused     " + member.label() + ": " + why);
            case RunNews.Detected(Member member, String how) ->
                    line.say("detected    " + member.label() + " " + how);
            case RunNews.Gathering(var fence, String cause) -> {
                gathered = nanos.getAsLong();
                line.say("fenced      generations before " + fence + " (" + cause + ")");
            }
            case RunNews.Resharding resharding -> resharding(resharding);
            case RunNews.Running(var fence, int members, long version, _) -> {
                generation = fence.toString();
                ranks = members;
                lastStepNanos = nanos.getAsLong();
                line.say(String.format(Locale.ROOT, "running     generation %s on %d ranks, step %d,"
                        + " %.0f ms after the fence", fence, members, version,
                        (nanos.getAsLong() - gathered) * 1e-6));
            }
            case RunNews.LayoutWanted(var wish, var nearest, int workers) ->
                    line.say("layout      " + wish.words() + " wanted"
                            + (workers == 0 || wish.metBy(nearest) ? ""
                                    : "; " + workers + " workers can have " + nearest));
            case RunNews.Learning(Member member, int chunks) ->
                    line.say("learning    " + member.label() + " takes " + chunks + " chunks");
            case RunNews.CaughtUp(Member member, long version) ->
                    line.say("caught up   " + member.label() + " at step " + version);
            case RunNews.Stepped(_, _, int rank, Progress progress) -> stepped(rank, progress);
            case RunNews.Validated(long at, double loss) -> {
                metrics.validated(at, loss);
                line.say(String.format(Locale.ROOT, "validation after step %d: loss %.4f, "
                        + "perplexity %.2f", at, loss, Math.exp(loss)));
            }
            case RunNews.Saved(long at, String hash) -> {
                saved = at;
                metrics.saved(at, hash, (nanos.getAsLong() - lastStepNanos) * 1e-9);
                line.say("checkpoint  step " + at + ", state " + hash.substring(0, 16));
            }
            case RunNews.StaleMessage _ -> {
                // Counted on the page.
            }
        }
    }

    private void resharding(RunNews.Resharding news) {
        String from = switch (news.plan().start()) {
            case Start.Initial() -> "the first weights";
            case Start.Memory(_, var update, _) -> update.isPresent()
                    ? "memory, rolled forward" : "memory";
            case Start.Checkpoint(long at) -> "the checkpoint of step " + at;
        };
        String members = news.plan().members().stream().map(Member::label)
                .collect(Collectors.joining(" "));
        layout = news.plan().placement().layout().toString();
        line.say("generation  " + news.plan().fence() + ": " + layout + " on " + members + "; step "
                + news.version() + " from " + from
                + (news.movedBytes() > 0
                        ? String.format(Locale.ROOT, ", %,d bytes moved", news.movedBytes()) : "")
                + (news.degraded() > 0 ? "; " + news.degraded() + " chunks with one holder" : ""));
    }

    private void stepped(int rank, Progress progress) {
        if (rank != 0 || progress.step() <= step) {
            return;
        }
        step = progress.step();
        long now = nanos.getAsLong();
        double seconds = Math.max(1e-9, (now - lastStepNanos) * 1e-9);
        lastStepNanos = now;
        double current = tokensPerStep / seconds;
        rate = rate == 0 ? current : 0.8 * rate + 0.2 * current;
        Progress.Nanos spent = progress.nanos();
        metrics.stepped(new RunMetrics.Step(step, RunMetrics.finite(progress.loss()),
                RunMetrics.finite(progress.gradientNorm()), progress.learningRate(),
                tokensPerStep * (step + 1), current, seconds,
                spent.forward() * 1e-9, spent.backward() * 1e-9, spent.reduction() * 1e-9,
                spent.optimizer() * 1e-9, spent.waited() * 1e-9, progress.stateBefore().hex(),
                progress.scaling().map(Scaling::lossScale).orElse(null),
                progress.scaling().map(Scaling::skippedSteps).orElse(null)));
        line.show(String.format(Locale.ROOT, "step %d/%d  loss %.4f%s  %,.0f tokens/s  workers %d  "
                + "layout %s  generation %s  checkpoint %s", step + 1, steps, progress.loss(),
                ProgressLine.scaling(progress.scaling()), rate, ranks, layout,
                generation, saved < 0 ? "-" : Long.toString(saved)));
        if (step + 1 == steps) {
            line.end();
        }
    }

    @Override
    public void agent(AgentNews news) {
        switch (news) {
            case AgentNews.Started(String worker, _, long pid) ->
                    line.say("started     " + worker + ", pid " + pid);
            case AgentNews.Ended(String worker, _, String how) ->
                    line.say("ended       " + worker + " " + how);
            case AgentNews.NotStarted(String worker, String why) ->
                    line.say("not started " + worker + ": " + why);
            case AgentNews.Quarantined(String worker, int failures) -> line.say("quarantine  "
                    + worker + " failed " + failures + " times and is started no more");
            case AgentNews.Refused(String why) -> line.say("refused     this node: " + why);
            case AgentNews.RunOver _, AgentNews.Empty _ -> {
                // The end is told by who waits for it.
            }
        }
    }
}
