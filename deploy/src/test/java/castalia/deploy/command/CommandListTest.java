package castalia.deploy.command;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.ErrorPolicy;
import castalia.protocol.ErrorCode;

import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

import picocli.CommandLine;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.Model.PositionalParamSpec;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;

class CommandListTest {
    private static final CastaliaHome HOME = new CastaliaHome(Path.of("/nowhere"));

    private static CommandLine root() {
        return CommandList.commandLine(
                HOME, new ErrorPolicy(new PrintWriter(new StringWriter()), HOME));
    }

    private static void collect(CommandLine line, List<CommandLine> all) {
        for (CommandLine one : line.getSubcommands().values()) {
            all.add(one);
            collect(one, all);
        }
    }

    @TestFactory
    List<DynamicTest> everyCommandSaysWhatItDoesAndShowsAnExample() {
        List<CommandLine> all = new ArrayList<>();
        collect(root(), all);
        assertThat(all).isNotEmpty();
        return all.stream()
                .filter(line -> !line.getCommandSpec().usageMessage().hidden())
                .map(
                        line ->
                                DynamicTest.dynamicTest(
                                        line.getCommandSpec().qualifiedName(),
                                        () -> isExplained(line)))
                .toList();
    }

    private static void isExplained(CommandLine line) {
        String[] description = line.getCommandSpec().usageMessage().description();
        assertThat(description).as("description").isNotEmpty();
        assertThat(description[0]).as("its first line, for lists").hasSizeBetween(10, 95);
        assertThat(description[description.length - 1]).as("its end").endsWith(".");
        if (line.getSubcommands().isEmpty()) {
            String name = line.getCommandSpec().qualifiedName();
            assertThat(examples(line).anyMatch(text -> (text + " ").startsWith(name + " ")))
                    .as("an example in its footer or in the one of the command it belongs to")
                    .isTrue();
        }
        for (OptionSpec option : line.getCommandSpec().options()) {
            assertThat(option.description())
                    .as("description of " + option.longestName())
                    .isNotEmpty();
        }
        for (PositionalParamSpec parameter : line.getCommandSpec().positionalParameters()) {
            assertThat(parameter.description())
                    .as("description of " + parameter.paramLabel())
                    .isNotEmpty();
        }
    }

    /** The examples in the help of a command and of the one it is a part of. */
    private static Stream<String> examples(CommandLine line) {
        Stream<String> own = Arrays.stream(line.getCommandSpec().usageMessage().footer());
        CommandLine parent = line.getParent();
        Stream<String> others =
                parent == null
                        ? Stream.empty()
                        : Arrays.stream(parent.getCommandSpec().usageMessage().footer());
        return Stream.concat(own, others).map(String::strip);
    }

    @Test
    void everyExampleOfTheHelpIsACommandThatExists() {
        CommandLine root = root();
        List<CommandLine> all = new ArrayList<>(List.of(root));
        collect(root, all);
        for (CommandLine line : all) {
            for (String text : line.getCommandSpec().usageMessage().footer()) {
                if (text.strip().startsWith("./castalia ")) {
                    String name = text.strip().split(" +", -1)[1];
                    assertThat(root.getSubcommands()).as(text).containsKey(name);
                }
            }
        }
    }

    @Test
    void everyErrorCodeIsInTheListOfExitCodes() {
        for (ErrorCode code : ErrorCode.values()) {
            assertThat(CommandList.exitCodes())
                    .containsEntry(Integer.toString(code.exitCode()), code.meaning());
        }
    }

    @Test
    void everyCommandIsListedInTheHelp() {
        String help = root().getUsageMessage();
        for (CommandList.Entry entry : CommandList.entries(HOME)) {
            assertThat(help)
                    .contains("  " + new CommandLine(entry.command()).getCommandName() + " ");
        }
    }
}
