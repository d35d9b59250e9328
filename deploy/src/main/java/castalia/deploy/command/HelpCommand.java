package castalia.deploy.command;

import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.Spec;

import java.util.List;
import java.util.concurrent.Callable;

/** {@code help COMMAND...}: the same text as {@code COMMAND --help}. */
@Command(
        name = "help",
        description = "Say what a command does and how.",
        footer = {"", "Example:", "  ./castalia help doctor"})
final class HelpCommand implements Callable<Integer> {
    @Spec
    @SuppressWarnings("NullAway.Init") // picocli fills it before anything runs
    private CommandSpec spec;

    @Parameters(
            arity = "0..*",
            paramLabel = "COMMAND",
            description = "The command, and its part if it has parts.")
    private List<String> names = List.of();

    @Override
    public Integer call() {
        CommandLine line = spec.parent().commandLine();
        for (String name : names) {
            CommandLine next = line.getSubcommands().get(name);
            if (next == null) {
                throw new ParameterException(
                        spec.parent().commandLine(),
                        "there is no command '" + String.join(" ", names) + "'");
            }
            line = next;
        }
        line.usage(spec.commandLine().getOut());
        return 0;
    }
}
