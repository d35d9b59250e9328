package castalia.deploy.demo;

import castalia.checkpoints.CheckpointVerifier;
import castalia.checkpoints.RunFolder;
import castalia.deploy.firstlight.FirstLightCorpus;
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
import castalia.workers.data.TextPreparer;
import castalia.workers.data.Tokenizer;
import castalia.workers.generation.Generator;
import castalia.workers.generation.Sampling;
import castalia.workers.rank.StepReport;
import java.io.IOException;
import java.io.InputStream;
import java.io.PrintWriter;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;

/**
 * The main job on a bare machine: prepares the shipped text, trains on 2 ranks, stops in the
 * middle, reloads the checkpoint, finishes, writes text, and trains the same run on 1 rank to
 * compare the states.
 */
public final class Demo {

    private static final String RESOURCES = "/castalia/first-light/";
    private static final String PROMPT = "And it came to pass";

    private final Path folder;
    private final int steps;
    private final CastaliaHome home;
    private final PrintWriter out;
    private final ProgressLine line;

    /**
     * Where the two ways of the demo ended.
     *
     * @param twoRanks state hash of the run on 2 ranks, stopped and resumed in the middle
     * @param oneRank state hash of the run on 1 rank
     * @param steps completed steps
     * @param firstLoss loss of the first step
     * @param lastLoss loss of the last step
     */
    public record Verdict(
            String twoRanks, String oneRank, long steps, double firstLoss, double lastLoss) {

        /** Whether both states are the same, bit for bit. */
        public boolean equal() {
            return twoRanks.equals(oneRank);
        }
    }

    /** @param folder a new folder for everything the demo writes */
    public Demo(Path folder, int steps, CastaliaHome home, PrintWriter out) {
        this.folder = folder;
        this.steps = steps;
        this.home = home;
        this.out = out;
        this.line = new ProgressLine(out, ProgressLine.onTerminal());
    }

    /** Runs it; empty if it was stopped by a signal. */
    public Optional<Verdict> run() {
        Path config = prepare();
        List<StepReport> two = new ArrayList<>();
        Path main = folder.resolve("two-ranks");
        try (StopSignal stop = new StopSignal(() -> line.say("stopping after this step"))) {
            out.println("Training on 2 ranks; stopping in the middle.");
            train(config, main, 2, two, steps / 2, stop);
            verify(main);
            out.println("Reloading the checkpoint and going on.");
            Optional<TrainingRun.Outcome> outcome = train(config, main, 2, two, steps, stop);
            if (outcome.isEmpty()) {
                return Optional.empty();
            }
            sample(main);
            out.println("Training the same run on 1 rank, undisturbed, to compare.");
            List<StepReport> one = new ArrayList<>();
            Optional<TrainingRun.Outcome> control =
                    train(config, folder.resolve("one-rank"), 1, one, steps, stop);
            if (control.isEmpty()) {
                return Optional.empty();
            }
            firstDifference(two, one);
            return Optional.of(new Verdict(outcome.get().last().stateHash(),
                    control.get().last().stateHash(), steps, two.getFirst().loss(),
                    two.getLast().loss()));
        }
    }

    /** Tokens of the shipped text and the configuration, in the demo's folder. */
    private Path prepare() {
        return Storage.attempt(() -> {
            Files.createDirectories(folder);
            Path tokenizer = copy("tokenizer.json");
            Path corpus = copy("corpus.txt");
            Path prefix = folder.resolve("tokens");
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
                    .replace("@STEPS@", Integer.toString(steps));
            Path config = folder.resolve("demo.yml");
            Files.writeString(config, yaml);
            return config;
        });
    }

    private static String quoted(Path path) {
        return path.toString().replace("\\", "\\\\").replace("\"", "\\\"");
    }

    private Path copy(String name) throws IOException {
        Path target = folder.resolve(name);
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

    /** Trains up to {@code until} completed steps; empty if a signal came. */
    private Optional<TrainingRun.Outcome> train(
            Path config, Path run, int ranks, List<StepReport> reports, long until,
            StopSignal stop) {
        try (TrainingJob job = TrainingJob.read(
                config, OptionalInt.of(ranks), OptionalInt.empty(), Optional.empty(), home)) {
            if (reports.isEmpty() && ranks == 2) {
                describe(job);
            }
            ConsoleListener console = new ConsoleListener(line, steps, ranks, false);
            try (TrainingRun training =
                    job.open(run, home, new Recording(console, reports))) {
                TrainingRun.Outcome outcome = training.run(() -> stop.getAsBoolean()
                        || training.group().scalars().step() >= until);
                line.end();
                return stop.getAsBoolean() ? Optional.empty() : Optional.of(outcome);
            }
        }
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
                steps, job.specification().globalBatch(), job.specification().virtualRanks(),
                folder);
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

    private void sample(Path run) {
        try (StoredModel model = StoredModel.open(run, OptionalLong.empty());
                Tokenizer tokenizer = Tokenizer.load(run.resolve(TrainingJob.TOKENIZER));
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

    private void firstDifference(List<StepReport> two, List<StepReport> one) {
        for (int i = 0; i < Math.min(two.size(), one.size()); i++) {
            if (!two.get(i).stateBefore().equals(one.get(i).stateBefore())) {
                out.println("the states differ from step " + two.get(i).step() + " on");
                return;
            }
        }
        out.printf("state digests equal before each of %d steps%n", one.size());
    }

    /** Keeps the reports. */
    private record Recording(ConsoleListener console, List<StepReport> reports)
            implements TrainingRun.Listener {

        @Override
        public void stepped(StepReport report, double seconds, double tokensPerSecond) {
            reports.add(report);
            console.stepped(report, seconds, tokensPerSecond);
        }

        @Override
        public void saved(castalia.protocol.checkpoint.Manifest manifest, double seconds) {
            console.saved(manifest, seconds);
        }

        @Override
        public void validated(long step, double loss) {
            console.validated(step, loss);
        }

        @Override
        public void resumed(
                castalia.protocol.checkpoint.Manifest manifest, List<String> skipped) {
            console.resumed(manifest, skipped);
        }
    }
}
