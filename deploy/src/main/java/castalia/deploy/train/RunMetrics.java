package castalia.deploy.train;

import com.fasterxml.jackson.annotation.JsonInclude;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/** The lines of a run's {@code metrics.jsonl}. */
public final class RunMetrics implements AutoCloseable {

    private static final String FILE = "metrics.jsonl";

    private final Path file;
    private @Nullable MetricsLog log;

    private RunMetrics(Path run) {
        this.file = run.resolve(FILE);
    }

    /**
     * Opens the file now.
     *
     * @param run the run's folder
     */
    public static RunMetrics open(Path run) {
        RunMetrics metrics = new RunMetrics(run);
        metrics.log();
        return metrics;
    }

    /** Opens the file when there is a line for it: until then another process may write it. */
    public static RunMetrics later(Path run) {
        return new RunMetrics(run);
    }

    private synchronized MetricsLog log() {
        if (log == null) {
            log = new MetricsLog(file);
        }
        return log;
    }

    /**
     * A step's line; the names of its components are those of the file. A value that is not finite
     * is null, and so is the norm of a step whose update was skipped.
     *
     * @param exposed_s what of these rank 0 waited for other workers: communication that no computation
     *     hides
     * @param loss_scale scale of the step, and
     * @param skipped_steps how many were skipped so far; both only where the precision needs them
     */
    public record Step(
            long step,
            @Nullable Double loss,
            @Nullable Double grad_norm,
            double learning_rate,
            long tokens,
            double tokens_per_s,
            double step_s,
            double forward_s,
            double backward_s,
            double reduction_s,
            double optimizer_s,
            double exposed_s,
            String digest_before,
            @JsonInclude(JsonInclude.Include.NON_NULL) @Nullable Double loss_scale,
            @JsonInclude(JsonInclude.Include.NON_NULL) @Nullable Long skipped_steps) {}

    /** What is written for a number. */
    public static @Nullable Double finite(double value) {
        return Double.isFinite(value) ? value : null;
    }

    private record Validation(long step, double validation_loss) {}

    private record Checkpoint(long step, String checkpoint, double seconds) {}

    /** A step was executed. */
    public void stepped(Step line) {
        log().append(line);
    }

    /** A validation was computed. */
    public void validated(long step, double loss) {
        log().append(new Validation(step, loss));
    }

    /**
     * A checkpoint exists.
     *
     * @param seconds from the step's end to the publication
     */
    public void saved(long step, String stateHash, double seconds) {
        log().append(new Checkpoint(step, stateHash, seconds));
    }

    @Override
    public synchronized void close() {
        if (log != null) {
            log.close();
        }
    }
}
