package castalia.deploy.command;

import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.ErrorPolicy;
import castalia.protocol.ErrorCode;

import picocli.CommandLine;
import picocli.CommandLine.Help;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Model.UsageMessageSpec;

import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Every command there is, in the order of the help. A new command is one class and one line here.
 */
public final class CommandList {
    private static final int HELP_WIDTH = 100;

    /** A heading of the help. */
    public enum Group {
        START("Start here"),
        TRAIN("Train and use models"),
        CHECKPOINTS("Checkpoints"),
        DATA("Data"),
        CHECK("Check and measure");

        private final String heading;

        Group(String heading) {
            this.heading = heading;
        }
    }

    /**
     * One command.
     *
     * @param command an object with picocli's Command annotation, made for one command line
     */
    public record Entry(Group group, Object command) {}

    private CommandList() {}

    /** The commands, each made anew. */
    public static List<Entry> entries(CastaliaHome home) {
        return List.of(
                new Entry(Group.START, new DemoCommand(home)),
                new Entry(Group.START, new LauncherCommands.Setup()),
                new Entry(Group.START, new DoctorCommand(home)),
                new Entry(Group.START, new LauncherCommands.Test()),
                new Entry(Group.START, new LauncherCommands.Packing()),
                new Entry(Group.START, new HelpCommand()),
                new Entry(Group.TRAIN, new TrainCommand(home)),
                new Entry(Group.TRAIN, new NodeCommand(home)),
                new Entry(Group.TRAIN, new LayoutsCommand(home)),
                new Entry(Group.TRAIN, new RunCommand()),
                new Entry(Group.TRAIN, new GenerateCommand(home)),
                new Entry(Group.CHECKPOINTS, new CheckpointCommand(home)),
                new Entry(Group.DATA, new DataCommand()),
                new Entry(Group.CHECK, new ParityCommand(home)),
                new Entry(Group.CHECK, new BenchCommand()),
                new Entry(Group.CHECK, new GpuCommand()));
    }

    /** The whole command line with its help and its way of reporting errors. */
    public static CommandLine commandLine(CastaliaHome home, ErrorPolicy policy) {
        CommandLine root = new CommandLine(new CastaliaCommand());
        root.getCommandSpec().versionProvider(new CastaliaCommand.Version(home));
        Map<Group, List<CommandSpec>> groups = new EnumMap<>(Group.class);
        for (Entry entry : entries(home)) {
            CommandLine one = new CommandLine(entry.command());
            root.addSubcommand(one);
            addHeadings(one);
            groups.computeIfAbsent(entry.group(), _ -> new ArrayList<>()).add(one.getCommandSpec());
        }
        root.addSubcommand(new WorkerCommand(home)); // for agents; people do not see it
        root.addSubcommand(new BenchRankCommand(home)); // for 'bench collective'
        List<String> sections = new ArrayList<>(root.getHelpSectionKeys());
        sections.remove(UsageMessageSpec.SECTION_KEY_COMMAND_LIST_HEADING);
        sections.remove(UsageMessageSpec.SECTION_KEY_COMMAND_LIST);
        sections.add(
                sections.indexOf(UsageMessageSpec.SECTION_KEY_OPTION_LIST_HEADING),
                UsageMessageSpec.SECTION_KEY_COMMAND_LIST);
        root.setHelpSectionKeys(sections);
        root.getHelpSectionMap()
                .put(UsageMessageSpec.SECTION_KEY_COMMAND_LIST, help -> commandList(help, groups));
        root.getCommandSpec()
                .usageMessage()
                .exitCodeListHeading("%nExit codes:%n")
                .exitCodeList(exitCodes());
        root.setUsageHelpWidth(HELP_WIDTH);
        root.setExecutionExceptionHandler(policy);
        root.setParameterExceptionHandler(policy);
        return root;
    }

    /** Exit code to meaning, as the help lists them. */
    public static Map<String, String> exitCodes() {
        Map<String, String> codes = new LinkedHashMap<>();
        codes.put("0", "done");
        codes.put("1", "a negative verdict (a failed test, a difference), or an unexpected error");
        codes.put("2", "the command line is wrong");
        codes.put("3", "JDK 25 or Maven is missing");
        codes.put("4", "the build failed");
        for (ErrorCode code : ErrorCode.values()) {
            codes.put(Integer.toString(code.exitCode()), code.meaning());
        }
        codes.put("130, 143", "stopped by SIGINT, by SIGTERM");
        return codes;
    }

    private static void addHeadings(CommandLine line) {
        line.getCommandSpec()
                .usageMessage()
                .descriptionHeading("%n")
                .parameterListHeading("%nArguments:%n")
                .optionListHeading("%nOptions:%n")
                .commandListHeading("%nCommands:%n");
        line.getSubcommands().values().forEach(CommandList::addHeadings);
    }

    private static String commandList(Help help, Map<Group, List<CommandSpec>> groups) {
        StringBuilder text = new StringBuilder();
        groups.forEach(
                (group, commands) -> {
                    text.append(System.lineSeparator())
                            .append(group.heading)
                            .append(':')
                            .append(System.lineSeparator());
                    Map<String, Help> part = new LinkedHashMap<>();
                    for (CommandSpec spec : commands) {
                        part.put(spec.name(), help.subcommands().get(spec.name()));
                    }
                    text.append(help.commandList(part));
                });
        return text.toString();
    }
}
