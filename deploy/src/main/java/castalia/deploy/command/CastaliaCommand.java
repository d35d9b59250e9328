package castalia.deploy.command;

import castalia.deploy.shell.BuildInfo;
import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.train.Hosting;
import castalia.deploy.train.TrainingJob;
import castalia.protocol.planner.Recomputation;

import picocli.CommandLine.Command;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.Spec;

import java.util.function.Supplier;

/** The command line without a command: help and version. */
@Command(
        name = "./castalia",
        header = {
            "Castalia trains GPT-NeoX language models (the Pythia suite) on machines that come and"
                    + " go.",
            "Whatever the layout, one specification gives the same bits.%n"
        },
        synopsisHeading = "Usage: ",
        customSynopsis =
                "./castalia COMMAND [OPTIONS]   (./castalia help COMMAND says more about one)",
        optionListHeading = "%nOptions, with every command:%n",
        footer = {
            "",
            "Examples:",
            "  ./castalia doctor            is this machine fit?",
            "  ./castalia test              build and test, about three minutes",
            "",
            "The first command builds the program. All it writes outside your own folders is in"
                    + " .castalia/.",
            "Results go to stdout, messages to stderr; with --json the last line of stdout is"
                    + " JSON.",
        })
@SuppressWarnings(
        "UnusedVariable") // the options' fields: picocli acts on them itself, ErrorPolicy on
// --debug
public final class CastaliaCommand implements Runnable {
    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Option(
            names = {"-h", "--help"},
            usageHelp = true,
            scope = ScopeType.INHERIT,
            description = "Say what the command does.")
    private boolean help;

    @Option(
            names = {"-V", "--version"},
            versionHelp = true,
            description = "Say which build this is, and whose bits it computes.")
    private boolean version;

    @Option(
            names = "--debug",
            scope = ScopeType.INHERIT,
            description = "Print stack traces of errors.")
    private boolean debug;

    @Override
    public void run() {
        spec.commandLine().usage(spec.commandLine().getOut());
    }

    /** The lines of {@code --version}. */
    static final class Version implements IVersionProvider {
        private final Supplier<String> numericVersion;

        /** Asks the CPU device, its natives unpacked in {@code home}. */
        Version(CastaliaHome home) {
            this(() -> TrainingJob.numericVersion(new Hosting(1, 1, Recomputation.NONE), home));
        }

        Version(Supplier<String> numericVersion) {
            this.numericVersion = numericVersion;
        }

        private String numericLine() {
            try {
                return "numeric version " + numericVersion.get();
            } catch (RuntimeException | LinkageError | OutOfMemoryError e) {
                return "numeric version unknown, because the CPU device does not open: "
                        + String.valueOf(e.getMessage()).replaceAll("\\s*\\R\\s*", " ")
                        + "; ./castalia doctor looks at this machine";
            }
        }

        @Override
        public String[] getVersion() {
            return new String[] {
                BuildInfo.ofProgram().oneLine(),
                "JDK "
                        + System.getProperty("java.version")
                        + " ("
                        + System.getProperty("java.vendor")
                        + ") in "
                        + System.getProperty("java.home"),
                numericLine(),
            };
        }
    }
}
