package castalia.deploy.demo;

import castalia.checkpoints.CheckpointVerifier;
import castalia.actors.NodeAddress;
import castalia.checkpoints.RunFolder;
import castalia.deploy.cluster.ClusterTraining;
import castalia.deploy.cluster.Standby;
import castalia.deploy.firstlight.FirstLightCorpus;
import castalia.deploy.model.ModelExport;
import castalia.deploy.model.StoredModel;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.Storage;
import castalia.deploy.train.ConsoleListener;
import castalia.deploy.train.ProgressLine;
import castalia.deploy.train.StopSignal;
import castalia.deploy.train.TrainingJob;
import castalia.deploy.train.TrainingRun;
import castalia.deploy.train.Wiring;
import castalia.kernels.Arena;
import castalia.kernels.DType;
import castalia.kernels.Device;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.layout.ChunkGrid;
import castalia.protocol.model.ModelShape;
import castalia.protocol.run.RunResult;
import castalia.workers.data.Tokenizer;
import castalia.workers.data.prepare.TextPreparer;
import castalia.workers.generation.Generator;
import castalia.workers.generation.Sampling;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;

/**
 * The main job on a bare machine: prepares the shipped text, trains it on worker processes of a
 * cluster, kills one of them in the middle of a step, goes on without a pause for people, exports
 * and reloads the model, writes text, and trains the same run undisturbed to compare the states.
 */
public final class Demo {

    private static final String RESOURCES = "/castalia/first-light/";
    private static final String PROMPT = "And it came to pass";

    private final Options options;
    private final CastaliaHome home;
    private final PrintWriter out;
    private final ProgressLine line;

    /**
     * What is shown.
     *
     * @param folder a new folder for everything the demo writes
     * @param steps steps of the run
     * @param sabotage whether one bit of one worker's weights is flipped
     */
    public record Options(Path folder, int steps, boolean sabotage) {

        /** Worker processes. */
        static final int WORKERS = 4;
    }

    /**
     * Where the two runs ended.
     *
     * @param disturbed state hash of the run with the killed worker
     * @param undisturbed state hash of the same run in one process
     * @param steps completed steps
     * @param recovery what the failure cost
     */
    public record Verdict(
            String disturbed, String undisturbed, long steps, Recovery.Cost recovery) {

        /** Whether both states are the same, bit for bit. */
        public boolean equal() {
            return disturbed.equals(undisturbed);
        }
    }

    public Demo(Options options, CastaliaHome home, PrintWriter out) {
        this.options = options;
        this.home = home;
        this.out = out;
        this.line = new ProgressLine(out, ProgressLine.onTerminal());
    }

    /** Runs it; empty if it was stopped by a signal. */
    public Optional<Verdict> run() {
        Path config = prepare();
        Path disturbed = options.folder().resolve("disturbed");
        Recovery recovery = new Recovery(line, options.steps(), options.sabotage());
        Optional<String> first = onProcesses(config, disturbed, recovery);
        if (first.isEmpty()) {
            return Optional.empty();
        }
        verify(disturbed);
        sample(export(disturbed));
        Path undisturbed = options.folder().resolve("undisturbed");
        out.println("Training the same run undisturbed in this process, on 1 rank, to compare.");
        Optional<String> second = inThisProcess(config, undisturbed);
        return second.map(state ->
                new Verdict(first.get(), state, options.steps(), recovery.cost()));
    }

    private Optional<String> onProcesses(Path config, Path run, Recovery recovery) {
        int threads = Runtime.getRuntime().availableProcessors();
        try (ClusterTraining cluster = new ClusterTraining(line);
                TrainingJob job = TrainingJob.read(config, OptionalInt.of(Options.WORKERS),
                OptionalInt.of(threads), Optional.empty(), home);
                Standby standby = new Standby(line, run)) {
            describe(job);
            out.println("Training on " + Options.WORKERS + " worker processes and a spare; one more"
                    + " process stands by to lead.");
            out.flush();
            RunResult result = cluster.train(job,
                    new ClusterTraining.Request(config, run, Optional.empty(), Options.WORKERS, 1,
                            threads, new NodeAddress(ClusterTraining.LOOPBACK, 0), 0),
                    recovery.companion(job), standby);
            recovery.report();
            return result instanceof RunResult.Finished(_, String state, _)
                    ? Optional.of(state) : Optional.empty();
        }
    }

    private Optional<String> inThisProcess(Path config, Path run) {
        try (StopSignal stop = new StopSignal(() -> line.say("stopping after this step"));
                TrainingJob job = TrainingJob.read(config, OptionalInt.of(1), OptionalInt.empty(),
                        Optional.empty(), home)) {
            ConsoleListener console = new ConsoleListener(line, options.steps(), false);
            try (TrainingRun training = job.open(run, home, console)) {
                TrainingRun.Outcome outcome = training.run(stop);
                line.end();
                return outcome.finished()
                        ? Optional.of(outcome.last().stateHash()) : Optional.empty();
            }
        }
    }

