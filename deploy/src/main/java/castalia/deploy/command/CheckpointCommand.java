package castalia.deploy.command;

import castalia.checkpoints.CheckpointDiff;
import castalia.checkpoints.CheckpointReader;
import castalia.checkpoints.CheckpointVerifier;
import castalia.checkpoints.DigestTrace;
import castalia.checkpoints.RunFolder;
import castalia.checkpoints.hub.CastReport;
import castalia.deploy.model.ModelExport;
import castalia.deploy.model.StoredModel;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.JsonOption;
import castalia.deploy.shell.Storage;
import castalia.deploy.train.ConsoleListener;
import castalia.deploy.train.ProgressLine;
import castalia.deploy.train.TrainingJob;
import castalia.deploy.train.TrainingRun;
import castalia.protocol.checkpoint.ChunkEntry;
import castalia.protocol.checkpoint.Manifest;
import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

/** {@code checkpoint}: looks at a run's checkpoints, and brings weights out and in. */
@Command(
        name = "checkpoint",
        subcommands = CheckpointFetchCommand.class,
        description = "List, verify, compare, export and import checkpoints.",
        footer = {
            "",
            "Examples:",
            "  ./castalia checkpoint list runs/70m",
            "  ./castalia checkpoint verify runs/70m",
            "  ./castalia checkpoint diff runs/a runs/b --step 100",
            "  ./castalia checkpoint digest runs/70m --trace",
            "  ./castalia checkpoint export runs/70m --step 1000 --out exported/step1000 --dtype bf16",
            "  ./castalia checkpoint import exported/step1000 --config 70m.yml --run runs/imported"
        })
final class CheckpointCommand {
    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    private final CastaliaHome home;

    CheckpointCommand(CastaliaHome home) {
        this.home = home;
    }

    private record Listed(long step, String state, String digest, long bytes) {}

    private PrintWriter out(CommandSpec of) {
        return of.commandLine().getOut();
    }

    private static OptionalLong step(@Nullable Long step) {
        return step == null ? OptionalLong.empty() : OptionalLong.of(step);
    }

    @Command(name = "list", description = "The checkpoints of a run: step, state hash, size.")
    int list(
            @Parameters(paramLabel = "RUN", description = "The run's folder.") Path run,
            @Mixin JsonOption asJson) {
        PrintWriter out = out(spec);
        List<Listed> all = Storage.attempt(() -> {
            try (RunFolder folder = RunFolder.openToRead(run)) {
                List<Listed> lines = new ArrayList<>();
                for (long step : folder.catalogue().steps()) {
                    Manifest manifest = folder.catalogue().read(step);
                    lines.add(new Listed(step, manifest.stateHash(), manifest.digest().hex(),
                            manifest.chunks().stream().mapToLong(ChunkEntry::bytes).sum()));
                }
                return lines;
            }
        });
        for (Listed one : all) {
            out.printf(Locale.ROOT, "%12d  %s  %,d bytes%n", one.step(), one.state(), one.bytes());
        }
        asJson.printLast(out, all);
        return 0;
    }

    @Command(name = "verify", description = {
        "Read every byte of a run's checkpoints. Exit code 1 if one is damaged."})
    int verify(
            @Parameters(paramLabel = "RUN", description = "The run's folder.") Path run,
            @Option(names = "--step", paramLabel = "N",
                    description = "Only this one.") @Nullable Long step,
            @Mixin JsonOption asJson) {
        PrintWriter out = out(spec);
        List<CheckpointVerifier.Report> reports = Storage.attempt(() -> {
            try (RunFolder folder = RunFolder.openToRead(run)) {
                List<CheckpointVerifier.Report> found = new ArrayList<>();
                for (long one : step == null ? folder.catalogue().steps() : List.of(step)) {
                    found.add(CheckpointVerifier.verify(
                            folder, one, Runtime.getRuntime().availableProcessors()));
                }
                return found;
            }
        });
        for (CheckpointVerifier.Report report : reports) {
            out.printf(Locale.ROOT, "step %d: %s, %d chunks, %,d bytes%n", report.step(),
                    report.intact() ? "intact" : "DAMAGED", report.chunks(), report.bytes());
            report.damages().forEach(damage -> out.println("  " + damage));
        }
        boolean intact = reports.stream().allMatch(CheckpointVerifier.Report::intact);
        if (reports.isEmpty()) {
            out.println("no checkpoints");
        }
        asJson.printLast(out, new Verified(intact, reports.size()));
        return intact ? 0 : 1;
    }

    private record Verified(boolean intact, int checkpoints) {}

