package castalia.deploy.train;

import castalia.checkpoints.LayoutLog;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.Storage;
import castalia.deploy.configuration.TrainingConfiguration;
import castalia.protocol.checkpoint.Manifest;
import castalia.protocol.layout.LayoutRequest;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.specification.RunSpecification;
import castalia.protocol.step.Scaling;
import castalia.workers.data.BatchReader;
import castalia.workers.data.BatchSource;
import castalia.workers.model.ProductAnswers;
import castalia.workers.rank.RankGroup;
import castalia.workers.rank.StepReport;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.BooleanSupplier;

/**
 * A run in its folder: begins or resumes, steps, writes checkpoints and metrics. The same folder
 * and configuration always go on where the last verified checkpoint stands.
 */
public final class TrainingRun implements AutoCloseable {

    private final TrainingConfiguration configuration;
    private final RunSpecification specification;
    private final RunData data;
    private final RunCheckpoints checkpoints;
    private final RankGroup group;
    private final ProductAnswers answers;
    private final RunMetrics metrics;
    private final OwnStatus status;
    private final Listener listener;
    private final List<BatchReader> readers;
    private long lastCheckpoint;

    /** Is told what happens, on the thread that calls {@link #run}. */
    public interface Listener {

        /** The ranks are about to be made, in a layout that was chosen on somebody's word. */
        default void laidOut(ParallelLayout layout, String on) {}

        /** A step was executed. */
        void stepped(StepReport report, double seconds, double tokensPerSecond);

        /** A checkpoint exists. */
        void saved(Manifest manifest, double seconds);

        /** A validation was computed. */
        void validated(long step, double loss);

        /** The run continues from a checkpoint; {@code skipped} says which ones were damaged. */
        void resumed(Manifest manifest, List<String> skipped);
    }

    /**
     * How a run ended.
     *
     * @param step completed steps
     * @param finished whether that is all of them
     * @param last the checkpoint that holds the state
     */
    public record Outcome(long step, boolean finished, Manifest last) {}

    /**
     * Opens the folder, checks that it belongs to this specification, and makes the state current:
     * that of the newest verified checkpoint, else the initial one.
     *
     * @param folder the run's folder; made if absent
     * @param ranks ranks that the command line names
     * @param asked what it names of their layout
     */
    TrainingRun(
            TrainingJob job, Path folder, CastaliaHome home, Listener listener, OptionalInt ranks,
            LayoutRequest asked) {
        this.configuration = job.configuration();
        this.specification = job.specification();
        this.data = job.data();
        this.listener = listener;
        this.checkpoints = RunCheckpoints.open(folder, specification);
        Hosting hosting;
        try {
            ParallelLayout layout = Storage.attempt(() -> layout(job, asked, ranks));
            hosting = job.hosting().on(layout.ranks());
            this.group = Wiring.ranks(specification.plan(), hosting, layout, home);
        } catch (RuntimeException e) {
            checkpoints.close();
            throw e;
        }
        try {
            this.answers = Wiring.answers(group, hosting, home);
            checkpoints.requireSame(answers);
            Optional<RunCheckpoints.Resumed> resumed = checkpoints.resume(group);
            resumed.ifPresent(r -> listener.resumed(r.manifest(), r.skipped()));
            if (resumed.isEmpty()) {
                checkpoints.initialise(group, job.initial());
            }
            this.lastCheckpoint = resumed.map(r -> r.manifest().step()).orElse(-1L);
            this.metrics = RunMetrics.open(folder);
            this.status = new OwnStatus(folder, group.placement().layout(), specification.trainSteps());
            this.readers = Wiring.readers(group, data.train());
            status.tell(group.scalars().step(), lastCheckpoint);
        } catch (RuntimeException e) {
            group.close();
            checkpoints.close();
            throw e;
        }
    }

    /** Chooses the layout, and records it as the one that is wanted. */
    private ParallelLayout layout(TrainingJob job, LayoutRequest asked, OptionalInt ranks)
            throws IOException {
        LayoutLog log = checkpoints.layouts();
        LayoutChoice choice = LayoutChoice.of(
                asked, log.newest(), job.configuration().placement(), specification,
                OptionalInt.of(job.hosting().ranks()));
        ParallelLayout layout = choice.onRanks(job, asked, ranks);
        MachineMemory.require(
                specification.plan(), job.hosting().recomputation(), layout, 0,
                job.hosting().usableBytes());
        choice.record(log, asked);
        listener.laidOut(layout, choice.on());
        return layout;
    }

    /** What this process answers for the run's products. */
    public ProductAnswers answers() {
        return answers;
    }

    /** The ranks, for questions between calls of {@link #run}. */
    public RankGroup group() {
        return group;
    }

    /**
     * Steps until the end of the run or until asked to stop; the current step is then finished and
     * a checkpoint written.
     *
     * @param stop asked between steps
     */
    public Outcome run(BooleanSupplier stop) {
        long steps = specification.trainSteps();
        if (group.scalars().step() == 0 && lastCheckpoint < 0 && configuration.milestones().due(0)) {
            save();
        }
        while (group.scalars().step() < steps && !stop.getAsBoolean()) {
            step();
            long done = group.scalars().step();
            if (configuration.milestones().due(done)) {
                save();
            }
            if (done % configuration.evalInterval() == 0 || done == steps) {
                validate();
            }
        }
        if (lastCheckpoint != group.scalars().step()) {
            save();
        }
        long done = group.scalars().step();
        return new Outcome(done, done == steps, checkpoints.manifest(done));
    }

    private void step() {
        long start = System.nanoTime();
        StepReport report = group.step(readers).getFirst();
        double seconds = (System.nanoTime() - start) * 1e-9;
        long tokens = specification.tokensPerStep();
        metrics.stepped(new RunMetrics.Step(report.step(), RunMetrics.finite(report.loss()),
                RunMetrics.finite(report.gradientNorm()), report.learningRate(),
                tokens * (report.step() + 1), tokens / seconds, seconds,
                report.times().forward() * 1e-9, report.times().backward() * 1e-9,
                report.times().reduction() * 1e-9, report.times().optimizer() * 1e-9,
                report.times().waited() * 1e-9,
                report.stateBefore().hex(), report.scaling().map(Scaling::lossScale).orElse(null),
                report.scaling().map(Scaling::skippedSteps).orElse(null)));
        status.stepped(report.step() + 1, lastCheckpoint);
        listener.stepped(report, seconds, tokens / seconds);
    }

    private void save() {
        long start = System.nanoTime();
        Manifest manifest = checkpoints.save(group, lastCheckpoint);
        double seconds = (System.nanoTime() - start) * 1e-9;
        lastCheckpoint = manifest.step();
        metrics.saved(manifest.step(), manifest.stateHash(), seconds);
        status.tell(manifest.step(), lastCheckpoint);
        listener.saved(manifest, seconds);
    }

    private void validate() {
        Optional<BatchSource> source = data.valid();
        if (source.isEmpty()) {
            return;
        }
        double loss = group.validate(Collections.nCopies(group.placement().ranks(), source.get()),
                Math.toIntExact(configuration.evalIterations()));
        metrics.validated(group.scalars().step(), loss);
        listener.validated(group.scalars().step(), loss);
    }

    @Override
    public void close() {
        readers.forEach(BatchReader::close);
        group.close();
        metrics.close();
        checkpoints.close();
    }
}
