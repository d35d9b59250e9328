package castalia.deploy.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.actors.NodeAddress;
import castalia.deploy.Cli;
import castalia.deploy.TinyYaml;
import castalia.deploy.train.ProgressLine;
import castalia.deploy.train.TrainingJob;
import castalia.deploy.train.TrainingRun;
import castalia.protocol.checkpoint.Manifest;
import castalia.protocol.layout.LayoutRequest;
import castalia.protocol.layout.ParallelLayout;
import castalia.protocol.run.RunResult;
import castalia.workers.data.BpeTrainer;
import castalia.workers.rank.StepReport;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.BiConsumer;

/**
 * A small run: its configuration in a file, and ways to execute it.
 *
 * @param config the configuration's file
 * @param steps steps of the run
 */
record TinyRun(Path config, int steps) {

    /** By the name of the configuration, which says all that a result depends on. */
    private static final Map<String, Answer> ALONE = new ConcurrentHashMap<>();

    /**
     * Writes a configuration.
     *
     * @param hidden hidden size; 24 steps in milliseconds, 128 has megabytes of weights
     * @param saveEvery steps between checkpoints
     */
    static TinyRun write(Path folder, String precision, int hidden, int steps, int saveEvery)
            throws IOException {
        Path file = folder.resolve(precision + "-" + hidden + "-" + steps + ".yml");
        Files.writeString(file, TinyYaml.of(steps, saveEvery)
                .withPrecision(precision).withHidden(hidden).text());
        return new TinyRun(file, steps);
    }

    /** As the other, cut into two tensor slices. */
    static TinyRun sliced(Path folder, String precision, int hidden, int steps, int saveEvery)
            throws IOException {
        Path file = folder.resolve(precision + "-" + hidden + "-" + steps + "-sliced.yml");
        Files.writeString(file, TinyYaml.of(steps, saveEvery).withPrecision(precision)
                .withHidden(hidden).withTensorSlices(2).text());
        return new TinyRun(file, steps);
    }

    /** As the first, on a token file whose words are changed from the middle of the run on. */
    static TinyRun changed(Path folder, String precision, int steps, int saveEvery)
            throws IOException {
        String text = "he said that he saw him and his book; ".repeat(160);
        Path tokenizer = folder.resolve("tokenizer.json");
        Files.writeString(tokenizer, BpeTrainer.train(List.of(text), 270).toJson());
        Path data = folder.resolve("data");
        Cli.Result prepared = Cli.run("data", "prepare",
                Files.writeString(folder.resolve("text.txt"), text), "--tokenizer", tokenizer, "--out", data);
        assertThat(prepared.code()).as("%s", prepared).isZero();
        Path file = folder.resolve(precision + "-" + steps + "-changed.yml");
        Files.writeString(file, TinyYaml.of(steps, saveEvery).withPrecision(precision)
                .with("\"train-data-paths\": [\"" + data + "\"]")
                .with("\"vocab-file\": \"" + tokenizer + "\"").text()
                .replace("\"vocabulary\": 128", "\"vocabulary\": 384")
                .replace("\"synthetic-data\": true", "\"transforms\": [{from-step: " + steps / 2
                        + ", words: {he: she, him: her, his: her}}]"));
        return new TinyRun(file, steps);
    }

    /** What a finished run's state is known by. */
    record Answer(String state, String digest) {
        static Answer of(Cli.Result result) {
            assertThat(result.code()).as("%s", result).isZero();
            return new Answer(result.word("state"), result.word("digest"));
        }
    }

    /** The undisturbed run in this process, executed once for all tests of a JVM. */
    Answer alone(Path run) {
        return ALONE.computeIfAbsent(config.getFileName().toString(),
                _ -> Answer.of(train(run, "--threads", 1)));
    }

    /**
     * Goes on in this process until so many steps are completed.
     *
     * @param laidOut told in which layout, and on whose word
     * @return state hash
     */
    String until(long steps, Path run, int ranks, LayoutRequest layout,
            BiConsumer<ParallelLayout, String> laidOut) {
        try (TrainingJob job = TrainingJob.read(config, OptionalInt.of(ranks), OptionalInt.of(1),
                        Optional.empty(), Cli.home());
                TrainingRun training = job.open(
                        run, Cli.home(), new Silent(laidOut), OptionalInt.of(ranks), layout)) {
            TrainingRun.Outcome outcome =
                    training.run(() -> training.group().scalars().step() >= steps);
            assertThat(outcome.step()).isEqualTo(steps);
            return outcome.last().stateHash();
        }
    }

    private record Silent(BiConsumer<ParallelLayout, String> laid) implements TrainingRun.Listener {
        @Override
        public void laidOut(ParallelLayout layout, String on) {
            laid.accept(layout, on);
        }

        @Override
        public void stepped(StepReport report, double seconds, double tokensPerSecond) {}

        @Override
        public void saved(Manifest manifest, double seconds) {}

        @Override
        public void validated(long step, double loss) {}

        @Override
        public void resumed(Manifest manifest, List<String> skipped) {}
    }

    /** {@code train} with these options, in this process. */
    Cli.Result train(Path run, Object... more) {
        Object[] args = new Object[5 + more.length];
        args[0] = "train";
        args[1] = "--config";
        args[2] = config;
        args[3] = "--run";
        args[4] = run;
        System.arraycopy(more, 0, args, 5, more.length);
        return Cli.run(args);
    }

    /**
     * Trains on worker processes that this process leads; {@code witness} hears everything.
     *
     * @return the answer; the run must finish
     */
    Answer onWorkers(Path run, int workers, int spares, Witness witness) {
        return onWorkers(run, workers, spares, LayoutRequest.NOTHING, witness);
    }

    /** As the other, in a layout. */
    Answer onWorkers(
            Path run, int workers, int spares, LayoutRequest layout, Witness witness) {
        RunResult result = trained(run, workers, spares, layout, witness);
        if (result instanceof RunResult.Finished(long step, String state, String digest)) {
            assertThat(step).isEqualTo(steps);
            return new Answer(state, digest);
        }
        throw new AssertionError(result + "\n" + witness);
    }

    /** As the others; {@code witness} must stop the run before it is finished. */
    RunResult.Stopped untilStopped(Path run, int workers, Witness witness) {
        RunResult result = trained(run, workers, 0, LayoutRequest.NOTHING, witness);
        if (result instanceof RunResult.Stopped stopped) {
            return stopped;
        }
        throw new AssertionError(result + "\n" + witness);
    }

    private RunResult trained(
            Path run, int workers, int spares, LayoutRequest layout, Witness witness) {
        StringWriter console = new StringWriter();
        try (ClusterTraining training =
                        new ClusterTraining(new ProgressLine(new PrintWriter(console), false));
                TrainingJob job = TrainingJob.read(config, OptionalInt.of(workers),
                        OptionalInt.of(workers), Optional.empty(), Cli.home())) {
            RunResult result = training.train(job,
                    new ClusterTraining.Request(config, run, Optional.empty(),
                            OptionalInt.of(workers), spares, workers,
                            new NodeAddress(ClusterTraining.LOOPBACK, 0), 0, layout),
                    witness::of);
            witness.console(console.toString());
            return result;
        }
    }
}
