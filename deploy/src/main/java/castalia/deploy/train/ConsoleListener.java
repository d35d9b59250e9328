package castalia.deploy.train;

import castalia.protocol.checkpoint.Manifest;
import castalia.protocol.layout.ParallelLayout;
import castalia.workers.rank.StepReport;
import java.time.Duration;
import java.util.List;
import java.util.Locale;

/** Shows a run to a person: one live line, and lines for what matters. */
public final class ConsoleListener implements TrainingRun.Listener {

    private final ProgressLine line;
    private final long steps;
    private final boolean quietCheckpoints;
    private String layout = "-";
    private double secondsPerStep;
    private long lastSaved = -1;

    /**
     * @param steps steps of the run
     * @param quietCheckpoints whether checkpoints only show in the live line
     */
    public ConsoleListener(ProgressLine line, long steps, boolean quietCheckpoints) {
        this.line = line;
        this.steps = steps;
        this.quietCheckpoints = quietCheckpoints;
    }

    @Override
    public void laidOut(ParallelLayout ranks, String on) {
        layout = ranks.toString();
        if (!quietCheckpoints) {
            line.say("layout " + ranks + " (" + on + ") on " + ranks.ranks() + " ranks");
        }
    }

    @Override
    public void stepped(StepReport report, double seconds, double tokensPerSecond) {
        secondsPerStep = secondsPerStep == 0 ? seconds : 0.9 * secondsPerStep + 0.1 * seconds;
        long done = report.step() + 1;
        line.show(String.format(Locale.ROOT,
                "step %d/%d  loss %.4f  norm %.3f  lr %.2e%s  %,.0f tokens/s  layout %s  "
                        + "checkpoint %s  left %s",
                done, steps, report.loss(), report.gradientNorm(), report.learningRate(),
                ProgressLine.scaling(report.scaling()), tokensPerSecond, layout,
                lastSaved < 0 ? "-" : Long.toString(lastSaved),
                left((steps - done) * secondsPerStep)));
        if (done == steps) {
            line.end();
        }
    }

    private static String left(double seconds) {
        Duration duration = Duration.ofSeconds(Math.round(seconds));
        return duration.toHours() > 0
                ? String.format(Locale.ROOT, "%dh%02dm", duration.toHours(), duration.toMinutesPart())
                : String.format(Locale.ROOT, "%dm%02ds", duration.toMinutes(), duration.toSecondsPart());
    }

    @Override
    public void saved(Manifest manifest, double seconds) {
        lastSaved = manifest.step();
        if (!quietCheckpoints) {
            line.say(String.format(Locale.ROOT, "checkpoint of step %d: state %s, %.2f s",
                    manifest.step(), manifest.stateHash().substring(0, 16), seconds));
        }
    }

    @Override
    public void validated(long step, double loss) {
        line.say(String.format(Locale.ROOT, "validation after step %d: loss %.4f, perplexity %.2f",
                step, loss, Math.exp(loss)));
    }

    @Override
    public void resumed(Manifest manifest, List<String> skipped) {
        skipped.forEach(why -> line.say("not used: " + why));
        line.say("resuming from the checkpoint of step " + manifest.step());
    }
}