    /** Writes the model as a Hugging Face folder and gives it. */
    private Path export(Path run) {
        Path target = options.folder().resolve("exported");
        ModelExport.write(run, OptionalLong.empty(), target, "fp32");
        out.println("exported in Hugging Face layout: " + target);
        return target;
    }

    /** Tokens of the shipped text and the configuration, in the demo's folder. */
    private Path prepare() {
        return Storage.attempt(() -> {
            Files.createDirectories(options.folder());
            Path tokenizer = copy("tokenizer.json");
            Path corpus = copy("corpus.txt");
            Path prefix = options.folder().resolve("tokens");
            try (Tokenizer loaded = Tokenizer.load(tokenizer)) {
                TextPreparer.Summary summary = TextPreparer.prepare(List.of(corpus), loaded,
                        new TextPreparer.Options(Optional.of(FirstLightCorpus.SEPARATOR), true),
                        prefix);
                out.printf(Locale.ROOT,
                        "text   %,d documents of public-domain prose, %,d tokens%n",
                        summary.documents(), summary.tokens());
            }
            String yaml = new String(resource("demo.yml").readAllBytes(), StandardCharsets.UTF_8)
                    .replace("@DATA@", quoted(prefix))
                    .replace("@TOKENIZER@", quoted(tokenizer))
                    .replace("@STEPS@", Integer.toString(options.steps()));
            Path config = options.folder().resolve("demo.yml");
            Files.writeString(config, yaml);
            return config;
        });
    }

    private static String quoted(Path path) {
        return path.toString().replace("\\", "\\\\").replace("\"", "\\\"");
    }

    private Path copy(String name) throws IOException {
        Path target = options.folder().resolve(name);
        try (InputStream in = resource(name)) {
            Files.copy(in, target, StandardCopyOption.REPLACE_EXISTING);
        }
        return target;
    }

    private static InputStream resource(String name) {
        InputStream in = Demo.class.getResourceAsStream(RESOURCES + name);
        if (in == null) {
            throw new IllegalStateException("the build lacks " + RESOURCES + name);
        }
        return in;
    }

    private void describe(TrainingJob job) {
        ModelShape shape = job.specification().model();
        out.printf(Locale.ROOT,
                "model  the geometry of pythia-14m: %d layers, %d wide, %d heads; %,d parameters%n",
                shape.layers(), shape.hidden(), shape.heads(), shape.parameters());
        out.printf(Locale.ROOT,
                "       smaller than published: sequences of %d tokens, not 2048; "
                        + "a vocabulary of %,d, not 50,304%n",
                job.specification().sequence(), shape.vocabulary());
        out.printf(Locale.ROOT,
                "run    %d steps of %d sequences; %d virtual ranks; everything in %s%n",
                options.steps(), job.specification().globalBatch(),
                job.specification().virtualRanks(), options.folder());
        out.flush();
    }

    private void verify(Path run) {
        CheckpointVerifier.Report report = Storage.attempt(() -> {
            try (RunFolder opened = RunFolder.openToRead(run)) {
                return CheckpointVerifier.verify(opened, opened.catalogue().steps().getLast(),
                        Runtime.getRuntime().availableProcessors());
            }
        });
        if (!report.intact()) {
            throw new CastaliaException(ErrorCode.CHECKPOINT_CORRUPT,
                    report.damages().getFirst().toString());
        }
        out.printf(Locale.ROOT, "checkpoint of step %d: every byte of %d chunks verified%n",
                report.step(), report.chunks());
    }

    /** Reloads the exported folder and lets it write. */
    private void sample(Path exported) {
        try (StoredModel model = StoredModel.open(exported, OptionalLong.empty());
                Tokenizer tokenizer = Tokenizer.load(exported.resolve(TrainingJob.TOKENIZER));
                Device device = Wiring.device(home);
                Arena arena = device.arena();
                Generator generator = new Generator(ChunkGrid.of(model.layout()), device,
                        model.onDevice(device, arena, DType.F32))) {
            int[] prompt = tokenizer.encode(PROMPT);
            int[] all = generator.generate(prompt, 48, tokenizer.vocabularySize(),
                    new Sampling(0.7, 40, 1), token -> token != tokenizer.endOfDocument());
            String text =
                    tokenizer.decode(Arrays.copyOfRange(all, prompt.length, all.length));
            out.println("text written by the model after so short a training:");
            out.println("  " + PROMPT + text.strip().replace("\n", "\n  ").indent(0).stripTrailing());
            out.flush();
        }
    }
}
