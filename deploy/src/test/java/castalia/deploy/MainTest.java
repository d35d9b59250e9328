package castalia.deploy;

import static org.assertj.core.api.Assertions.assertThat;

import castalia.deploy.shell.CastaliaHome;
import castalia.deploy.shell.ErrorPolicy;
import castalia.deploy.shell.JsonOption;
import castalia.protocol.CastaliaException;
import castalia.protocol.ErrorCode;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

import picocli.CommandLine;
import picocli.CommandLine.Command;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;

class MainTest {
    @TempDir Path folder;

    private final StringWriter out = new StringWriter();
    private final StringWriter err = new StringWriter();

    private int run(String... args) {
        return Main.run(args, new PrintWriter(out), new PrintWriter(err), new CastaliaHome(folder));
    }

    private ErrorPolicy policy() {
        return new ErrorPolicy(new PrintWriter(err, true), new CastaliaHome(folder));
    }

    @Test
    void noCommandShowsTheHelpWithItsGroupsAndExitCodes() {
        assertThat(run()).isZero();
        assertThat(out.toString())
                .containsSubsequence(
                        "Castalia trains",
                        "Usage:",
                        "Start here:",
                        "doctor",
                        "Options",
                        "Exit codes:")
                .contains("13         a checkpoint's bytes differ")
                .contains("Examples:");
        assertThat(err.toString()).isEmpty();
    }

    @Test
    void theVersionNamesBuildJdkAndWhatItsResultsDependOn() {
        Cli.Result result = Cli.run("--version");
        assertThat(result.code()).isZero();
        assertThat(result.out())
                .containsPattern("castalia \\d+\\.\\d+\\.\\d+ \\(build ([0-9a-f]{12})\\)")
                .contains("JDK " + System.getProperty("java.version"))
                .containsPattern("\\Rnumeric version cpu; .*; java 25; .*answers [0-9a-f]{64}\\R");
    }

    @Test
    void aMisspeltCommandIsAUsageErrorWithAHint() {
        assertThat(run("doctr")).isEqualTo(2);
        assertThat(err.toString())
                .contains("castalia: ", "doctr", "./castalia doctor", "try: ./castalia --help");
    }

    @Test
    void aWrongOptionPointsAtTheHelpOfItsCommand() {
        assertThat(run("doctor", "--nothing")).isEqualTo(2);
        assertThat(err.toString()).contains("--nothing", "try: ./castalia doctor --help");
    }

    @Test
    void helpOfACommandIsTheSameBothWays() {
        assertThat(run("help", "doctor")).isZero();
        String first = out.toString();
        out.getBuffer().setLength(0);
        assertThat(run("doctor", "--help")).isZero();
        assertThat(out.toString()).isEqualTo(first).contains("--run-folder=DIR", "Examples:");
        assertThat(run("help", "nothing")).isEqualTo(2);
    }

    @ParameterizedTest
    @EnumSource(ErrorCode.class)
    void anOperatingErrorIsOneLineAndItsExitCode(ErrorCode code) {
        CastaliaException error =
                new CastaliaException(code, "file x is damaged;\n  export it again");

        assertThat(policy().report(error, new String[] {}, false)).isEqualTo(code.exitCode());
        assertThat(err.toString().lines())
                .containsExactly("castalia: file x is damaged; export it again");
    }

    @Test
    void anUnexpectedErrorIsOneLineAndAFile() throws Exception {
        IllegalStateException error = new IllegalStateException("chunk 7\nis gone");

        int code = policy().report(error, new String[] {"train", "--run", "x"}, false);

        assertThat(code).isEqualTo(1);
        assertThat(err.toString().lines())
                .singleElement()
                .asString()
                .startsWith(
                        "castalia: unexpected error: IllegalStateException: chunk 7 is gone"
                                + " (details: "
                                + folder);
        try (Stream<Path> files = Files.list(folder.resolve("errors"))) {
            List<Path> all = files.toList();
            assertThat(all).hasSize(1);
            assertThat(all.getFirst())
                    .content()
                    .contains(
                            "arguments: [train, --run, x]", "at castalia.deploy.MainTest", "Java ");
        }
    }

    @Test
    void anUnwritableFolderForDetailsDoesNotHideTheError() throws Exception {
        Files.writeString(folder.resolve("errors"), "a file where a folder should be");

        assertThat(policy().report(new IllegalStateException("x"), new String[] {}, false))
                .isEqualTo(1);
        assertThat(err.toString()).contains("IllegalStateException: x", "details with --debug");
    }

    @Test
    void debugPrintsTheTrace() {
        policy().report(new CastaliaException(ErrorCode.PEER_LOST, "gone"), new String[] {}, true);

        assertThat(err.toString()).contains("at castalia.deploy.MainTest", "castalia: gone");
    }

    @Test
    void tooLittleHeapSaysHowToGiveMore() {
        int code = policy().report(new OutOfMemoryError("Java heap space"), new String[] {}, false);

        assertThat(code).isEqualTo(ErrorCode.OUT_OF_MEMORY.exitCode());
        assertThat(err.toString())
                .contains("too little memory (OutOfMemoryError: Java heap space)", "-Xmx");
    }

    @Test
    void anErrorOfACommandPassesThroughThePolicy() {
        CommandLine line = new CommandLine(new Failing()).setExecutionExceptionHandler(policy());

        assertThat(line.execute()).isEqualTo(ErrorCode.DATA_CORRUPT.exitCode());
        assertThat(err.toString())
                .isEqualTo("castalia: index.idx has 3 bytes" + System.lineSeparator());
    }

    @Test
    void jsonIsOneLine() {
        assertThat(JsonOption.line(new Sample("two\nlines", 0.5)))
                .isEqualTo("{\"text\":\"two\\nlines\",\"loss\":0.5}");
    }

    private record Sample(String text, double loss) {}

    @Command(name = "failing")
    private static final class Failing implements Runnable {
        @Override
        public void run() {
            throw new CastaliaException(ErrorCode.DATA_CORRUPT, "index.idx has 3 bytes");
        }
    }
}