    @Command(name = "diff", description = {
        "Compare two checkpoints tensor by tensor. Exit code 1 if they differ."})
    int diff(
            @Parameters(paramLabel = "A", description = "A run's folder.") Path a,
            @Parameters(paramLabel = "B", description = "Another, or the same.") Path b,
            @Option(names = "--step", paramLabel = "N",
                    description = "Step of both (default: each one's newest).")
                    @Nullable Long step,
            @Option(names = "--step-b", paramLabel = "N", description = "Step of B, if another.")
                    @Nullable Long stepB,
            @Mixin JsonOption asJson) {
        PrintWriter out = out(spec);
        CheckpointDiff.Result result = Storage.attempt(() -> {
            try (RunFolder left = RunFolder.openToRead(a);
                    RunFolder right = RunFolder.openToRead(b)) {
                CheckpointReader one = StoredModel.reader(left, step(step));
                CheckpointReader other =
                        StoredModel.reader(right, step(stepB == null ? step : stepB));
                out.printf("%s step %d, %s step %d%n", a, one.step(), b, other.step());
                return CheckpointDiff.compare(one, other);
            }
        });
        result.scalars().forEach(line -> out.println("  " + line));
        for (CheckpointDiff.TensorDifference d : result.tensors()) {
            out.printf(Locale.ROOT,
                    "  %s %s: %d elements differ, by up to %.3e; the first at %d: %s, %s%n",
                    d.tensor(), d.kind().name().toLowerCase(Locale.ROOT).replace('_', ' '),
                    d.different(), d.maxAbsolute(), d.firstIndex(), d.firstLeft(), d.firstRight());
        }
        out.println(result.equal() ? "EQUAL" : "DIFFERENT");
        asJson.printLast(out, new Compared(result.equal(), result.tensors().size()));
        return result.equal() ? 0 : 1;
    }

    private record Compared(boolean equal, int tensors) {}

    @Command(name = "digest",
            description = "The state hash of a run's checkpoint; --trace: of all of them.")
    int digest(
            @Parameters(paramLabel = "RUN", description = "The run's folder.") Path run,
            @Option(names = "--trace", description = "Every checkpoint.") boolean trace,
            @Option(names = "--step", paramLabel = "N", description = "This one (default: the newest).")
                    @Nullable Long step,
            @Mixin JsonOption asJson) {
        PrintWriter out = out(spec);
        List<DigestTrace.Line> lines = Storage.attempt(() -> {
            try (RunFolder folder = RunFolder.openToRead(run)) {
                if (trace) {
                    return DigestTrace.of(folder);
                }
                Manifest manifest = StoredModel.reader(folder, step(step)).manifest();
                return List.of(new DigestTrace.Line(
                        manifest.step(), manifest.stateHash(), manifest.digest().hex()));
            }
        });
        for (DigestTrace.Line line : lines) {
            out.printf("step %d  state %s  digest %s%n", line.step(), line.stateHash(), line.digest());
        }
        asJson.printLast(out, lines);
        return 0;
    }

    @Command(name = "export", description = {
        "Write a checkpoint's weights as a Hugging Face GPTNeoX folder, which transformers loads."})
    int export(
            @Parameters(paramLabel = "RUN", description = "The run's folder.") Path run,
            @Option(names = "--out", required = true, paramLabel = "DIR",
                    description = "The new folder.") Path target,
            @Option(names = "--step", paramLabel = "N",
                    description = "Checkpoint (default: the newest).")
                    @Nullable Long step,
            @Option(names = "--dtype", paramLabel = "TYPE", defaultValue = "fp32",
                    description = "fp32 (default), bf16 or fp16.") String dtype,
            @Mixin JsonOption asJson) {
        PrintWriter out = out(spec);
        CastReport report = ModelExport.write(run, step(step), target, dtype);
        out.printf(Locale.ROOT, "%s: %,d weights as %s%s%n", target, report.elements(), dtype,
                report.exact()
                ? ", exact"
                : String.format(Locale.ROOT, ", %,d rounded, %,d overflowed, %,d vanished",
                        report.rounded(), report.overflowed(), report.vanished()));
        asJson.printLast(out, report);
        return 0;
    }

    @Command(name = "import", description = {
        "Begin a run at step 0 with the weights of a Hugging Face GPTNeoX folder."})
    int importFolder(
            @Parameters(paramLabel = "FOLDER", description = "Hugging Face folder.") Path folder,
            @Option(names = "--config", required = true, paramLabel = "FILE",
                    description = "Configuration of the run.")
                    Path config,
            @Option(names = "--run", required = true, paramLabel = "DIR",
                    description = "The new run's folder.")
                    Path run) {
        PrintWriter out = out(spec);
        try (TrainingJob job = TrainingJob.read(config, OptionalInt.empty(), OptionalInt.empty(),
                Optional.of(folder), home)) {
            ConsoleListener listener = new ConsoleListener(
                    new ProgressLine(out, false), job.specification().trainSteps(), true);
            try (TrainingRun training = job.open(run, home, listener)) {
                TrainingRun.Outcome outcome = training.run(() -> true);
                out.printf("%s: step %d, state %s%n", run, outcome.step(), outcome.last().stateHash());
            }
        }
        return 0;
    }
}
