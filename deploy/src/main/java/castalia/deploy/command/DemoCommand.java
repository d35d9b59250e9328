package castalia.deploy.command;

import castalia.deploy.demo.Demo;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.JsonOption;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.LocalDateTime;
import java.time.ZoneId;
import java.time.format.DateTimeFormatter;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

/** {@code demo}: the main job on this machine. */
@Command(
        name = "demo",
        description = {
            "Train a small model on the shipped text, on this machine's processors, in minutes:",
            "2 ranks, a stop, a reload, a text, and the same run on 1 rank. Exit code 1 if the states",
            "of the two are not the same, bit for bit."
        },
        footer = {"", "Examples:", "  ./castalia demo", "  ./castalia demo --steps 40 --out /tmp/demo"})
final class DemoCommand implements Callable<Integer> {
    private static final int STEPS = 150;
    private static final DateTimeFormatter NAME = DateTimeFormatter.ofPattern("yyyyMMdd-HHmmss");

    private final CastaliaHome home;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Mixin
    private JsonOption json = new JsonOption();

    @Option(names = "--steps", paramLabel = "N",
            description = "Steps of the run (default ${DEFAULT-VALUE}).")
    private int steps = STEPS;

    @Option(names = "--out", paramLabel = "DIR",
            description = "A new folder (default: one in .castalia/demo).")
    private @Nullable Path folder;

    DemoCommand(CastaliaHome home) {
        this.home = home;
    }

    private record Report(boolean equal, Demo.Verdict verdict, String folder) {}

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        if (steps < 4 || steps > 100_000) {
            throw new CastaliaException(
                    ErrorCode.CONFIG_INVALID, "--steps " + steps + " must lie between 4 and 100000");
        }
        Path target = folder == null ? fresh() : folder.toAbsolutePath();
        if (Files.exists(target)) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, target + " exists; name a new folder");
        }
        out.println("Castalia demo: a model trained twice on this machine, once on 2 ranks and once on 1.");
        out.flush();
        Optional<Demo.Verdict> verdict = new Demo(target, steps, home, out).run();
        if (verdict.isEmpty()) {
            out.println("stopped");
            return 1;
        }
        Demo.Verdict v = verdict.get();
        out.printf(Locale.ROOT, "loss    %.3f at the first step, %.3f at the last%n", v.firstLoss(),
                v.lastLoss());
        out.println("state   2 ranks, stopped and resumed  " + v.twoRanks());
        out.println("        1 rank, undisturbed           " + v.oneRank());
        out.println(v.equal() ? "verdict EQUAL, bit for bit" : "verdict DIFFERENT");
        json.printLast(out, new Report(v.equal(), v, target.toString()));
        return v.equal() ? 0 : 1;
    }

    private Path fresh() {
        String name = NAME.format(LocalDateTime.now(
                ZoneId.systemDefault())) + "-" + ProcessHandle.current().pid();
        return home.folder().resolve("demo").resolve(name);
    }
}
