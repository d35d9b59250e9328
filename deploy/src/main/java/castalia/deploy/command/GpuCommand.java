package castalia.deploy.command;

import castalia.deploy.gpu.GpuCheck;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.JsonOption;
import castalia.deploy.train.DeviceChoice;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import castalia.protocol.model.PythiaModels;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code gpu}: what concerns GPUs alone. */
@Command(
        name = "gpu",
        description = "Check the GPUs of this machine.",
        subcommands = GpuCommand.Check.class,
        footer = {"", "Examples:", "  ./castalia gpu check"})
final class GpuCommand {

    /** {@code gpu check}. */
    @Command(
            name = "check",
            description = {
                "Check a GPU: training beside the CPU's, the same bits twice and on two ranks,",
                "recovery of processes that share it, and speed of Pythia models.",
                "Writes gpu-check.json and gpu-check.txt. Exit code 1 if something fails, 19 if there",
                "is no GPU that can be used.",
                "To end within 8 minutes much is short: three steps of a small model for parity and bits,",
                "the demo in twelve steps, ten timed steps of a model; what there is no time for is listed",
                "as not run."
            },
            footer = {
                "",
                "Examples:",
                "  ./castalia gpu check",
                "  ./castalia gpu check --device cuda:1 --models 160m,410m --no-recovery --out reports"
            })
    static final class Check implements Callable<Integer> {

        private static final String DEFAULT_MODELS = "160m,410m,1.4b,2.8b";

        @Spec
        @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
        private CommandSpec spec;

        @Mixin
        private JsonOption json = new JsonOption();

        @Option(names = "--device", paramLabel = "DEVICE", defaultValue = "cuda",
                description = "cuda (default) or cuda:N.")
        private String device = "cuda";

        @Option(names = "--models", paramLabel = "LIST", split = ",", defaultValue = DEFAULT_MODELS,
                description = "Models to time (default: " + DEFAULT_MODELS + "); \"\" for none.")
        private List<String> models = List.of();

        @Option(names = "--seq", paramLabel = "S", defaultValue = "2048",
                description = "Tokens of their sequences (default 2048).")
        private int sequence;

        @Option(names = "--batch", paramLabel = "B", defaultValue = "16",
                description = "Most sequences of their micro-batch, fewer where they do not fit"
                        + " (default 16).")
        private int batch;

        @Option(names = "--steps", paramLabel = "N", defaultValue = "10",
                description = "Timed steps of each (default 10).")
        private int steps;

        @Option(names = "--no-recovery", description = "Kill no processes.")
        private boolean noRecovery;

        @Option(names = "--minutes", paramLabel = "N", defaultValue = "6",
                description = "Begin nothing more after that (default 6).")
        private int minutes;

        @Option(names = "--out", paramLabel = "DIR", defaultValue = ".",
                description = "Folder of the two reports (default: this one).")
        private Path out = Path.of(".");

        @Override
        public Integer call() {
            if (sequence < 1 || batch < 1 || steps < 1 || minutes < 1) {
                throw new CastaliaException(ErrorCode.CONFIG_INVALID,
                        "--seq, --batch, --steps and --minutes must be at least 1");
            }
            DeviceChoice.choose(device);
            if (!DeviceChoice.ofProcess().cuda()) {
                throw new CastaliaException(ErrorCode.CONFIG_INVALID,
                        "--device " + device + " is no GPU; cuda or cuda:N is needed");
            }
            List<String> timed = models.stream().filter(model -> !model.isBlank()).toList();
            timed.forEach(Check::requireKnown);
            write("gpu-check.txt", "not finished\n"); // before minutes of work, not after
            PrintWriter console = spec.commandLine().getOut();
            List<String> lines = new ArrayList<>();
            GpuCheck check = new GpuCheck(new GpuCheck.Settings(
                    timed, sequence, batch, steps, !noRecovery, Duration.ofMinutes(minutes)),
                    CastaliaHome.ofProcess(), line -> {
                        lines.add(line);
                        console.println(line);
                        console.flush();
                    });
            GpuCheck.Report report;
            try {
                report = check.run();
            } catch (CastaliaException e) {
                lines.add(e.getMessage());
                write("gpu-check.txt", String.join("\n", lines) + "\n");
                throw e;
            }
            write("gpu-check.json", JsonOption.line(report) + "\n");
            write("gpu-check.txt", String.join("\n", lines) + "\n");
            json.printLast(console, report);
            return report.holds() ? 0 : 1;
        }

        private static void requireKnown(String model) {
            List<String> known = PythiaModels.all().stream().map(PythiaModels.Preset::name).toList();
            if (!known.contains(model)) {
                throw new CastaliaException(ErrorCode.CONFIG_INVALID, "--models " + model
                        + " is none of " + String.join(", ", known));
            }
        }

        private void write(String name, String text) {
            Path file = out.resolve(name);
            try {
                Files.createDirectories(out);
                Files.writeString(file, text);
            } catch (IOException e) {
                throw new CastaliaException(ErrorCode.STORAGE_FAILED,
                        "cannot write " + file + ": " + e.getMessage(), e);
            }
        }
    }
}
