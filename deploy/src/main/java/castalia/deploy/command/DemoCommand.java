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
            "Train a small model on the shipped text, on this machine's processors, in minutes: 4 worker",
            "processes and a spare, one killed in the middle of a step, an export, a reload, a text, and",
            "the same run undisturbed. Exit code 1 if the two states are not the same, bit for bit."
        },
        footer = {
            "", "Examples:", "  ./castalia demo", "  ./castalia demo --quick",
            "  ./castalia demo --sabotage",
            "  ./castalia demo --steps 40 --out /tmp/demo"})
final class DemoCommand implements Callable<Integer> {
    private static final int STEPS = 150;
    private static final int QUICK_STEPS = 30;
    private static final int FEWEST_STEPS = 12;
    private static final int MOST_STEPS = 100_000;
    private static final DateTimeFormatter NAME = DateTimeFormatter.ofPattern("yyyyMMdd-HHmmss");

    private final CastaliaHome home;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Mixin
    private JsonOption json = new JsonOption();

    @Option(names = "--steps", paramLabel = "N",
            description = "Steps of the run (default: 150, with --quick 30).")
    private @Nullable Integer wanted;

    @Option(names = "--quick", description = "Fewer steps: two minutes at most on two cores.")
    private boolean quick;

    @Option(names = "--sabotage", description = {
            "Flip one bit of one worker's weights: the verdict must be DIFFERENT, the exit code 1."})
    private boolean sabotage;

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
        int steps = wanted != null ? wanted : quick ? QUICK_STEPS : STEPS;
        if (steps < FEWEST_STEPS || steps > MOST_STEPS) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, "--steps " + steps
                    + " must lie between " + FEWEST_STEPS + " and " + MOST_STEPS);
        }
        Path target = folder == null ? fresh() : folder.toAbsolutePath();
        if (Files.exists(target)) {
            throw new CastaliaException(ErrorCode.CONFIG_INVALID, target + " exists; name a new folder");
        }
        out.println("Castalia demo: a run on several processes, disturbed, and the same run undisturbed.");
        out.flush();
        Optional<Demo.Verdict> verdict =
                new Demo(new Demo.Options(target, steps, sabotage), home, out).run();
        if (verdict.isEmpty()) {
            out.println("stopped");
            return 1;
        }
        Demo.Verdict v = verdict.get();
        out.println("state   disturbed    " + v.disturbed());
        out.println("        undisturbed  " + v.undisturbed());
        out.println(v.equal() ? "verdict EQUAL, bit for bit" : "verdict DIFFERENT");
        out.println("check   ./castalia checkpoint digest " + target.resolve("disturbed"));
        json.printLast(out, new Report(v.equal(), v, target.toString()));
        return v.equal() ? 0 : 1;
    }

    private Path fresh() {
        String name = NAME.format(LocalDateTime.now(
                ZoneId.systemDefault())) + "-" + ProcessHandle.current().pid();
        return home.folder().resolve("demo").resolve(name);
    }
}
