package castalia.deploy.cluster;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.actors.NodeAddress;
import castalia.deploy.Cli;
import castalia.deploy.train.ProgressLine;
import castalia.deploy.train.TrainingJob;
import castalia.protocol.run.RunResult;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.concurrent.ConcurrentHashMap;

/**
 * A small run: its configuration in a file, and ways to execute it.
 *
 * @param config the configuration's file
 * @param steps steps of the run
 */
record TinyRun(Path config, int steps) {

    /** Sequences of a step. */
    static final int BATCH = 8;

    static final int VIRTUAL_RANKS = 4;

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
        Files.writeString(file, """
                "num-layers": 2
                "hidden-size": %d
                "num-attention-heads": 4
                "seq-length": 20
                "max-position-embeddings": 32
                "pos-emb": "rotary"
                "rotary-pct": 0.7
                "no-weight-tying": true
                "gpt-j-residual": true
                "optimizer": {"type": "Adam", "params": {"lr": 0.003, "betas": [0.9, 0.95], "eps": 1.0e-8}}
                "min_lr": 0.0003
                "lr-decay-style": "cosine"
                "weight-decay": 0.1
                "gradient_clipping": 1.0
                "train_micro_batch_size_per_gpu": 1
                "train-iters": %d
                "lr-decay-iters": %d
                "warmup": 0.1
                "fp16": {"initial_scale_power": 19, "hysteresis": 1, "loss_scale_window": 4}
                "checkpoint-factor": %d
                "castalia": {
                  "global-batch": %d, "virtual-ranks": %d, "vocabulary": %d, "precision": "%s",
                  "synthetic-data": true
                }
                """.formatted(hidden, steps, steps, saveEvery, BATCH, VIRTUAL_RANKS,
                hidden == 24 ? 128 : 1024, precision));
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
        StringWriter console = new StringWriter();
        try (ClusterTraining training =
                        new ClusterTraining(new ProgressLine(new PrintWriter(console), false));
                TrainingJob job = TrainingJob.read(config, OptionalInt.of(workers),
                        OptionalInt.of(workers), Optional.empty(), Cli.home())) {
            RunResult result = training.train(job,
                    new ClusterTraining.Request(config, run, Optional.empty(), workers, spares,
                            workers, new NodeAddress(ClusterTraining.LOOPBACK, 0), 0),
                    witness::of);
            witness.console(console.toString());
            if (result instanceof RunResult.Finished(long step, String state, String digest)) {
                assertThat(step).isEqualTo(steps);
                return new Answer(state, digest);
            }
            throw new AssertionError(result + "\n" + console);
        }
    }
}
