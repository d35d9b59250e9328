package castalia.deploy.command;

import castalia.deploy.doctor.Doctor;
import castalia.deploy.doctor.Finding;
import castalia.deploy.doctor.Finding.Level;
import castalia.deploy.shell.BuildInfo;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.JsonOption;

import org.jspecify.annotations.Nullable;

import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Spec;

import java.io.PrintWriter;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.Callable;

/** {@code doctor}: is this machine fit for Castalia? Exit code 0 unless a line says fail. */
@Command(
        name = "doctor",
        description = {
            "Look whether this machine is fit: JDK, processors, memory, disk, sockets, CUDA"
                    + " driver.",
            "Each line says ok, warn or fail, and what to do. Exit code 1 if a line says fail."
        },
        footer = {
            "",
            "Examples:",
            "  ./castalia doctor",
            "  ./castalia doctor --run-folder /shared/runs --json"
        })
final class DoctorCommand implements Callable<Integer> {
    private final CastaliaHome home;

    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Mixin private JsonOption json = new JsonOption();

    @Option(
            names = "--run-folder",
            paramLabel = "DIR",
            description = "Also try whether DIR can hold runs: hard links and fsync.")
    private @Nullable Path runFolder;

    DoctorCommand(CastaliaHome home) {
        this.home = home;
    }

    @Override
    public Integer call() {
        PrintWriter out = spec.commandLine().getOut();
        List<Finding> findings = Doctor.examine(home, runFolder);
        for (Finding finding : findings) {
            String line =
                    String.format(
                            "%-5s %-17s %s",
                            finding.level().label(), finding.what(), finding.value());
            out.println(finding.advice().isEmpty() ? line : line + "  (" + finding.advice() + ")");
        }
        boolean fit = findings.stream().noneMatch(finding -> finding.level() == Level.FAIL);
        json.printLast(out, new Report(BuildInfo.ofProgram(), fit, findings));
        return fit ? 0 : 1;
    }

    private record Report(BuildInfo program, boolean fit, List<Finding> findings) {}
}
